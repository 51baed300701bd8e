import csv
import random

import pytest
from table_files import error_of, rows_of, write

from tinybert_jax.data.tables import Reading, iterate_tables, read_table


def test_cells_of_csv_files_stay_the_strings_that_they_are(tmp_path):
  path = write(tmp_path / "a.csv", 'a,b,c\n007,NA,1.0\nnull,nan, x \nTrue,"",\n')
  want = [
    {"a": "007", "b": "NA", "c": "1.0"},
    {"a": "null", "b": "nan", "c": " x "},
    {"a": "True", "b": None, "c": None},
  ]
  assert rows_of(path) == want


def test_hard_csv_reads_as_it_was_written(tmp_path):
  rng = random.Random(0)
  cells = [
    "a,b",
    'say "hi"',
    "two\nlines",
    "two\r\nlines",
    "old\rMac",
    '"',
    '""',
    ";",
    "\t",
    "é",
    " ",
    "'",
    "\\",
    "plain",
  ]
  want = [[rng.choice(cells), rng.choice(cells)] for _ in range(2000)]
  with open(tmp_path / "a.csv", "w", newline="") as file:
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["x", "y"], *want])
  assert [list(row.values()) for row in rows_of(tmp_path / "a.csv")] == want
  pieces = list(iterate_tables(tmp_path / "a.csv", batch_rows=7))
  assert max(map(len, pieces)) == 7 and sum(map(len, pieces)) == 2000


@pytest.mark.parametrize("mark, said", [(",", None), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_the_delimiter_is_found(tmp_path, mark, said):
  text = f'text{mark}label\n"one{mark} two, three; four | five"{mark}1\nsix, seven; 8{mark}0\n'.replace("six,", "six")
  text = text if mark != ";" else text.replace("seven;", "seven")
  table = read_table(write(tmp_path / "a.csv", text))
  assert table.rows.column_names == ["text", "label"] and table.rows["label"][:] == ["1", "0"]
  assert not table.notes if said is None else f"{said} between cells" in table.notes[0]


def test_a_delimiter_in_texts_alone_is_none(tmp_path):
  path = write(tmp_path / "a.csv", "text;note\nfoo, bar;1\nbaz, boo, bah;2\n")
  assert rows_of(path)[1] == {"text": "baz, boo, bah", "note": "2"}
  assert rows_of(write(tmp_path / "one.csv", "text\nfoo\nbar\n")) == [{"text": "foo"}, {"text": "bar"}]


def test_quotes_of_tsv_files_are_looked_at(tmp_path):
  plain = read_table(write(tmp_path / "plain.tsv", 'a\tb\n"Great\t1\nsaid "x" and\t2\n'))
  assert plain.rows["a"][:] == ['"Great', 'said "x" and'] and "quotes are text" in plain.notes[0]
  rows = [['two\nlines, "quoted"', "1"], ["a\ttab", "2"]]
  with open(tmp_path / "quoted.tsv", "w", newline="") as file:
    csv.writer(file, delimiter="\t").writerows([["a", "b"], *rows])
  quoted = read_table(tmp_path / "quoted.tsv")
  assert [list(row.values()) for row in quoted.rows.to_list()] == rows and "quotes enclose" in quoted.notes[0]
  path = write(tmp_path / "whole.tsv", 'a\tb\n"x"\t1\n')
  assert rows_of(path) == [{"a": "x", "b": "1"}] and rows_of(path, quote="") == [{"a": '"x"', "b": "1"}]


def test_another_quote_and_delimiter(tmp_path):
  path = write(tmp_path / "a.csv", "a#b\n'x#\"y'#1\n")
  assert rows_of(path, delimiter="#", quote="'") == [{"a": 'x#"y', "b": "1"}]
  assert read_table(path, Reading(delimiter="#", quote="'")).rows.to_list() == [{"a": 'x#"y', "b": "1"}]
  assert "--delimiter '##': a single" in error_of(path, delimiter="##")
  assert "cannot be the same" in error_of(path, delimiter="'", quote="'")


def test_a_file_without_header(tmp_path):
  path = write(tmp_path / "a.csv", "fine,1\ndull,0\n")
  assert rows_of(path, header=False) == [{"0": "fine", "1": "1"}, {"0": "dull", "1": "0"}]
  assert "taken as names of columns (--no-header" in read_table(path).notes[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings_are_found(tmp_path, encoding):
  text = "text,label\ncafé 日本 😀,1\n"
  path = write(tmp_path / "a.csv", text.encode(encoding))
  want = [{"text": "café 日本 😀", "label": "1"}]
  assert rows_of(path) == want == rows_of(path, encoding=encoding.upper())


def test_other_encodings_must_be_told(tmp_path):
  text = "text,label\n" + "plain,1\n" * 15 + "café,1\n"
  path = write(tmp_path / "a.csv", text.encode("cp1252"))
  assert error_of(path) == "a.csv, line 17: byte 0xe9 is not UTF-8 text; give --encoding, such as cp1252"
  table = read_table(path, encoding="cp1252")
  assert table.rows["text"][15] == "café" and "encoding cp1252" in table.notes[0]
  assert "--encoding hex: no such encoding" in error_of(path, encoding="hex")
  assert "--encoding latin-99: no such encoding" in error_of(path, encoding="latin-99")
  assert "line 2: byte 0x80 is not ASCII" in error_of(write(path, b"a\n\x80\x81\n"), encoding="ascii")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_of_wrong_bytes_are_counted_over_every_line_end(tmp_path, end):
  lines = ["text", *["x" * 99] * 20_000]  # more than the chunk that is decoded at once
  path = write(tmp_path / "a.csv", end.join(lines).encode() + end.encode() + b"\xff")
  assert "line 20002: byte 0xff" in error_of(path)
  path = write(tmp_path / "a.txt", end.join(lines).encode() + end.encode() + b"\0")
  assert "line 20002: a NUL byte" in error_of(path)


def test_a_cut_off_character_is_told(tmp_path):
  assert "line 2: byte 0xc3" in error_of(write(tmp_path / "a.csv", b"a\nx\xc3"))


def test_mixed_line_ends_and_empty_lines(tmp_path):
  table = read_table(write(tmp_path / "a.csv", "\r\na,b\r\n1,2\r3,4\n\n   \n5,6"))
  assert [list(row.values()) for row in table.rows.to_list()] == [["1", "2"], ["3", "4"], ["5", "6"]]
  assert "3 empty lines skipped" in table.notes[0]
  assert rows_of(write(tmp_path / "b.csv", 'a\n\n""\nx\n')) == [{"a": None}, {"a": "x"}]


def test_a_huge_cell_is_read(tmp_path):
  path = write(tmp_path / "a.csv", b"text,label\n" + b"x" * 100_000_000 + b",1\ny,2\n")
  assert [piece["text"].to_pylist()[-1][-1:] for piece in iterate_tables(path, batch_rows=1)] == ["x", "y"]
  assert csv.field_size_limit() == 131072


@pytest.mark.parametrize(
  "content, said",
  [
    ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells, and 2 are needed (a, b); a cell that holds ',' needs quotes"),
    ('a,b\n"x\ny",2\n\n1\n', "line 5: 1 cell, and 2 are needed (a, b)"),
    ('a,b\n1,2\n3,"x\n5,6\n7,8\n', "line 3: a quote is opened and never closed; --quote ''"),
    ('a,b\n1,2\n"x,2\n5,6\n', "line 3: a quote is opened and never closed"),
    ('a,b\n1,"', "line 2: a quote is opened and never closed"),
    (
      'a,b\n"x\ny",1\n"a "b" c",2\n',
      "line 4: a quote within a cell in quotes, which must be doubled there",
    ),
    ("a,b\n", "a header (a, b) and no rows; at least one row"),
    ("a,b", "a header (a, b) and no rows"),
    ("", "empty"),
    ("\n \n", "empty"),
    ("\ufeff", "empty"),
    ('""\n', "empty"),
    (",\n1,2\n", "two columns have no name"),
    ('"a\nb",c\n', "a header ('a\\nb', c) and no rows"),
    ("a,b,a\n1,2,3\n", "two columns are called 'a'"),
    ("a,,\n1,2,3\n", "two columns have no name"),
    ("a,b\n1,2\nx\0,3\n", "line 3: a NUL byte"),
  ],
)
def test_bad_csv_is_one_sentence_with_its_line(tmp_path, content, said):
  assert error_of(write(tmp_path / "a.csv", content)).startswith(
    f"a.csv{',' if said.startswith('line') else ':'} {said}"
  )


def test_a_quote_within_a_cell_and_one_that_is_the_last_are_fine(tmp_path):
  want = [{"a": '5" disk', "b": None}, {"a": "x", "b": '"'}]
  assert rows_of(write(tmp_path / "a.csv", 'a,b\n5" disk,\nx,""""')) == want

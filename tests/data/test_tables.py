import gzip
import random
import resource

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from table_files import FORMATS, PACKED, ROWS, error_of, rows_of, write

from tinybert_jax.data.tables import iterate_tables, read_table
from tinybert_jax.errors import InputError


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_alone_and_compressed(tmp_path, name, packing):
  path = write(tmp_path / (name + packing), PACKED[packing](FORMATS[name]))
  assert rows_of(path) == ROWS
  assert [row for piece in iterate_tables(path, batch_rows=1) for row in piece.to_pylist()] == ROWS


def test_text_files_have_a_text_a_line(tmp_path):
  table = read_table(write(tmp_path / "a.txt", "one\u2028two\n\n three\r\n \rfour"))
  assert table.rows["text"][:] == ["one\u2028two", " three", "four"]
  assert "2 empty lines skipped" in table.notes[0] and table.files == (tmp_path / "a.txt",)
  assert rows_of(write(tmp_path / "b.txt", "text\tlabel\na\t1\n"), delimiter="\\t") == [{"text": "a", "label": "1"}]


@pytest.mark.parametrize(
  "name, content, said",
  [
    ("a.jsonl", '{"a": 1}\n\n{"a": 2,}\n', "a.jsonl, line 3: not JSON (Expecting property name"),
    ("a.jsonl", '{"a": 1}\n[2]\n', "a.jsonl, line 2: an array, and an object"),
    ("a.jsonl", '{"a": 1, "a": 2}\n', "a.jsonl, line 1: not JSON that can be read (two values of the name 'a'"),
    ("a.jsonl", '{"a": 1}\n\n{"a": "x"}\n', "a.jsonl, line 3: a is a text, and an integer in line 1"),
    ("a.jsonl", '{"a": true}\n{"a": 1}\n', "a.jsonl, line 2: a is an integer, and true or false in line 1"),
    ("a.jsonl", '{"a": "x"}\n{"a": "\\ud800"}\n', "a.jsonl, line 2: half of a surrogate pair"),
    ("a.jsonl", '{"a": 123456789012345678901234567890}\n', "a.jsonl, line 1: the values of a"),
    ("a.jsonl", "[" * 100_000, "a.jsonl, line 1: not JSON that can be read (nested too deeply)"),
    ("a.jsonl", "{}\n", "a.jsonl: "),
    ("a.jsonl", "\n\n", "a.jsonl: empty"),
    ("a.json", "[]", "a.json: empty"),
    ("a.json", '{"data": []}', "a.json: empty"),
    ("a.json", "", "a.json: empty"),
    ("a.json", "3", "a.json: an integer that is no table; an array of objects"),
    ("a.json", '[{"a": 1}, 2]', "a.json, object 2: an integer, and an object"),
    ("a.json", '{"a": [1, 2], "b": [3]}', "a.json: columns of different lengths: a has 2, b has 1"),
    ("a.json", '[\n{"a": 1},\n{"a": }]', "a.json, line 3: not JSON"),
    ("a.parquet", "PAR1 no", "a.parquet: damaged or cut off"),
    ("a.arrow", "no", "a.arrow: damaged or cut off"),
    ("a.csv.gz", "no gzip", "a.csv.gz: damaged or cut off"),
    ("a.csv.bz2", "no bzip2", "a.csv.bz2: cannot be read"),
    ("a.csv.xz", "no xz", "a.csv.xz: damaged or cut off"),
    ("a.csv.zst", "no zstd", "a.csv.zst: cannot be read"),
    ("a.docx", "x", "a.docx: not a table that can be read; its name must end in .csv, .tsv"),
    ("a.xlsx", "x", "a.xlsx: not a table that can be read; its name must end in .csv, .tsv"),
  ],
)
def test_bad_files_are_one_sentence(tmp_path, name, content, said):
  assert error_of(write(tmp_path / name, content)).startswith(said)


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_cut_off_compressed_file_is_one_sentence(tmp_path, name, packing):
  content = FORMATS[name] + random.Random(0).randbytes(1000).hex().encode()
  packed = PACKED[packing](content)
  assert error_of(write(tmp_path / (name + packing), packed[: len(packed) // 2])).startswith(f"{name}{packing}: ")


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
def test_a_damaged_table_is_one_sentence(tmp_path, name):
  content = FORMATS[name]
  for size in (len(content) - 1, len(content) // 2):
    assert "damaged" in error_of(write(tmp_path / name, content[:size])) or name == "stream.arrow"
  table = pa.table({"text": pa.array([b"ok", b"caf\xe9"], pa.binary()).view(pa.string())})
  pq.write_table(table, tmp_path / "latin.parquet")
  assert "damaged" in error_of(tmp_path / "latin.parquet")


def test_columns_may_come_later_in_json_lines(tmp_path):
  path = write(tmp_path / "a.jsonl", '{"a": "x"}\n{"a": "y", "b": [1]}\n{"b": []}\n')
  want = [{"a": "x", "b": None}, {"a": "y", "b": [1]}, {"a": None, "b": []}]
  assert rows_of(path) == want
  pieces = list(iterate_tables(path, batch_rows=1))
  assert [piece.column_names for piece in pieces] == [["a"], ["a", "b"], ["a", "b"]]
  assert pieces[2].to_pylist() == want[2:]
  assert rows_of(write(tmp_path / "n.jsonl", '{"a": 1}\n{"a": 2.5}\n'))[0] == {"a": 1.0}
  assert rows_of(write(tmp_path / "d.jsonl", '{"a": "2020-01-01T00:00:00"}'))[0]["a"] == "2020-01-01T00:00:00"


def test_parquet_and_arrow_keep_what_others_wrote(tmp_path):
  frame = pd.DataFrame({"text": ["a", "b"], "kind": pd.Categorical(["x", "y"]), "tags": [["p"], []]})
  frame.to_parquet(tmp_path / "a.parquet")
  assert rows_of(tmp_path / "a.parquet")[0] == {"text": "a", "kind": "x", "tags": ["p"]}
  table = pa.table({"text": pa.array(["a", None], pa.string_view())})
  with pa.ipc.new_file(str(tmp_path / "v.arrow"), table.schema) as writer:
    writer.write_table(table)
  assert rows_of(tmp_path / "v.arrow") == [{"text": "a"}, {"text": None}]
  odd = pa.table({"text": ["a"], "m": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int32()))})
  pq.write_table(odd, tmp_path / "map.parquet")
  with pytest.raises(InputError, match=r"map\.parquet: a column of a type"):
    read_table(tmp_path / "map.parquet")
  twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
  pq.write_table(twice, tmp_path / "twice.parquet")
  assert "two columns are called 'a'" in error_of(tmp_path / "twice.parquet")
  pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "none.parquet")
  assert "none.parquet: empty" in error_of(tmp_path / "none.parquet")


def test_a_saved_data_set_keeps_its_classes(tmp_path):
  features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
  datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features).save_to_disk(tmp_path / "saved")
  table = read_table(tmp_path / "saved")
  assert table.rows.to_list() == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
  assert table.rows.features["label"].names == ["no", "yes"]


def test_globs_and_directories(tmp_path):
  write(tmp_path / "b.csv", "a,b\n3,4\n")
  write(tmp_path / "a.csv", "b,a\n2,1\n")
  (tmp_path / "sub").mkdir()
  write(tmp_path / "sub" / "c.csv", "a,b\n5,6\n")
  write(tmp_path / ".hidden.csv", "x\n1\n")
  write(tmp_path / "logo.png", "x")
  table = read_table(tmp_path)
  assert table.rows["a"][:] == ["1", "3", "5"] and table.rows["b"][:] == ["2", "4", "6"]
  assert [file.name for file in table.files] == ["a.csv", "b.csv", "c.csv"]
  assert any("3 files are read" in note for note in table.notes)
  assert any("logo.png is passed over" in note for note in table.notes)
  assert rows_of(tmp_path / "*.csv") == table.rows.to_list()[:2]
  assert rows_of([tmp_path / "b.csv", tmp_path / "a.csv"])[0] == {"a": "3", "b": "4"}
  write(tmp_path / "odd[1].csv", "a\n1\n")
  assert rows_of(tmp_path / "odd[1].csv") == [{"a": "1"}]


def test_a_table_is_read_once(tmp_path):
  path = write(tmp_path / "foo.csv", "a\n1\n")
  write(tmp_path / "foo.csv.gz", gzip.compress(b"a\n1\n", mtime=0))
  (tmp_path / "link.csv").symlink_to(path)
  for where in (tmp_path, tmp_path / "*", [path, path], [path, tmp_path / "foo.csv.gz", tmp_path / "link.csv"]):
    table = read_table(where)
    assert table.rows.to_list() == [{"a": "1"}] and any("so it is read once" in note for note in table.notes)


def test_files_of_different_columns_are_refused(tmp_path):
  write(tmp_path / "a.csv", "text,label\nx,1\n")
  write(tmp_path / "b.csv", "review,stars\ny,2\n")
  assert error_of(tmp_path / "*.csv").startswith("b.csv: columns review, stars, and ")
  write(tmp_path / "a.jsonl", '{"text": "x", "label": 1}\n')
  write(tmp_path / "b.jsonl", '{"text": "x"}\n')
  assert "b.jsonl: columns text, and" in error_of(tmp_path / "*.jsonl")
  write(tmp_path / "b.jsonl", '{"text": "x"}\n{"label": 2}\n')
  assert [row["label"] for row in rows_of(tmp_path / "*.jsonl")] == [1, None, 2]
  write(tmp_path / "b.jsonl", '{"text": "x", "label": "one"}\n')
  with pytest.raises(InputError, match="values of different kinds"):
    read_table(tmp_path / "*.jsonl")


def test_an_empty_file_among_others_is_noted(tmp_path):
  write(tmp_path / "a.csv", "a\n")
  write(tmp_path / "b.csv", "a\n1\n")
  write(tmp_path / "c.csv", "")
  table = read_table(tmp_path)
  assert table.rows.to_list() == [{"a": "1"}]
  assert any("a.csv: a header (a) and no rows" in note for note in table.notes)
  assert any("c.csv: empty" in note for note in table.notes)
  write(tmp_path / "b.csv", "a\n")
  assert "at least one row is needed" in error_of(tmp_path)


def test_what_is_not_there_is_one_sentence(tmp_path, monkeypatch):
  monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("no file's name goes to the hub"))
  assert error_of(tmp_path / "a.csv") == "a.csv: no such file or directory"
  assert error_of(tmp_path / "*.csv") == "*.csv: no file matches"
  (tmp_path / "empty").mkdir()
  assert "empty: a directory without tables; their names end in .csv" in error_of(tmp_path / "empty")
  for name in ("a.csv", "./data", "/data", "~/data", "a/b/c", "data.jsonl.gz", "x" * 5000):
    with pytest.raises(InputError):
      read_table(name)
  with pytest.raises(InputError, match="no table is named"):
    read_table([])


def test_hub_data_sets(monkeypatch):
  calls = []

  def load(name, config, split):
    calls.append((name, config, split))
    return datasets.Dataset.from_dict({"text": ["a", "b", "c"]})

  monkeypatch.setattr(datasets, "load_dataset", load)
  for where in ("imdb", "glue:sst2", "org/name:config:test", "imdb::test"):
    assert read_table(where).rows["text"][:] == ["a", "b", "c"]
  assert calls == [
    ("imdb", None, "train"),
    ("glue", "sst2", "train"),
    ("org/name", "config", "test"),
    ("imdb", None, "test"),
  ]
  assert [len(piece) for piece in iterate_tables("imdb", batch_rows=2)] == [2, 1]

  def fail(*_, **__):
    raise ConnectionError("Couldn't reach the hub\nwith details")

  monkeypatch.setattr(datasets, "load_dataset", fail)
  with pytest.raises(
    InputError, match=r"imdb: no such file or directory, and no data set .* give a local path"
  ) as raised:
    read_table("imdb")
  assert "\n" not in str(raised.value)


def test_a_file_that_shrinks_or_vanishes_is_one_sentence(tmp_path):
  lines = "".join(f"{number},{'x' * 90}\n" for number in range(50_000))
  path = write(tmp_path / "a.csv", "a,b\n" + lines)
  pieces = iterate_tables(path)
  next(pieces)
  with open(path, "r+b") as file:
    file.truncate(2_000_000)
  with pytest.raises(InputError, match="became shorter while it was read"):
    list(pieces)
  second = write(tmp_path / "b.csv", "a,b\n1,2\n")
  pieces = iterate_tables([write(path, "a,b\n1,2\n"), second])
  next(pieces)
  second.unlink()
  with pytest.raises(InputError, match=r"b\.csv: no such file"):
    list(pieces)


def test_arrow_files_that_shrink_are_one_sentence(tmp_path):
  path = tmp_path / "a.arrow"
  table = pa.table({"a": [f"{number:0100}" for number in range(20_000)]})
  with pa.ipc.new_file(str(path), table.schema) as writer:
    writer.write_table(table, max_chunksize=1000)
  pieces = iterate_tables(path, batch_rows=1000)
  next(pieces)
  with open(path, "r+b") as file:
    file.truncate(500_000)
  with pytest.raises(InputError):
    list(pieces)


def test_pieces_take_bounded_memory(tmp_path):
  path = write(tmp_path / "a.csv", b"text,label\n" + b"some words of a review that goes on and on,1\n" * 500_000)
  pieces = iterate_tables(path)
  next(pieces)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert sum(map(len, pieces)) == 500_000 - 4096
  assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12_000  # KiB, of 22 MB


def test_notes_of_pieces_are_those_of_the_table(tmp_path):
  path = write(tmp_path / "a.csv", "a;b\n1;2\n\n")
  notes = []
  list(iterate_tables(path, notes=notes))
  assert tuple(notes) == read_table(path).notes == (f"{path}: semicolons between cells, 1 empty line skipped",)


def test_json_lines_in_a_json_file_may_begin_with_blank_lines(tmp_path):
  rows = '\u3000\n\n{"text": "a b"}\n{"text": "c"}\n'
  (tmp_path / "a.json").write_text(rows, encoding="utf-8")
  assert read_table(tmp_path / "a.json").rows["text"][:] == ["a b", "c"]


@pytest.mark.parametrize(
  ("cells", "problem"),
  [
    (["0.0", "false"], "line 2: label is true or false, and a number with a fraction in line 1"),
    (["[0.5]", "[true]"], "line 1: the values of label from there on are no column (true or false among numbers"),
  ],
)
def test_true_and_false_are_no_numbers_with_a_fraction(tmp_path, cells, problem):
  (tmp_path / "a.jsonl").write_text("".join(f'{{"label": {cell}}}\n' for cell in cells))
  assert problem in error_of(tmp_path / "a.jsonl")


def test_pieces_of_different_kinds_are_given_as_they_are_and_are_no_table(tmp_path):
  (tmp_path / "a.jsonl").write_text('{"a": null}\n{"a": false}\n{"a": 0}\n')
  pieces = [piece["a"].to_pylist() for piece in iterate_tables(tmp_path / "a.jsonl", batch_rows=2)]
  assert pieces == [[None, False], [0]] and pieces[1][0] is not False
  assert "line 3: a is an integer, and true or false in line 2" in error_of(tmp_path / "a.jsonl")

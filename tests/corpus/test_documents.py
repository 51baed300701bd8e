import bz2
import gzip
import json
import lzma

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinybert_jax.corpus import documents
from tinybert_jax.corpus.documents import Remark, count_bytes, cut_text, find_texts, fingerprint_texts, read_documents
from tinybert_jax.errors import InputError

TEXTS = ["the quick fox", "a café\n中文 😀, two lines", 'a "quoted"\tword', "\u2028 no border of documents"]


def read(where, column="text"):
  told = []
  texts = find_texts(str(where))
  found = list(read_documents(texts, column, told.append))
  assert all(number >= 0 for number in told) and sum(told) <= count_bytes(texts)
  return found


def zstd(data):
  sink = pa.BufferOutputStream()
  with pa.CompressedOutputStream(sink, "zstd") as stream:
    stream.write(data)
  return sink.getvalue().to_pybytes()


COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
FORMATS = {
  ".txt": lambda texts: "\n\n \n".join(texts).encode(),
  ".jsonl": lambda texts: "\n".join(json.dumps({"id": 1, "text": text}) for text in texts).encode(),
  ".ndjson": lambda texts: "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n\n" for text in texts).encode(),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("compression", COMPRESS)
def test_each_format_and_compression_gives_the_documents(tmp_path, suffix, compression):
  path = tmp_path / f"v1.0{suffix.upper()}{compression}"
  halves = FORMATS[suffix](TEXTS[:2]) + b"\n\n", FORMATS[suffix](TEXTS[2:])
  path.write_bytes(b"".join(map(COMPRESS[compression], halves)))  # as `cat` joins compressed files
  assert [text.strip("\n") for text in read(path)] == TEXTS


@pytest.mark.parametrize(
  "kind", [pa.string(), pa.large_string(), pa.binary(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet(tmp_path, kind):
  path = tmp_path / "a.parquet"
  column = pa.array([*TEXTS, None, ""] * 100).cast(kind)
  pq.write_table(pa.table({"id": range(len(column)), "body": column}), path, row_group_size=40)
  assert read(path, "body") == [*TEXTS, "", ""] * 100


def test_a_data_set_of_the_hub_and_wikipedia_in_english(tmp_path, monkeypatch):
  rows = datasets.Dataset.from_dict({"id": [0] * 6, "text": [*TEXTS, None, ""]})
  asked = []
  monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: asked.append((*args, options)) or rows)
  assert read("wikimedia/wikipedia") == read("wikimedia/wikipedia:20231101.de") == [*TEXTS, "", ""]
  assert read("imdb") == [*TEXTS, "", ""]
  assert [(name, config) for name, config, _ in asked] == [
    ("wikimedia/wikipedia", "20231101.en"),
    ("wikimedia/wikipedia", "20231101.de"),
    ("imdb", None),
  ]
  assert {options["split"] for *_, options in asked} == {"train"}
  with pytest.raises(InputError, match="no column body; there are id, text"):
    read("imdb", "body")


def test_a_glob_and_a_directory_give_their_files_sorted(tmp_path):
  for name in ("b.txt", "a/2.jsonl", "a/1.txt.gz", ".hidden/c.txt", "README.md"):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    text = b'{"text": "2"}' if path.suffix == ".jsonl" else name.encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
  assert read(tmp_path) == ["a/1.txt.gz", "2", "b.txt"]
  assert read(tmp_path / "**" / "*.txt*") == ["a/1.txt.gz", "b.txt"]
  (tmp_path / "c[1].txt").write_text("c")
  assert read(tmp_path / "c[1].txt") == ["c"]


def test_lines_of_windows_and_the_byte_order_mark(tmp_path):
  (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf\r\none\r\ntwo\r\n\r\n\t\r\nthree\r\n")
  assert [text.split() for text in read(tmp_path / "a.txt")] == [["one", "two"], ["three"]]
  (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}')
  assert read(tmp_path / "a.jsonl") == ["one", "two"]


def test_bytes_that_are_not_utf_8_cost_their_line_and_are_told_with_their_place(tmp_path):
  path = tmp_path / "a.txt"
  path.write_bytes("good\n\nbad \xff\nits line\n\ncafé\n".encode("latin-1") + b"\n\nlast")
  lost = [Remark("undecodable_lines", f"{path}, line {number}") for number in (3, 6)]
  assert read(path) == ["good\n", lost[0], "its line\n", lost[1], "last"]
  path = tmp_path / "a.jsonl"
  path.write_bytes(b'{"text": "good"}\n{"text": "caf\xe9"}\n{"text": null}\n{"text": "\\ud800"}\n{"text": ""}')
  lost = [Remark("undecodable_documents", f"{path}, line {number}") for number in (2, 4)]
  assert read(path) == ["good", lost[0], "", lost[1], ""]
  path = tmp_path / "a.parquet"
  pq.write_table(pa.table({"text": pa.array([*[b"good"] * 70, b"\xff"])}), path)
  assert read(path) == ["good"] * 70 + [Remark("undecodable_documents", f"{path}, row 71")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("blank", ["", " \t", "\u00a0", "\u3000\u2003", "\u200b", "\x0c"])
def test_line_ends_encodings_with_a_mark_and_all_kinds_of_blank_lines(tmp_path, end, encoding, blank):
  text = end.join(["one", "two \u2028 café", blank, blank, "中文", ""])
  (tmp_path / "a.txt").write_bytes(text.encode(encoding))
  assert read(tmp_path / "a.txt") == ["one\ntwo \u2028 café\n", "中文\n"]
  lines = end.join(json.dumps({"text": text}) for text in TEXTS)
  (tmp_path / "a.jsonl").write_bytes(lines.encode(encoding))
  assert read(tmp_path / "a.jsonl") == TEXTS


def test_many_lines_without_a_blank_one_are_remarked(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("a line\n" * 1000)
  assert read(path) == ["a line\n" * 1000, Remark("unbroken_files", f"{path}, 1,000 lines")]
  path.write_text("a line\n" * 999 + "\nend")
  assert read(path) == ["a line\n" * 999, "end"]


def test_what_a_folder_has_besides_is_told(tmp_path):
  for name in ("a.txt", "b.csv", "c.md", "sub/d.txt", "e.jsonl.gz.part"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("text")
  (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"text", mtime=0))
  notes = []
  assert [path.name for path in find_texts(str(tmp_path), notes)] == ["a.txt", "d.txt"]
  assert any("3 other files, such as b.csv, are passed over" in note for note in notes)
  assert any(f"{tmp_path / 'a.txt.gz'}: the same content as {tmp_path / 'a.txt'}" in note for note in notes)


def test_documents_longer_than_the_bound_are_cut_where_a_word_ends(tmp_path, monkeypatch):
  monkeypatch.setattr(documents, "LONGEST", 20)
  text = "some words in a line that is long\nand one more\n" * 3 + "\n" + "é" * 33 + "\n\nshort"
  (tmp_path / "a.txt").write_text(text)
  found = read(tmp_path / "a.txt")
  assert "".join(found).split() == text.split()
  assert max(len(document.encode()) for document in found) <= 2 * 20 and len(found) > 8
  words = set(text.split())
  assert all(word in words or set(word) == {"é"} for document in found for word in document.split())


def test_pieces_of_a_text_end_at_whitespace():
  text = "one two\nthree four  five"
  assert list(cut_text(text, 10)) == ["one two", "\nthree", " four ", " five"]
  assert list(cut_text("x" * 25, 10)) == ["x" * 10, "x" * 10, "x" * 5]
  assert list(cut_text("", 10)) == [""]


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("a.jsonl", b'{"text": "a"}\n{"text": ', r"a.jsonl, line 2: not JSON"),
    ("a.jsonl", b"[" * 100_000, r"a.jsonl, line 1: not JSON"),
    ("a.jsonl", b'["a"]', r'a.jsonl, line 1: not a JSON object, such as {"text"'),
    ("a.jsonl", b'{"text": "a"}\n\n{"body": "a", "id": 1}', r"a.jsonl, line 3: no column text; there are body, id"),
    ("a.jsonl", b"{}", r"a.jsonl, line 1: no column text; there are none"),
    ("a.jsonl", b'{"text": 5}', r"a.jsonl, line 1: text is 5, and a text is needed"),
    ("a.jsonl", b'{"text": "a"}' + b" " * 100, r"a.jsonl, line 1: longer than 64 bytes"),
    ("a.txt.gz", gzip.compress(b"text " * 99, mtime=0)[:-9], r"a.txt.gz: damaged, incomplete or not readable"),
    ("a.txt.gz", b"text", r"a.txt.gz: damaged"),
    ("a.txt.bz2", bz2.compress(b"text")[:-9], r"a.txt.bz2: damaged"),
    ("a.txt.xz", lzma.compress(b"text")[:-9], r"a.txt.xz: damaged"),
    ("a.txt.xz", b"text text", r"a.txt.xz: damaged"),
    ("a.txt.zst", zstd(b"text " * 99)[:-5], r"a.txt.zst: damaged"),
    ("a.parquet", b"PAR1 and no more", r"a.parquet: damaged"),
    ("a.csv", b"text", r"a.csv: a text file's name ends in {.txt,.jsonl,.ndjson}, alone or with {.gz"),
    ("a.parquet.gz", b"text", r"a.parquet.gz: a text file's name ends in"),
  ],
)
def test_what_is_wrong_is_said(tmp_path, monkeypatch, name, content, message):
  monkeypatch.setattr(documents, "_LONGEST_JSON", 64 if b" " * 100 in content else 1 << 20)
  (tmp_path / name).write_bytes(content)
  with pytest.raises(InputError, match=message):
    read(tmp_path / name)


def test_columns_of_parquet_that_will_not_do(tmp_path):
  pq.write_table(pa.table({"body": ["a"], "id": [1]}), tmp_path / "a.parquet")
  with pytest.raises(InputError, match=r"a.parquet: no column text; there are body, id"):
    read(tmp_path / "a.parquet")
  with pytest.raises(InputError, match=r"a.parquet: the column id is of int64, and text is needed"):
    read(tmp_path / "a.parquet", "id")


@pytest.mark.parametrize(
  ("where", "message"),
  [
    ("/nowhere/a.txt", "/nowhere/a.txt: no such file or directory"),
    ("a.txt.gz", "a.txt.gz: no such file or directory"),
    ("./a", "./a: no such file or directory"),
    ("nowhere/*.txt", r"nowhere/\*.txt: no file matches"),
    ("nobody/nothing", "nobody/nothing: no such file or directory, and no data set .* give text files instead: {.txt"),
  ],
)
def test_what_is_not_there_is_said(where, message):
  with pytest.raises(InputError, match=message):
    find_texts(where)


def test_a_directory_without_text_is_said(tmp_path):
  (tmp_path / "a.csv").write_text("a")
  with pytest.raises(InputError, match="no text files in that directory"):
    find_texts(str(tmp_path))


def test_the_fingerprint_is_of_format_and_bytes(tmp_path, monkeypatch):
  def made(name, content):
    (tmp_path / name).write_bytes(content)
    return fingerprint_texts(find_texts(str(tmp_path / name)))

  first = made("a.txt", b"one")
  assert made("b.txt", b"one") == first
  assert first not in (made("a.txt", b"two"), made("a.jsonl", b"one"))
  monkeypatch.setattr(documents, "_WINDOWS", 3)
  large = bytearray(1 << 20)
  first = made("a.txt", large)
  for place in (0, 1 << 19, (1 << 20) - 1):
    changed = bytearray(large)
    changed[place] = 1
    assert made("a.txt", changed) != first
  assert made("a.txt", large + b"\x00") != first

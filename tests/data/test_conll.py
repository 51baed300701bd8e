"""Words and tags in columns, as they are found in the wild."""

import gzip

import pytest

from tinybert_jax.data.conll import find_columns, read_columns
from tinybert_jax.errors import InputError


def read(path, notes=None):
  notes = [] if notes is None else notes
  files = find_columns([str(path)], notes)
  return list(read_columns(files, None, notes).to_pydict().values())


@pytest.mark.parametrize(
  ("content", "words", "tags"),
  [
    (
      "a\tB-X\n# \tB-X\n\t\n#tag\tO\nc\tO\n",
      [["a", "#"], ["#tag", "c"]],
      [["B-X", "B-X"], ["O", "O"]],
    ),  # tabs, as WNUT-17 has them
    (
      "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\n. . O O\n   \n\n\nPeter NNP B-NP B-PER\n",
      [["EU", "."], ["Peter"]],
      [["B-ORG", "O"], ["B-PER"]],
    ),  # CoNLL-2003
    ("# id 7\na O\r\n# O\r\n\r\nb O\r\n", [["a", "#"], ["b"]], [["O", "O"], ["O"]]),
    ("New York\tB-LOC\nhas\tO\n", [["New York", "has"]], [["B-LOC", "O"]]),
  ],
)
def test_files_of_columns(tmp_path, content, words, tags):
  (tmp_path / "eng.testa").write_text(content, encoding="utf-8", newline="")
  columns = read(tmp_path / "eng.testa")
  assert (columns[0], columns[-1]) == (words, tags)


def test_folders_compressed_files_and_tables(tmp_path):
  (tmp_path / "one.conll.gz").write_bytes(gzip.compress(b"a O\n\nb O\n"))
  (tmp_path / "two.conll").write_text("c O\n")
  notes = []
  assert read(tmp_path, notes)[0] == [["a"], ["b"], ["c"]] and "2 files are read" in notes[0]
  (tmp_path / "rows.jsonl").write_text("{}\n")
  assert find_columns([str(tmp_path / "rows.jsonl")], []) == find_columns(["conll2003"], []) == []
  with pytest.raises(InputError, match=r"rows\.jsonl and .*two\.conll: files of words in columns, and tables"):
    find_columns([str(tmp_path / "two.conll"), str(tmp_path / "rows.jsonl")], [])
  for name, content, is_column in (
    ("a.txt", "Hello there you\nGood morning\n", False),
    ("b.txt", "x O\ny B-A\n", True),
  ):
    (tmp_path / name).write_text(content)
    assert bool(find_columns([str(tmp_path / name)], [], may_be_text=True)) == is_column


@pytest.mark.parametrize(
  ("content", "problem"),
  [
    ("a O\nb\nc O\n", "line 2: 1 column, and other lines have 2"),
    ("a\tO\nb\tx\tO\nc\tO\n", "line 2: 3 columns, and other lines have 2"),
    ("a\tO\n\tB-X\nb\tB-X\n", "line 2: a tag without a word"),
    ("\n \n", "no words"),
  ],
)
def test_what_is_no_file_of_columns_is_told_with_its_line(tmp_path, content, problem):
  (tmp_path / "a.conll").write_text(content)
  with pytest.raises(InputError, match=problem):
    read(tmp_path / "a.conll")

import gzip

import pytest

from tinybert_jax.corpus.lines import read_lines
from tinybert_jax.errors import InputError


def write(path, content):
  path.write_bytes(content)
  return path


def test_lines_of_a_file(tmp_path):
  path = write(tmp_path / "a.en", b"\xef\xbb\xbfone\r\n\n \n\xc2\xa0\rtwo\xe2\x80\xa8three")
  assert read_lines(path) == ["one", "two\u2028three"]
  assert read_lines(write(tmp_path / "a.txt.gz", gzip.compress(path.read_bytes()))) == ["one", "two\u2028three"]
  assert read_lines(write(tmp_path / "u.txt", "één\r\ntwee".encode("utf-16"))) == ["één", "twee"]
  assert read_lines(write(tmp_path / "empty.txt", b"\n \n")) == []


def test_lines_that_are_not_utf_8_are_left_out_and_told(tmp_path):
  notes = []
  path = write(tmp_path / "a.txt", b"one\ncaf\xe9\n\xff\ntwo")
  assert read_lines(path, notes) == ["one", "two"]
  assert notes == [f"2 lines left out that are not UTF-8 text, the first is {path}, line 2"]
  with pytest.raises(InputError, match=r"a.txt, line 1: not UTF-8 text, and no line of it is"):
    read_lines(write(path, b"caf\xe9"))


def test_a_folder_and_the_same_file_twice(tmp_path):
  first = write(tmp_path / "a.txt", b"one\n")
  second = write(tmp_path / "a.txt.gz", gzip.compress(b"one\n", mtime=0))
  write(tmp_path / "b.txt", b"two")
  write(tmp_path / "c.csv", b"x")
  notes = []
  assert read_lines(tmp_path, notes) == ["one", "two"]
  assert any("a.txt.gz: the same content as" in note for note in notes)
  assert any("c.csv is passed over" in note for note in notes)
  notes = []
  assert read_lines([first, second, first], notes) == ["one"] and len(notes) == 2


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("a.jsonl", b"{}", "a.jsonl: a text a line is needed, and this is .jsonl"),
    ("a.csv.gz", gzip.compress(b"a", mtime=0), "a.csv.gz: a text a line is needed, and this is .csv"),
    ("a.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a.txt: is a Git LFS pointer"),
    ("a.txt", gzip.compress(b"text", mtime=0), "a.txt: holds gzip, and not text; end its name in .gz"),
    ("a.txt", "text of some length".encode("utf-16-le"), "a.txt: not UTF-8 text .every 2. byte is NUL"),
    ("a.txt.gz", gzip.compress(b"text", mtime=0)[:-3], "a.txt.gz: damaged, incomplete or not readable"),
    ("b/a.csv", b"a", "b: no text files there"),
  ],
)
def test_what_is_no_text_is_refused(tmp_path, name, content, message):
  (tmp_path / name).parent.mkdir(exist_ok=True)
  path = write(tmp_path / name, content)
  with pytest.raises(InputError, match=message):
    read_lines(path if path.parent == tmp_path else path.parent)


def test_what_is_not_there_is_told(tmp_path):
  (tmp_path / "link.txt").symlink_to(tmp_path / "gone.txt")
  for name, message in (("b.txt", "no such file"), ("*.md", "no such file"), ("link.txt", "a link that leads nowhere")):
    with pytest.raises(InputError, match=message):
      read_lines(tmp_path / name)

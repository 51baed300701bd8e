import bz2
import gzip

import pytest

from tinybert_jax.data.folders import Wanted, files_below, find_files, without_repeats
from tinybert_jax.errors import InputError

WANTED = Wanted(lambda path: ".txt" in path.name, "is wrong", "has none")


def write(path, content=b"text"):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  return path


def names(files, root):
  return [str(file.relative_to(root)) for file in files]


def test_links_are_followed_once_and_dead_ones_told(tmp_path):
  root = tmp_path / "root"
  write(root / "b" / "1.txt")
  write(tmp_path / "elsewhere" / "2.txt")
  write(root / ".hidden" / "3.txt")
  (root / "a").symlink_to(tmp_path / "elsewhere")
  (root / "b" / "up").symlink_to(root)  # a circle
  (root / "c").symlink_to(tmp_path / "elsewhere")
  (root / "dead.txt").symlink_to(tmp_path / "nothing")
  files, notes = files_below(root)
  assert names(files, root) == ["a/2.txt", "b/1.txt"]
  assert f"{root / 'c'}: the same folder as {root / 'a'}, so it is read once" in notes
  assert f"{root / 'dead.txt'}: passed over, a link that leads nowhere" in notes
  with pytest.raises(InputError, match=r"dead.txt: a link that leads nowhere"):
    find_files(root / "dead.txt", WANTED)


def test_folders_that_a_glob_names_are_read(tmp_path):
  write(tmp_path / "a" / "1.txt")
  write(tmp_path / "b.txt")
  (tmp_path / "empty").mkdir()
  for pattern in ("*", "**", "**/*.txt"):
    assert names(find_files(tmp_path / pattern, WANTED)[0], tmp_path) == ["a/1.txt", "b.txt"]
  with pytest.raises(InputError, match="has none"):
    find_files(tmp_path / "em*", WANTED)
  write(tmp_path / "c.csv")
  with pytest.raises(InputError, match=r"c.csv: is wrong"):
    find_files(tmp_path / "*", WANTED)


def test_the_same_content_is_read_once_and_other_content_is_read(tmp_path):
  plain = write(tmp_path / "a.txt", b"same")
  same = write(tmp_path / "a.txt.gz", gzip.compress(b"same", mtime=0))
  other = write(tmp_path / "a.txt.bz2", bz2.compress(b"some"))
  (tmp_path / "l.txt").symlink_to(plain)
  kept, notes = without_repeats([plain, same, other, tmp_path / "l.txt", plain])
  assert kept == [plain, other]
  assert [note.partition(": ")[2].partition(" ")[0] for note in notes] == ["the", "other", "the", "the"]
  damaged = write(tmp_path / "b.txt.gz", gzip.compress(b"same", mtime=0)[:-4])
  assert without_repeats([write(tmp_path / "b.txt", b"same"), damaged])[0][-1] == damaged  # and reading it says so


def test_empty_names_and_devices_are_refused():
  with pytest.raises(InputError, match="an empty name, and a file, folder or glob is needed"):
    find_files("", WANTED)
  with pytest.raises(InputError, match="/dev/null: a pipe or a device, and a file is needed"):
    find_files("/dev/null", WANTED)

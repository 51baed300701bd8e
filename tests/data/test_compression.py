import bz2
import gzip
import lzma

import pytest
from table_files import zst

from tinybert_jax.data import compression
from tinybert_jax.data.compression import DAMAGED, decompressed, reason_of, split_name

PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zst}
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # a Zstandard frame that readers pass over


def read(path, size=-1):
  with open(path, "rb") as raw, decompressed(raw, split_name(path)[1]) as file:
    return file.read() if size < 0 else b"".join(iter(lambda: file.read(size), b""))


@pytest.mark.parametrize("suffix", PACK)
def test_joined_files_and_padding_are_read_whole(tmp_path, suffix):
  path, parts = tmp_path / f"a.txt{suffix}", [b"one " * 30_000, b"", b"two"]
  packed = [PACK[suffix](part) for part in parts]
  for content in (b"".join(packed), b"".join(packed) + bytes(512)):
    path.write_bytes(content)
    assert read(path) == read(path, 7) == b"".join(parts)
  if suffix == ".zst":
    path.write_bytes(SKIPPABLE + packed[0] + SKIPPABLE)
    assert read(path) == parts[0]


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damage", ["cut", "half", "empty", "tail", "flip"])
def test_what_is_cut_off_or_followed_by_something_else_is_an_error(tmp_path, suffix, damage):
  if (suffix, damage) == (".zst", "flip"):
    pytest.skip("pyarrow writes no checksum")
  good = PACK[suffix](bytes(range(256)) * 40)
  flipped = bytearray(good)
  flipped[len(good) // 2] ^= 0xFF
  damaged = {"cut": good[:-1], "half": good[: len(good) // 2], "empty": b"", "tail": good + b"text", "flip": flipped}
  path = tmp_path / f"a.txt{suffix}"
  path.write_bytes(damaged[damage])
  with pytest.raises((OSError, *DAMAGED)):
    read(path)


def long_window(text, log):
  """Returns a Zstandard frame that asks for a window of 2^log bytes, and has one raw block."""
  return b"\x28\xb5\x2f\xfd" + bytes([0, (log - 10) << 3]) + ((len(text) << 3) | 1).to_bytes(3, "little") + text


@pytest.mark.parametrize("log", [20, 27, 28, 31])
def test_windows_of_any_length(tmp_path, monkeypatch, log):
  path = tmp_path / "a.txt.zst"
  path.write_bytes(long_window(b"one\n\ntwo\n", log))
  if compression.zstd:
    assert read(path) == b"one\n\ntwo\n"
  monkeypatch.setattr(compression, "zstd", None)
  if log < 28:
    assert read(path) == b"one\n\ntwo\n"
  else:
    with pytest.raises(OSError) as raised:
      read(path)
    assert "zstd -d --long=31" in reason_of(raised.value)

"""The bytes of files that may be compressed; a file that is cut off or damaged never ends early in silence."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

try:
  from compression import zstd  # Python 3.14
except ImportError:
  try:
    from backports import zstd
  except ImportError:
    zstd = None

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
# What reading damaged files raises, besides other OSErrors.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, pa.ArrowException)
_CHUNK = 1 << 16
_LARGEST_WINDOW = 31  # logarithm of the bytes that `zstd --long=31` looks back


def split_name(path: Path) -> tuple[str, str]:
  """Returns the suffixes of a file's format and compression in lower case, such as (".txt", ".gz")."""
  compression = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
  return without_compression(path).suffix.lower(), compression


def without_compression(path: Path) -> Path:
  """Returns a path without the suffix of its compression."""
  return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def decompressed(raw: BinaryIO, compression: str) -> Any:
  """Returns a file of the decompressed bytes, of all parts where several compressed files were joined.

  Args:
    raw: the file, open at its start.
    compression: one of `COMPRESSED`, or "" for none.
  """
  if not compression:
    return raw
  if compression == ".gz":
    return gzip.GzipFile(fileobj=_NotEmpty(raw))
  if compression == ".zst" and zstd is None:
    return io.BufferedReader(pa.CompressedInputStream(raw, "zstd"))
  new: dict[str, Callable[[], Any]] = {".bz2": bz2.BZ2Decompressor, ".xz": lzma.LZMADecompressor, ".zst": _new_zstd}
  return io.BufferedReader(_Unpacked(raw, new[compression]))


def reason_of(error: BaseException) -> str:
  """Returns what an error of reading says, and what helps where a window is too long for pyarrow's decoder."""
  reason = " ".join(str(error).split())[:200]
  if "requires too much memory" in reason or "Frame requires" in reason:
    return f"{reason}; pip install backports.zstd reads long windows, and so does zstd -d --long=31"
  return reason


def _new_zstd() -> Any:
  return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW})


class _NotEmpty(io.RawIOBase):
  """A file that raises EOFError where it has no byte: gzip takes that for a text of no length."""

  def __init__(self, raw: BinaryIO):
    self._raw, self._is_empty = raw, True

  def read(self, size: int = -1) -> bytes:
    data = self._raw.read(size)
    if not data and self._is_empty and size:
      raise EOFError("the file is empty")
    self._is_empty = False
    return data


class _Unpacked(io.RawIOBase):
  """The bytes of compressed streams one after another; what follows the last one and is no stream is an error.

  The standard library's own files leave out in silence what follows a stream and is none.
  """

  def __init__(self, raw: BinaryIO, new: Callable[[], Any]):
    self._raw, self._new = raw, new
    self._stream: Any = new()
    self._packed = b""

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: Any) -> int:
    while True:
      if self._stream.eof and not self._next_stream():
        return 0
      if not self._packed and self._stream.needs_input:
        self._packed = self._raw.read(_CHUNK)
        if not self._packed:
          raise EOFError("it ends before its end-of-stream marker")
      try:
        data = self._stream.decompress(self._packed, len(buffer))
      except OSError:
        raise
      except Exception as error:
        if isinstance(error, DAMAGED):
          raise
        raise OSError(str(error)) from error  # zstd's own
      self._packed = b""
      if data:
        buffer[: len(data)] = data
        return len(data)

  def _next_stream(self) -> bool:
    """Begins the next stream, and returns whether there is one; zeros may pad the file."""
    packed = self._stream.unused_data.lstrip(b"\0")
    while not packed:
      chunk = self._raw.read(_CHUNK)
      if not chunk:
        return False
      packed = chunk.lstrip(b"\0")
    self._stream, self._packed = self._new(), packed
    return True

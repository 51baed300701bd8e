"""Bytes of text files as UTF-8, whatever their encoding; what is no text is refused by name."""

import codecs
import io
import os
from pathlib import Path
from typing import Any

from tinybert_jax.data.compression import decompressed, split_name
from tinybert_jax.errors import InputError

_CHUNK = 1 << 20
_MARKS = (
  (codecs.BOM_UTF8, "utf-8"),
  (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
  (codecs.BOM_UTF32_BE, "utf-32-be"),
  (codecs.BOM_UTF16_LE, "utf-16-le"),
  (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = (
  (
    b"version https://git-lfs.github.com/spec/",
    "is a Git LFS pointer, and not the file; fetch it by git lfs pull",
  ),
  (b"\x1f\x8b\x08", "holds gzip, and not text; end its name in .gz"),
  (b"BZh91AY&SY", "holds bzip2, and not text; end its name in .bz2"),
  (b"\xfd7zXZ\x00", "holds xz, and not text; end its name in .xz"),
  (b"\x28\xb5\x2f\xfd", "holds Zstandard, and not text; end its name in .zst"),
  (b"PAR1\x15", "holds Parquet, and not text; end its name in .parquet"),
  (b"PK\x03\x04", "holds a ZIP archive, and not text; unpack it"),
  (b"%PDF-", "holds PDF, and not text; convert it to text"),
)
_UNDECODABLE = "tinybert_jax.undecodable"


class Utf8(io.RawIOBase):
  """A file's bytes as UTF-8 without a byte order mark, whatever its encoding; read it in order."""

  def __init__(self, path: Path, encoding: str | None = None, *, strict: bool = True):
    """Opens a file.

    Args:
      path: the file, compressed or not.
      encoding: of the text; by default UTF-8, or what a byte order mark says.
      strict: whether bytes that are not of the encoding are an error; else they come as bytes that are not UTF-8.

    Raises:
      InputError: no such encoding, or no text; and when read strictly, bytes that are not of the encoding, or a NUL
        byte, with its line.
    """
    self._path, self._raw, self._strict = path, open(path, "rb"), strict  # noqa: SIM115, closed with this
    try:
      self._size = os.fstat(self._raw.fileno()).st_size if self._raw.seekable() else 0
      self._file = decompressed(self._raw, split_name(path)[1])
      self._line, self._last, self._left = 1, "", b""
      first = self._file.read(_CHUNK) or b""
      mark, found = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", None))
      self.encoding = find_codec(encoding) if encoding else found or "utf-8"
      self._check_is_text(first, has_mark=found is not None)
      if found and found.startswith(self.encoding):  # "utf-16" leaves to the mark which of the two it is
        self.encoding, first = found, first.removeprefix(mark)
      errors = "strict" if strict else _UNDECODABLE
      self._decoder, self._ready = codecs.getincrementaldecoder(self.encoding)(errors), first
      self._is_plain = not strict and self.encoding == "utf-8"
    except BaseException:
      self._raw.close()
      raise

  def readable(self) -> bool:
    return True

  def tell_raw(self) -> int:
    """Returns how many bytes of the file itself have been read; 0 where it cannot tell."""
    return self._raw.tell() if self._raw.seekable() else 0

  def readinto(self, buffer: Any) -> int:
    while not self._left:
      raw, self._ready = self._ready or self._file.read(_CHUNK), b""
      self._left = raw if self._is_plain else self._utf8(raw)
      if not raw:
        if self._file is self._raw and self.tell_raw() < self._size:
          raise InputError(f"{self._path}: became shorter while it was read; start again when it is complete")
        break
    number = min(len(buffer), len(self._left))
    buffer[:number] = self._left[:number]
    self._left = self._left[number:]
    return number

  def close(self) -> None:
    if not self.closed:
      self._file.close()
      self._raw.close()
    super().close()

  def _check_is_text(self, first: bytes, *, has_mark: bool) -> None:
    for start, what in _OTHERS:
      if first.startswith(start):
        raise InputError(f"{self._path}: {what}")
    if not self._strict and self.encoding == "utf-8" and not has_mark and first.count(0) > max(4, len(first) // 4):
      raise InputError(
        f"{self._path}: not UTF-8 text (every {len(first) // first.count(0)}. byte is NUL, as in UTF-16 without a byte "
        "order mark); convert it to UTF-8"
      )

  def _utf8(self, raw: bytes) -> bytes:
    try:
      text = self._decoder.decode(raw, final=not raw)
    except UnicodeDecodeError as error:
      before = error.object[: error.start].decode(self.encoding, "ignore")
      raise InputError(
        f"{self._path}, line {self._line + self._breaks(before)}: byte 0x{error.object[error.start]:02x} is not "
        f"{self.encoding.upper()} text; give --encoding, such as cp1252"
      ) from error
    except UnicodeError as error:
      raise InputError(f"{self._path}: not {self.encoding.upper()} text ({error}); give another --encoding") from error
    if not self._strict:
      return text.encode("utf-8", "surrogatepass")
    if "\0" in text:
      line = self._line + self._breaks(text[: text.index("\0")])
      raise InputError(f"{self._path}, line {line}: a NUL byte, so it is no text file, or one of another --encoding")
    if text:
      self._line += self._breaks(text)
      self._last = text[-1]
    return text.encode()

  def _breaks(self, text: str) -> int:
    """Returns the line ends in a text that follows what was read; half of \\r\\n may have been read before."""
    is_half = self._last == "\r" and text.startswith("\n")
    return text.count("\n") + text.count("\r") - text.count("\r\n") - is_half


def find_codec(encoding: str) -> str:
  """Returns Python's name of an encoding of text; InputError where there is none."""
  try:
    "x".encode(encoding)  # raises for "hex" and its like as well, which are no encodings of text
    return codecs.lookup(encoding).name
  except (LookupError, ValueError) as error:
    raise InputError(f"--encoding {encoding}: no such encoding; utf-8, cp1252 and utf-16 are some") from error


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
  """Puts half a surrogate pair, which is no character, in the place of bytes that cannot be decoded."""
  if not isinstance(error, UnicodeDecodeError):
    raise error
  return "\ud800", error.end


codecs.register_error(_UNDECODABLE, _mark_undecodable)

"""Files that hold tables: which there are, and their bytes, decompressed and as UTF-8."""

import bz2
import codecs
import glob
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from tinybert_jax.errors import InputError

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".txt")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
FORMATS = f"{', '.join(TABLES)}, each alone or with {', '.join(COMPRESSED)} after it"
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, pa.ArrowException)
_CHUNK = 1 << 20
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def kind_of(path: Path) -> tuple[str, str]:
  """Returns a file's format and compression by its name, such as (".csv", ".gz"); ("", …) for another format."""
  compression = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
  name = path.with_suffix("") if compression else path
  suffix = name.suffix.lower()
  return (suffix if suffix in TABLES else "", compression)


def find_tables(where: str | Path) -> tuple[list[Path], list[str]]:
  """Returns the files that a path, glob or directory names, sorted, and notes on what is read once or passed over.

  An empty list: there is no such thing here.

  Raises:
    InputError: a file of another format, or a directory or glob without any table.
  """
  path, notes = Path(where).expanduser(), []
  if path.is_dir():
    visible = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    everything = sorted(p for p in visible if p.is_file())
    files = [p for p in everything if kind_of(p)[0]]
    if not files:
      raise InputError(f"{where}: a directory without tables; their names end in {FORMATS}")
    if len(files) < len(everything):
      notes.append(f"{where}: {len(everything) - len(files)} files of other formats are passed over")
  else:
    files = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
    files = [p for p in files if p.is_file()]
    if other := [p for p in files if not kind_of(p)[0]]:
      raise InputError(f"{other[0]}: not a table that can be read; its name must end in {FORMATS}")
  kept: dict[Path, Path] = {}
  for file in files:
    plain = file.resolve()
    plain = plain.with_suffix("") if kind_of(plain)[1] else plain
    if plain in kept:
      notes.append(f"{file}: the same as {kept[plain]}, so it is read once")
    else:
      kept[plain] = file
  return list(kept.values()), notes


def open_bytes(path: Path) -> BinaryIO:
  """Returns a file's bytes, decompressed; errors come as it is read, see `reading`."""
  raw = open(path, "rb")  # noqa: SIM115, closed by who reads
  opened: dict[str, Callable[[Any], Any]] = {
    "": lambda raw: raw,
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    # The standard library has it from Python 3.14 on.
    ".zst": lambda raw: io.BufferedReader(pa.CompressedInputStream(raw, "zstd")),
  }
  return opened[kind_of(path)[1]](raw)


class Utf8(io.RawIOBase):
  """A file's bytes as UTF-8 without a byte order mark, whatever its encoding; read it in order."""

  def __init__(self, path: Path, encoding: str | None = None):
    """Args:
    path: the file, compressed or not.
    encoding: of the text; by default UTF-8, or what a byte order mark says.

    Raises:
      InputError: no such encoding; and when read, bytes that are not of the encoding, or a NUL byte, with its line.
    """
    self._path, self._file, self._lines, self._left = path, open_bytes(path), 1, b""
    first = self._file.read(4) or b""
    mark, found = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", "utf-8"))
    self.encoding = encoding or found
    try:
      self._decoder = codecs.getincrementaldecoder(self.encoding)()
    except LookupError as error:
      raise InputError(f"--encoding {encoding}: no such encoding; utf-8, cp1252 and utf-16 are some") from error
    self._ready = first.removeprefix(mark) if found == self.encoding or not encoding else first

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: Any) -> int:
    while not self._left:
      raw, self._ready = self._ready or self._file.read(_CHUNK), b""
      self._left = self._decode(raw)
      if not raw:
        break
    number = min(len(buffer), len(self._left))
    buffer[:number] = self._left[:number]
    self._left = self._left[number:]
    return number

  def close(self) -> None:
    if not self.closed:
      self._file.close()
    super().close()

  def _decode(self, raw: bytes) -> bytes:
    try:
      text = self._decoder.decode(raw, final=not raw)
    except UnicodeDecodeError as error:
      line = self._lines + error.object[: error.start].count(b"\n")
      raise InputError(
        f"{self._path}, line {line}: byte 0x{error.object[error.start]:02x} is not {self.encoding.upper()} text; give "
        "--encoding, such as cp1252"
      ) from error
    if "\0" in text:
      line = self._lines + text[: text.index("\0")].count("\n")
      raise InputError(f"{self._path}, line {line}: a NUL byte, so it is no text file, or one of another --encoding")
    self._lines += text.count("\n")
    return text.encode("utf-8", errors="surrogatepass")


def reading(path: Path, parts: Callable[[], Iterator[Any]]) -> Iterator[Any]:
  """Returns what `parts` yields, with what a damaged, shortened or vanished file raises as one sentence."""
  try:
    yield from parts()
  except InputError:
    raise
  except FileNotFoundError as error:
    raise InputError(f"{path}: no such file") from error
  except DAMAGED as error:
    reason = " ".join(str(error).split())[:200]
    raise InputError(f"{path}: cannot be read as {kind_of(path)[0]}; it is damaged or cut off ({reason})") from error
  except OSError as error:
    raise InputError(f"{path}: cannot be read ({os.strerror(error.errno) if error.errno else error})") from error

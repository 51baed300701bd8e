"""Files that hold tables: which there are, and their bytes, decompressed and as UTF-8."""

import bz2
import codecs
import contextlib
import glob
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tinybert_jax.errors import InputError

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".txt")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
FORMATS = f"{', '.join(TABLES)}, each alone or with {', '.join(COMPRESSED)} after it"
# Names of columns that are not UTF-8 raise UnicodeError.
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, pa.ArrowException, UnicodeError)
_CHUNK = 1 << 20
_MARKS = (
  (codecs.BOM_UTF8, "utf-8"),
  (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
  (codecs.BOM_UTF32_BE, "utf-32-be"),
  (codecs.BOM_UTF16_LE, "utf-16-le"),
  (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What datasets writes beside the tables of `save_to_disk`, and hub repositories hold.
_NO_TABLES = {"state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json"}


class Reading(NamedTuple):
  """How text files are read; None is found out.

  Attributes:
    delimiter: between the cells of a line.
    quote: around cells that hold delimiters; "" where quotes are text.
    encoding: such as cp1252; by default UTF-8, or what a byte order mark says.
    header: whether the first row has the names of the columns; else they are "0", "1", ….
  """

  delimiter: str | None = None
  quote: str | None = None
  encoding: str | None = None
  header: bool = True


AS_FOUND = Reading()


def kind_of(path: Path) -> tuple[str, str]:
  """Returns a file's format and compression by its name, such as (".csv", ".gz"); ("", …) for another format."""
  compression = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
  suffix = (path.with_suffix("") if compression else path).suffix.lower()
  return (suffix if suffix in TABLES else "", compression)


def find_tables(where: str | Path) -> tuple[list[Path], list[str]]:
  """Returns the files that a path, glob or directory names, sorted, and notes on those that are passed over.

  An empty list: there is no such thing here.

  Raises:
    InputError: a file of another format, or a directory without any table.
  """
  path = Path(where).expanduser()
  try:
    if path.is_dir():
      return _in_directory(path)
    files = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
    files = [p for p in files if p.is_file()]
  except OSError as error:
    raise InputError(f"{where}: cannot be read ({os.strerror(error.errno or 0)})") from error
  if other := [p for p in files if not kind_of(p)[0]]:
    raise InputError(f"{other[0]}: not a table that can be read; its name must end in {FORMATS}")
  return files, []


def without_repeats(files: Sequence[Path]) -> tuple[list[Path], list[str]]:
  """Returns the files without those that are there already, compressed or not, and a note on each of these."""
  kept: dict[Path, Path] = {}
  notes = []
  for file in files:
    plain = file.resolve()
    plain = plain.with_suffix("") if kind_of(plain)[1] else plain
    if plain in kept:
      notes.append(f"{file}: the same table as {kept[plain]}, so it is read once")
    else:
      kept[plain] = file
  return list(kept.values()), notes


class Utf8(io.RawIOBase):
  """A file's bytes as UTF-8 without a byte order mark, whatever its encoding; read it in order."""

  def __init__(self, path: Path, encoding: str | None = None):
    """Opens a file.

    Args:
      path: the file, compressed or not.
      encoding: of the text; by default UTF-8, or what a byte order mark says.

    Raises:
      InputError: no such encoding; and when read, bytes that are not of the encoding, or a NUL byte, with its line.
    """
    self._path, self._raw = path, open(path, "rb")  # noqa: SIM115, closed with this
    self._size = os.fstat(self._raw.fileno()).st_size
    self._file = _decompressed(self._raw, kind_of(path)[1])
    self._line, self._last, self._left = 1, "", b""
    first = self._file.read(4) or b""
    mark, found = next(((mark, name) for mark, name in _MARKS if first.startswith(mark)), (b"", None))
    self.encoding = _codec(encoding) if encoding else found or "utf-8"
    if found and found.startswith(self.encoding):  # "utf-16" leaves to the mark which of the two it is
      self.encoding, first = found, first.removeprefix(mark)
    self._decoder, self._ready = codecs.getincrementaldecoder(self.encoding)(), first

  def readable(self) -> bool:
    return True

  def readinto(self, buffer: Any) -> int:
    while not self._left:
      raw, self._ready = self._ready or self._file.read(_CHUNK), b""
      self._left = self._utf8(raw)
      if not raw:
        if self._file is self._raw and self._raw.tell() < self._size:
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


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
  """Gives a file's bytes, decompressed; errors come as it is read, see `reading`."""
  with open(path, "rb") as raw, _decompressed(raw, kind_of(path)[1]) as file:
    yield file


def note_skipped(lines: int, remarks: list[str]) -> None:
  """Adds a remark on empty lines, if there are any."""
  if lines:
    remarks.append(f"{lines:,} empty line{'s' * (lines > 1)} skipped")


def join_names(names: Iterable[str]) -> str:
  """Returns names of columns, at most twenty, as part of a sentence."""
  said = [name if name and name.isprintable() else repr(name) for name in names]
  return ", ".join(said[:20]) + (f" and {len(said) - 20} more" if len(said) > 20 else "")


def one_line(error: Exception) -> str:
  """Returns the start of an error's message, as part of a sentence."""
  return " ".join(str(error).split())[:200]


def reading(path: Path, parts: Callable[[], Iterator[Any]]) -> Iterator[Any]:
  """Yields what `parts` yields, with what a damaged, shortened or vanished file raises as one sentence."""
  try:
    yield from parts()
  except InputError:
    raise
  except FileNotFoundError as error:
    raise InputError(f"{path}: no such file; it may have been removed in the meantime") from error
  except MemoryError as error:
    raise InputError(f"{path}: needs more memory than there is, or is damaged ({one_line(error)})") from error
  except _DAMAGED as error:
    reason = one_line(error)
    raise InputError(
      f"{path}: damaged or cut off, so it cannot be read as {''.join(kind_of(path))} ({reason})"
    ) from error
  except OSError as error:
    reason = os.strerror(error.errno) if error.errno else one_line(error)
    raise InputError(f"{path}: cannot be read ({reason})") from error


def _in_directory(path: Path) -> tuple[list[Path], list[str]]:
  visible = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
  everything = sorted(p for p in visible if p.is_file())
  files = [p for p in everything if kind_of(p)[0] and p.name not in _NO_TABLES]
  if not files:
    raise InputError(f"{path}: a directory without tables; their names end in {FORMATS}")
  notes = [f"{path}: {len(files)} files are read, from {files[0].name} to {files[-1].name}"] if len(files) > 1 else []
  if other := [p for p in everything if p not in set(files)]:
    number = f"{len(other)} other files, such as {other[0].name}, are" if len(other) > 1 else f"{other[0].name} is"
    notes.append(f"{path}: {number} passed over, being no table" + "s" * (len(other) > 1))
  return files, notes


def _decompressed(raw: Any, compression: str) -> Any:
  opened: dict[str, Callable[[Any], Any]] = {
    "": lambda raw: raw,
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    # The standard library has it from Python 3.14 on.
    ".zst": lambda raw: io.BufferedReader(pa.CompressedInputStream(raw, "zstd")),
  }
  return opened[compression](raw)


def _codec(encoding: str) -> str:
  try:
    "x".encode(encoding)  # raises for "hex" and its like as well, which are no encodings of text
    return codecs.lookup(encoding).name
  except (LookupError, ValueError) as error:
    raise InputError(f"--encoding {encoding}: no such encoding; utf-8, cp1252 and utf-16 are some") from error

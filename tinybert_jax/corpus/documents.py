"""Documents of text from local files, compressed or not, or from the Hugging Face hub, one after another."""

import bz2
import glob
import gzip
import hashlib
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from tinybert_jax.errors import InputError

LONGEST = 8_000_000  # bytes or characters that are taken as one document, so that memory is bounded
DEFAULT_CONFIGS = {"wikimedia/wikipedia": "20231101.en"}
FORMATS = "{.txt,.jsonl,.ndjson}, alone or with {.gz,.bz2,.xz,.zst} after it, or .parquet"

_LINES = (".txt", ".jsonl", ".ndjson")
_OPEN = {
  "": lambda raw: raw,
  ".gz": gzip.open,
  ".bz2": bz2.open,
  ".xz": lzma.open,
  # The standard library has it from Python 3.14 on.
  ".zst": lambda raw: io.BufferedReader(pa.CompressedInputStream(raw, "zstd")),
}
_LONGEST_JSON = 256_000_000
_ROWS_AT_ONCE = 64  # some may be books
_WINDOW, _WINDOWS = 1 << 16, 256


def find_texts(where: str) -> list[Path] | datasets.Dataset:
  """Returns the files that a source names, sorted, or the rows of its data set on the hub, memory-mapped.

  Args:
    where: a file, a glob, a directory (for all files of a known format below it), or a hub id, "name" or
      "name:config".

  Raises:
    InputError: there is no such thing, or a file of another format.
  """
  path = Path(where).expanduser()
  if path.is_dir():
    visible = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    files = sorted(p for p in visible if _format(p) and p.is_file())
    if not files:
      raise InputError(f"{where}: no text files in that directory; they would be {FORMATS}")
    return files
  files = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
  files = [p for p in files if p.is_file()]
  if other := [p for p in files if not _format(p)]:
    raise InputError(f"{other[0]}: a text file's name ends in {FORMATS}")
  if files:
    return files
  if glob.has_magic(where):
    raise InputError(f"{where}: no file matches")
  if _format(path) or where.count("/") > 1 or where.startswith((".", "/", "~")):
    raise InputError(f"{where}: no such file or directory")
  return _load_hub(where)


def fingerprint_texts(texts: list[Path] | datasets.Dataset) -> Any:
  """Returns what tells these texts from others, a JSON value.

  Of a file it is the format, size and bytes, not the name nor the time, which differ between the hosts of a run and
  change when a file is copied. Of a file above 16 MiB, only 256 windows of 64 KiB, evenly spread, are read: who changes
  some bytes between them in place, and keeps the size, must pack to another directory.
  """
  if isinstance(texts, datasets.Dataset):
    return [texts.info.dataset_name, texts.info.config_name, texts._fingerprint]
  return [["".join(_format(path)), path.stat().st_size, _digest(path)] for path in texts]


def count_bytes(texts: list[Path] | datasets.Dataset) -> int:
  """Returns the size that `read_documents` counts its progress in."""
  return texts.data.nbytes if isinstance(texts, datasets.Dataset) else sum(path.stat().st_size for path in texts)


def read_documents(
  texts: list[Path] | datasets.Dataset, text_column: str, advance: Callable[[int], Any]
) -> Iterator[str | None]:
  """Yields the text of each document in order: "" where there is none, None where its bytes are not UTF-8.

  Documents of a .txt file lie between blank lines; those longer than `LONGEST` are cut into several.

  Args:
    texts: from `find_texts`.
    text_column: of JSON lines, Parquet files and hub data sets.
    advance: is told the bytes read.

  Raises:
    InputError: a file that is damaged or has no such column, or a line that is not JSON.
  """
  if isinstance(texts, datasets.Dataset):
    yield from _read_hub(texts, text_column, advance)
    return
  for path in texts:
    try:
      if _format(path)[0] == ".parquet":
        yield from _read_parquet(path, text_column, advance)
      else:
        yield from _read_lines(path, text_column, advance)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
      raise InputError(f"{path}: damaged, incomplete or not readable ({error})") from error


def cut_text(text: str, longest: int) -> Iterator[str]:
  """Yields the text in pieces of at most `longest` characters that end at whitespace, which no word of BERT's spans.

  A longer word is cut anywhere.
  """
  start = 0
  while len(text) - start > longest:
    end = max(text.rfind(space, start, start + longest) for space in " \n\t")
    end = end if end > start else start + longest
    yield text[start:end]
    start = end
  yield text[start:] if start else text


def _format(path: Path) -> tuple[str, str] | None:
  """Returns the suffixes of format and compression, None where they are not known."""
  *_, before, last = ["", "", *(suffix.lower() for suffix in path.suffixes)]
  if last in _LINES or last == ".parquet":
    return last, ""
  return (before, last) if before in _LINES and last in _OPEN else None


def _digest(path: Path) -> str:
  digest, size = hashlib.blake2b(digest_size=16), path.stat().st_size
  with open(path, "rb") as file:
    if size <= _WINDOW * _WINDOWS:
      digest.update(file.read())
    else:
      for window in range(_WINDOWS):
        file.seek((size - _WINDOW) * window // (_WINDOWS - 1))
        digest.update(file.read(_WINDOW))
  return digest.hexdigest()


def _read_lines(path: Path, text_column: str, advance: Callable[[int], Any]) -> Iterator[str | None]:
  suffix, compression = _format(path)
  with open(path, "rb") as raw, _OPEN[compression](raw) as file:
    told = 0
    for document in _blank_line_documents(file) if suffix == ".txt" else _json_texts(file, path, text_column):
      if raw.tell() > told:
        advance(raw.tell() - told)
        told = raw.tell()
      yield _decode(document)
    advance(path.stat().st_size - told)


def _blank_line_documents(file: BinaryIO) -> Iterator[bytes]:
  lines, size, is_first = [], 0, True
  # Not text mode: U+2028 and its like are text here, and would end a line.
  while line := file.readline(LONGEST):
    if is_first:
      line, is_first = line.removeprefix(b"\xef\xbb\xbf"), False
    if line.strip():
      lines.append(line)
      size += len(line)
    elif lines:
      yield b"".join(lines)
      lines, size = [], 0
    if size >= LONGEST:
      document = b"".join(lines)
      end = _last_border(document)
      yield document[:end]
      rest = document[end:]
      lines, size = ([rest], len(rest)) if rest.strip() else ([], 0)
  if size:
    yield b"".join(lines)


def _last_border(document: bytes) -> int:
  """Returns where to cut: after the last line or word, or before the last character where there is one word only."""
  if document.endswith(b"\n"):
    return len(document)
  if (space := max(document.rfind(space) for space in (b" ", b"\n", b"\t"))) > 0:
    return space
  end = len(document) - 1
  while end > len(document) - 4 and document[end] & 0xC0 == 0x80:  # the bytes of a character after its first
    end -= 1
  return end


def _json_texts(file: BinaryIO, path: Path, text_column: str) -> Iterator[str | None]:
  number = 0
  while line := file.readline(_LONGEST_JSON):
    number += 1
    if len(line) == _LONGEST_JSON:
      raise InputError(f"{path}, line {number}: longer than {_LONGEST_JSON:,} bytes; a JSON object a line is needed")
    line = _decode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
    if line is None:
      yield None
    elif line.strip():
      yield _json_text(line, f"{path}, line {number}", text_column)


def _json_text(line: str, where: str, text_column: str) -> str | None:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError) as error:
    raise InputError(f"{where}: not JSON ({error})") from error
  if not isinstance(row, dict):
    raise InputError(f'{where}: not a JSON object, such as {{"{text_column}": "…"}}')
  _check_column(text_column, row, where)
  text = row[text_column]
  if not (text is None or isinstance(text, str)):
    raise InputError(f"{where}: {text_column} is {json.dumps(text)[:50]}, and a text is needed")
  return text or ""


def _read_parquet(path: Path, text_column: str, advance: Callable[[int], Any]) -> Iterator[str | None]:
  # So a row group is read as it is needed, and not whole.
  with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
    _check_column(text_column, file.schema_arrow.names, path)
    size, rows = path.stat().st_size, max(file.metadata.num_rows, 1)
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[text_column]):
      yield from _column_texts(batch.column(0), text_column, path)
      advance(size * len(batch) // rows)


def _load_hub(where: str) -> datasets.Dataset:
  name, _, config = where.partition(":")
  try:
    return datasets.load_dataset(name, config or DEFAULT_CONFIGS.get(name), split="train")
  except Exception as error:  # datasets, huggingface_hub and their HTTP libraries each raise their own
    raise InputError(
      f"{where}: no such file or directory, and no data set in the cache or that the Hugging Face hub gives "
      f"({(str(error).splitlines() or [type(error).__name__])[0]}); give text files instead: {FORMATS}"
    ) from error


def _read_hub(rows: datasets.Dataset, text_column: str, advance: Callable[[int], Any]) -> Iterator[str | None]:
  name, size = rows.info.dataset_name or "the data set", count_bytes(rows)
  _check_column(text_column, rows.column_names, name)
  for table in rows.select_columns(text_column).with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
    yield from _column_texts(table[text_column], text_column, name)
    advance(size * len(table) // len(rows))


def _column_texts(column: pa.Array | pa.ChunkedArray, name: str, where: object) -> Iterator[str | None]:
  try:
    column = column.cast(pa.large_binary())  # where a text that is not UTF-8 can be told
  except pa.ArrowNotImplementedError as error:
    raise InputError(f"{where}: the column {name} is of {column.type}, and text is needed") from error
  for text in column:
    yield _decode(text.as_py() or b"")


def _check_column(name: str, names: Any, where: object) -> None:
  if name not in names:
    raise InputError(f"{where}: no column {name}; there are {', '.join(names) or 'none'}")


def _decode(text: bytes | str | None) -> str | None:
  try:
    if isinstance(text, str):  # a half of a surrogate pair, which JSON can hold, is no character
      text = text.encode()
    return None if text is None else text.decode()
  except UnicodeError:
    return None

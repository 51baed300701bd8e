"""Documents of text from local files, compressed or not, or from the Hugging Face hub, one after another."""

import glob
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from tinybert_jax.data import hub
from tinybert_jax.data.compression import COMPRESSED, DAMAGED, reason_of, split_name
from tinybert_jax.data.folders import Wanted, find_files
from tinybert_jax.data.text_lines import is_blank, text_lines
from tinybert_jax.errors import InputError

LONGEST = 8_000_000  # bytes or characters that are taken as one document, so that memory is bounded
DEFAULT_CONFIGS = {"wikimedia/wikipedia": "20231101.en"}
FORMATS = f"{{.txt,.jsonl,.ndjson}}, alone or with {{{','.join(COMPRESSED)}}} after it, or .parquet"

_LINES = (".txt", ".jsonl", ".ndjson")
_LONGEST_JSON = 256_000_000
_ROWS_AT_ONCE = 64  # some may be books
_WINDOW, _WINDOWS = 1 << 16, 256
_MANY_LINES = 1000  # of a file without a blank line, which may be several documents

Kind = Literal["undecodable_lines", "undecodable_documents", "unbroken_files"]


class Remark(NamedTuple):
  """What was met among the documents: a line or document that is not UTF-8, or many lines without a blank one."""

  kind: Kind
  where: str


def find_texts(where: str, notes: list[str] | None = None) -> list[Path] | datasets.Dataset:
  """Returns the files that a source names, sorted, or the rows of its data set on the hub, memory-mapped.

  Args:
    where: a file, a glob, a directory (for all files of a known format below it), or a hub id, "name" or
      "name:config".
    notes: gets a sentence on each thing that is passed over.

  Raises:
    InputError: there is no such thing, or a file of another format.
  """
  files, said = find_files(where, _WANTED)
  if notes is not None:
    notes += said
  if files:
    return files
  if glob.has_magic(where):
    raise InputError(f"{where}: no file matches")
  if _format(Path(where)) or where.count("/") > 1 or where.startswith((".", "/", "~")):
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
  return [["".join(_format(path) or ()), path.stat().st_size, _digest(path)] for path in texts]


def count_bytes(texts: list[Path] | datasets.Dataset) -> int:
  """Returns the size that `read_documents` counts its progress in."""
  return texts.data.nbytes if isinstance(texts, datasets.Dataset) else sum(path.stat().st_size for path in texts)


def read_documents(
  texts: list[Path] | datasets.Dataset, text_column: str, advance: Callable[[int], Any]
) -> Iterator[str | Remark]:
  """Yields the text of each document in order, "" where there is none, and remarks as they come.

  Documents of a .txt file lie between blank lines; those longer than `LONGEST` are cut into several. A line that is not
  UTF-8 is left out, and so is a document of another format.

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
      if (suffix := split_name(path)[0]) == ".parquet":
        yield from _read_parquet(path, text_column, advance)
      elif suffix == ".txt":
        yield from _read_text(path, advance)
      else:
        yield from _read_json(path, text_column, advance)
    except InputError:
      raise
    except (OSError, *DAMAGED) as error:
      raise InputError(f"{path}: damaged, incomplete or not readable ({reason_of(error)})") from error


def cut_text(text: str, longest: int) -> Iterator[str]:
  """Yields the text in pieces of at most `longest` characters that end at whitespace, which no word of BERT's spans.

  A longer word is cut anywhere.
  """
  if longest < 1:
    raise InputError(f"longest {longest}: pieces of at least 1 character are needed")
  start = 0
  while len(text) - start > longest:
    end = max(text.rfind(space, start, start + longest) for space in " \n\t")
    end = end if end > start else start + longest
    yield text[start:end]
    start = end
  yield text[start:] if start else text


def _format(path: Path) -> tuple[str, str] | None:
  """Returns the suffixes of format and compression, None where they are not known."""
  suffix, compression = split_name(path)
  is_known = suffix in _LINES or (suffix == ".parquet" and not compression)
  return (suffix, compression) if is_known else None


_WANTED = Wanted(
  lambda path: _format(path) is not None,
  f"a text file's name ends in {FORMATS}",
  f"no text files in that directory; they would be {FORMATS}",
)


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


def _read_text(path: Path, advance: Callable[[int], Any]) -> Iterator[str | Remark]:
  lines, size, number, has_blank = [], 0, 0, False
  for line in text_lines(path, longest=LONGEST, advance=advance):
    number = line.number
    if line.text is None:
      yield Remark("undecodable_lines", f"{path}, line {number}")
    elif not is_blank(line.text):
      lines.append(line.text + (line.end or ""))
      size += line.size + len(line.end or "")
    elif lines:
      has_blank = True
      yield "".join(lines)
      lines, size = [], 0
    if lines and (size >= LONGEST or line.end is None):
      yield "".join(lines)
      lines, size = [], 0
  if lines:
    yield "".join(lines)
  if number >= _MANY_LINES and not has_blank:
    yield Remark("unbroken_files", f"{path}, {number:,} lines")


def _read_json(path: Path, text_column: str, advance: Callable[[int], Any]) -> Iterator[str | Remark]:
  for line in text_lines(path, longest=_LONGEST_JSON, advance=advance):
    where = f"{path}, line {line.number}"
    if line.end is None:
      raise InputError(f"{where}: longer than {_LONGEST_JSON:,} bytes; a JSON object a line is needed")
    if line.text is None:
      yield Remark("undecodable_documents", where)
    elif not is_blank(line.text):
      yield _checked(_json_text(line.text, where, text_column), where)


def _json_text(line: str, where: str, text_column: str) -> str:
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


def _read_parquet(path: Path, text_column: str, advance: Callable[[int], Any]) -> Iterator[str | Remark]:
  # So a row group is read as it is needed, and not whole.
  with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
    _check_column(text_column, file.schema_arrow.names, path)
    size, rows, row = path.stat().st_size, max(file.metadata.num_rows, 1), 0
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[text_column]):
      yield from _column_texts(batch.column(0), text_column, path, row)
      row += len(batch)
      advance(size * len(batch) // rows)


def _load_hub(where: str) -> datasets.Dataset:
  name, _, config = where.partition(":")
  try:
    return hub.load_rows(name, config or DEFAULT_CONFIGS.get(name), "train")
  except Exception as error:  # datasets, huggingface_hub and their HTTP libraries each raise their own
    raise InputError(
      f"{where}: no such file or directory, and no data set in the cache or that the Hugging Face hub gives "
      f"({(str(error).splitlines() or [type(error).__name__])[0]}); give text files instead: {FORMATS}"
    ) from error


def _read_hub(rows: datasets.Dataset, text_column: str, advance: Callable[[int], Any]) -> Iterator[str | Remark]:
  name, size, row = rows.info.dataset_name or "the data set", count_bytes(rows), 0
  _check_column(text_column, rows.column_names, name)
  for table in rows.select_columns(text_column).with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
    yield from _column_texts(table[text_column], text_column, name, row)
    row += len(table)
    advance(size * len(table) // len(rows))


def _column_texts(column: pa.Array | pa.ChunkedArray, name: str, where: object, row: int) -> Iterator[str | Remark]:
  """Yields the cells of a column, whose first row is `row`, counted from 0."""
  try:
    column = column.cast(pa.large_binary())  # where a text that is not UTF-8 can be told
  except pa.ArrowNotImplementedError as error:
    raise InputError(f"{where}: the column {name} is of {column.type}, and text is needed") from error
  for number, text in enumerate(column, start=row + 1):
    yield _checked(text.as_py() or b"", f"{where}, row {number}")


def _check_column(name: str, names: Any, where: object) -> None:
  if name not in names:
    raise InputError(f"{where}: no column {name}; there are {', '.join(names) or 'none'}")


def _checked(text: bytes | str, where: str) -> str | Remark:
  try:
    if isinstance(text, str):  # a half of a surrogate pair, which JSON can hold, is no character
      text = text.encode()
    return text.decode()
  except UnicodeError:
    return Remark("undecodable_documents", where)

"""People's own tables: CSV, TSV, JSON, Parquet, Arrow and text files, and data sets of the hub, read in pieces."""

import functools
import itertools
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from tinybert_jax.choices import AS_FOUND, Reading
from tinybert_jax.data import hub
from tinybert_jax.data.delimited import read_delimited
from tinybert_jax.data.folders import without_repeats
from tinybert_jax.data.json_rows import read_json, read_json_lines
from tinybert_jax.data.sources import (
  FORMATS,
  find_tables,
  join_names,
  kind_of,
  note_skipped,
  one_line,
  open_bytes,
  reading,
)
from tinybert_jax.data.text_lines import LONGEST, is_blank, note_undecodable, text_lines
from tinybert_jax.errors import InputError

__all__ = ["AS_FOUND", "Reading", "Table", "iterate_tables", "read_table"]

_PIECE = 1 << 16  # rows
_LINES = (".jsonl", ".ndjson", ".json")  # whose rows may lack columns


class Table(NamedTuple):
  """A table in memory.

  Attributes:
    rows: its columns as they are found; cells of CSV and TSV files are texts, and None where they are empty.
    notes: a sentence on each thing that was found out, or passed over.
    files: that were read; none of a data set on the hub.
  """

  rows: datasets.Dataset
  notes: tuple[str, ...]
  files: tuple[Path, ...]


def read_table(
  where: str | Path | Sequence[str | Path],
  how: Reading = AS_FOUND,
  *,
  delimiter: str | None = None,
  quote: str | None = None,
  encoding: str | None = None,
  header: bool = True,
) -> Table:
  """Returns the table of one or several files, globs, directories, or a data set on the hub.

  Args:
    where: what to read; of several, all have the same columns. A data set is "name", "name:config" or
      "name:config:split", its split by default "train"; "name::split" leaves out the config.
    how: how text files are read; the options that follow say the same one by one.
    delimiter: between the cells of a line.
    quote: around cells that hold delimiters; "" where quotes are text.
    encoding: such as cp1252; by default UTF-8, or what a byte order mark says.
    header: whether the first row has the names of the columns; else they are "0", "1", ….

  Raises:
    InputError: nothing there, something else than a table, or one without rows; it names file and line.
  """
  notes: list[str] = []
  files = _find(where, notes)
  if isinstance(files, datasets.Dataset):
    return Table(files, tuple(notes), ())
  pieces = list(_pieces(files, _together(how, delimiter, quote, encoding, header), _PIECE, notes))
  try:
    table = pa.concat_tables(pieces, promote_options="permissive")
  except pa.ArrowException as error:
    raise InputError(f"{_listed(files)}: a column has values of different kinds ({one_line(error)})") from error
  try:
    return Table(datasets.Dataset(table), tuple(notes), tuple(files))
  except ValueError as error:
    raise InputError(f"{_listed(files)}: a column of a type that cannot be read ({one_line(error)})") from error


def iterate_tables(
  where: str | Path | Sequence[str | Path],
  how: Reading = AS_FOUND,
  *,
  delimiter: str | None = None,
  quote: str | None = None,
  encoding: str | None = None,
  header: bool = True,
  batch_rows: int = 4096,
  notes: list[str] | None = None,
) -> Iterator[pa.Table]:
  """Yields the same in pieces of at most `batch_rows` rows.

  Memory is bounded, but for `.json` files of one value, and for batches of Arrow files, which are read whole. A column
  that the first pieces lack comes with the first that has it.

  Args:
    where: as of `read_table`, and the options that follow.
    how: see there.
    delimiter: see there.
    quote: see there.
    encoding: see there.
    header: see there.
    batch_rows: rows of a piece.
    notes: gets the notes of `read_table`, those on a file when it is read.
  """
  if batch_rows < 1:
    raise InputError(f"batch_rows {batch_rows}: pieces of at least 1 row are needed")
  notes = [] if notes is None else notes
  files = _find(where, notes)
  if isinstance(files, datasets.Dataset):
    for start in range(0, len(files), batch_rows):
      yield files.with_format("arrow")[start : start + batch_rows]
    return
  for piece in _pieces(files, _together(how, delimiter, quote, encoding, header), batch_rows, notes):
    for start in range(0, len(piece), batch_rows):
      yield piece.slice(start, batch_rows)


def _together(how: Reading, delimiter: str | None, quote: str | None, encoding: str | None, header: bool) -> Reading:
  return Reading(
    how.delimiter if delimiter is None else delimiter,
    how.quote if quote is None else quote,
    how.encoding if encoding is None else encoding,
    how.header and header,
  )


def _find(where: str | Path | Sequence[str | Path], notes: list[str]) -> list[Path] | datasets.Dataset:
  """Returns the files of all sources, or the rows of one data set on the hub."""
  sources = [where] if isinstance(where, str | Path) else list(where)
  if not sources:
    raise InputError("no table is named; give a file, a glob or a directory")
  files: list[Path] = []
  for source in sources:
    found, said = find_tables(source)
    notes += said
    if not found:
      if len(sources) == 1 and isinstance(source, str) and _may_be_hub(source):
        return _from_hub(source)
      raise InputError(
        f"{source}: {'no file matches' if set(str(source)) & set('*?[') else 'no such file or directory'}"
      )
    files += found
  files, said = without_repeats(files)
  notes += said
  return files


def _may_be_hub(name: str) -> bool:
  plain = name.split(":")[0]
  return (
    not kind_of(Path(plain))[0]
    and bool(plain)
    and not plain.startswith((".", "/", "~"))
    and not set(plain) & set("*?[\\ ")
    and plain.count("/") <= 1
  )


def _from_hub(where: str) -> datasets.Dataset:
  name, config, split = (*where.split(":"), "", "")[:3]
  try:
    rows = hub.load_rows(name, config or None, split or "train")
  except Exception as error:  # datasets, huggingface_hub and their HTTP libraries each raise their own
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    raise InputError(
      f"{where}: no such file or directory, and no data set of the Hugging Face hub that is in the cache or can be "
      f"fetched ({reason}); give a local path, its name ending in {FORMATS}, or name:config:split of a data set"
    ) from error
  if not len(rows):
    raise InputError(f"{where}: a data set without rows")
  return rows


def _pieces(files: Sequence[Path], how: Reading, batch_rows: int, notes: list[str]) -> Iterator[pa.Table]:
  first: Path | None = None  # that has rows, and so tells the columns
  names: list[str] = []
  remarks: list[str] = []
  found: defaultdict[str, list[Path]] = defaultdict(list)
  for file in files:
    remarks, own = [], {}
    may_lack = kind_of(file)[0] in _LINES
    for piece in reading(file, functools.partial(_read, file, how, batch_rows, remarks)):
      if not piece.num_columns or not len(piece):
        continue
      own.update(dict.fromkeys(piece.column_names))
      if first in (None, file):
        first, names = file, list(own)
      _check_names(own, names, file, first, may_lack=may_lack)
      yield _plain(piece, names)
    if own:
      _check_names(own, names, file, first, may_lack=False)
    elif not remarks:
      remarks.append("empty")
    if remarks:
      found[", ".join(remarks)].append(file)
  if first is None:
    raise InputError(f"{_listed(files)}: {', '.join(remarks)}; at least one row is needed")
  notes += [f"{_listed(those)}: {text}" for text, those in found.items()]


def _check_names(own: dict[str, None], names: Sequence[str], file: Path, first: Path | None, *, may_lack: bool) -> None:
  if not set(own) <= set(names) or not (may_lack or set(own) == set(names)):
    raise InputError(
      f"{file}: columns {join_names(own)}, and {first} has {join_names(names)}; files that are read together need the "
      "same columns, so name only those that do, one by one or by a glob such as 'folder/part*.csv'"
    )


def _listed(files: Sequence[Path]) -> str:
  return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more files"


def _read(file: Path, how: Reading, batch_rows: int, remarks: list[str]) -> Iterator[pa.Table]:
  kind, _ = kind_of(file)
  if kind in (".csv", ".tsv") or (kind == ".txt" and how.delimiter is not None):
    return read_delimited(file, ".csv" if kind == ".csv" else ".tsv", how, batch_rows, remarks)
  if kind == ".txt":
    return _read_texts(file, how, batch_rows, remarks)
  if kind in (".jsonl", ".ndjson"):
    return read_json_lines(file, how, batch_rows)
  if kind == ".json":
    return read_json(file, how, batch_rows, remarks)
  return _read_parquet(file, batch_rows) if kind == ".parquet" else _read_arrow(file)


def _read_texts(file: Path, how: Reading, batch_rows: int, remarks: list[str]) -> Iterator[pa.Table]:
  """Yields the lines that are not blank, in pieces; those that are not of the encoding are left out, and counted."""
  blank, undecodable = 0, []

  def texts() -> Iterator[str]:
    nonlocal blank
    for line in text_lines(file, how.encoding):
      if line.end is None:
        raise InputError(f"{file}, line {line.number}: longer than {LONGEST:,} bytes")
      if line.text is None:
        undecodable.append(line.number)
      elif "\0" in line.text:
        raise InputError(f"{file}, line {line.number}: a NUL byte, so it is no text file, or one of another --encoding")
      elif is_blank(line.text):
        blank += 1
      else:
        yield line.text

  lines = texts()
  while some := list(itertools.islice(lines, batch_rows)):
    yield pa.table({"text": pa.array(some, pa.string())})
  note_skipped(blank, remarks)
  if undecodable:
    remarks.append(note_undecodable(len(undecodable), f"line {undecodable[0]}", how.encoding))


def _read_parquet(file: Path, batch_rows: int) -> Iterator[pa.Table]:
  # So a row group is read as it is needed, and not whole.
  with _seekable(file) as source, pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False) as parquet:
    _check_twice(parquet.schema_arrow.names, file)
    for batch in parquet.iter_batches(batch_size=batch_rows):
      yield _checked(batch)


def _read_arrow(file: Path) -> Iterator[pa.Table]:
  with _seekable(file) as source:
    try:
      opened: Any = pa.ipc.open_file(source)
      batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
    except pa.ArrowInvalid:  # not a file, so it may be a stream
      source.seek(0)
      opened = pa.ipc.open_stream(source)
      batches = iter(opened)
    _check_twice(opened.schema.names, file)
    for batch in batches:
      yield _checked(batch)


def _seekable(file: Path) -> Any:
  if not kind_of(file)[1]:
    return pa.OSFile(str(file))  # a memory map would end the process where the file becomes shorter
  unpacked = tempfile.TemporaryFile()  # noqa: SIM115, closed by who reads
  with open_bytes(file) as packed:
    shutil.copyfileobj(packed, unpacked, 1 << 20)
  unpacked.seek(0)
  return unpacked


def _checked(batch: pa.RecordBatch) -> pa.Table:
  batch.validate(full=True)  # texts that are not UTF-8, or damaged offsets, which would end the process
  return pa.Table.from_batches([batch])


def _check_twice(names: Sequence[str], file: Path) -> None:
  if twice := next((name for name in names if names.count(name) > 1), None):
    raise InputError(f"{file}: two columns are called {twice!r}; rename one of them")


def _plain(table: pa.Table, names: Sequence[str]) -> pa.Table:
  """Returns the columns in the order of `names`, without dictionary encoding and the types of text that few read."""
  columns = {}
  for name in names:
    if name not in table.column_names:
      columns[name] = pa.nulls(len(table))
      continue
    column = table[name]
    if pa.types.is_dictionary(column.type):
      column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type):
      column = column.cast(pa.large_string())
    columns[name] = column
  fields = [
    table.schema.field(name).with_type(column.type) if name in table.column_names else pa.field(name, pa.null())
    for name, column in columns.items()
  ]
  return pa.table(columns, schema=pa.schema(fields, metadata=table.schema.metadata))

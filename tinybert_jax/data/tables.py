"""People's own tables: CSV, TSV, JSON, Parquet, Arrow and text files, and data sets of the hub, read in pieces."""

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tinybert_jax.data.sources import Utf8, find_tables, kind_of, open_bytes, reading
from tinybert_jax.errors import InputError

_DELIMITERS = ",;\t|"
_SAMPLE = 1 << 18  # characters that tell delimiter and quoting
_BLOCK = 1 << 24  # bytes that one row of a CSV file may have
_NAMED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


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


def read_table(where: str | Path | Sequence[str | Path], how: Reading = AS_FOUND) -> Table:
  """Returns the table of one or several files, globs, directories, or a data set on the hub.

  Args:
    where: what to read; of several, all have the same columns. A data set is "name", "name:config" or
      "name:config:split", its split by default "train".
    how: how text files are read.

  Raises:
    InputError: nothing there, something else than a table, or one without rows.
  """
  notes: list[str] = []
  files = _find(where, notes)
  if isinstance(files, datasets.Dataset):
    return Table(files, tuple(notes), ())
  pieces = list(_pieces(files, how, 1 << 16, notes))
  if not sum(map(len, pieces)):
    raise InputError(f"{', '.join(map(str, files))}: no rows")
  try:
    table = pa.concat_tables(pieces, promote_options="permissive")
  except pa.ArrowException as error:
    raise InputError(f"{', '.join(map(str, files))}: its parts do not fit each other ({error})") from error
  return Table(datasets.Dataset(table.combine_chunks()), tuple(notes), tuple(files))


def iterate_tables(
  where: str | Path | Sequence[str | Path], how: Reading = AS_FOUND, *, batch_rows: int = 4096
) -> Iterator[pa.Table]:
  """Yields the same in pieces of at most `batch_rows` rows, in bounded memory (but for `.json`, which is one value)."""
  files = _find(where, [])
  if isinstance(files, datasets.Dataset):
    for start in range(0, len(files), batch_rows):
      yield files.with_format("arrow")[start : start + batch_rows]
    return
  for piece in _pieces(files, how, batch_rows, []):
    for start in range(0, len(piece), batch_rows):
      yield piece.slice(start, batch_rows)


def _find(where: str | Path | Sequence[str | Path], notes: list[str]) -> list[Path] | datasets.Dataset:
  """Returns the files of all sources, or the rows of one data set on the hub."""
  sources = [where] if isinstance(where, str | Path) else list(where)
  files: list[Path] = []
  for source in sources:
    found, said = find_tables(source)
    notes += said
    if not found:
      if len(sources) == 1 and _may_be_hub(str(source)):
        return _from_hub(str(source))
      raise InputError(f"{source}: no such file")
    for file in found:
      if any(file.resolve() == other.resolve() for other in files):
        notes.append(f"{file}: named twice, so it is read once")
      else:
        files.append(file)
  return files


def _may_be_hub(name: str) -> bool:
  plain = name.split(":")[0]
  return not kind_of(Path(plain))[0] and not any(mark in plain for mark in "*?[\\") and plain.count("/") <= 1


def _from_hub(where: str) -> datasets.Dataset:
  name, config, split = (*where.split(":"), "", "")[:3]
  try:
    return datasets.load_dataset(name, config or None, split=split or "train")
  except Exception as error:  # datasets, huggingface_hub and their HTTP libraries each raise their own
    raise InputError(
      f"{where}: no such file, and as a data set of the Hugging Face hub it is not in the cache and cannot be fetched; "
      "give the path of a file, or name:config:split of a data set"
    ) from error


def _pieces(files: Sequence[Path], how: Reading, batch_rows: int, notes: list[str]) -> Iterator[pa.Table]:
  names: list[str] | None = None
  for file in files:
    for piece in reading(file, lambda file=file: _read(file, how, batch_rows, notes)):
      if names is None:
        names = piece.column_names
      elif set(piece.column_names) != set(names):
        raise InputError(
          f"{file}: columns {', '.join(piece.column_names)}, and {files[0]} has {', '.join(names)}; files that are "
          "read together need the same columns"
        )
      yield _plain(piece.select(names))


def _read(file: Path, how: Reading, batch_rows: int, notes: list[str]) -> Iterator[pa.Table]:
  kind, _ = kind_of(file)
  if kind in (".csv", ".tsv"):
    return _read_csv(file, kind, how, notes)
  if kind == ".txt":
    return _read_lines(file, how, batch_rows)
  if kind in (".jsonl", ".ndjson"):
    return _read_json_lines(file, how, batch_rows)
  if kind == ".json":
    return iter([_read_json(file, how)])
  return _read_parquet(file, batch_rows) if kind == ".parquet" else _read_arrow(file)


def _plain(table: pa.Table) -> pa.Table:
  """Returns a table whose dictionary-encoded columns are of their values."""
  for number, field in enumerate(table.schema):
    if pa.types.is_dictionary(field.type):
      table = table.set_column(number, field.name, table[field.name].cast(field.type.value_type))
  return table


def _read_csv(file: Path, kind: str, how: Reading, notes: list[str]) -> Iterator[pa.Table]:
  with io.TextIOWrapper(io.BufferedReader(Utf8(file, how.encoding)), "utf-8", newline="") as text:
    sample = text.read(_SAMPLE)
  if not sample.strip():
    raise InputError(f"{file}: empty; a header and rows are needed")
  delimiter = how.delimiter or _delimiter(sample, kind)
  quote = _quote(sample, kind, delimiter) if how.quote is None else how.quote
  if len(delimiter) != 1 or len(quote) > 1:
    raise InputError(f"--delimiter {delimiter!r} and --quote {quote!r}: a single character each")
  if how.delimiter is None and delimiter != {".csv": ",", ".tsv": "\t"}[kind]:
    notes.append(f"{file}: {_NAMED[delimiter]} between the cells")
  if how.quote is None and not quote:
    notes.append(f"{file}: quotes are taken as text, not as borders of cells; --quote '\"' decides otherwise")
  wrong: list[Any] = []

  def note_wrong(row: Any) -> str:
    wrong.append(row)
    return "skip"

  parse = pa.csv.ParseOptions(
    delimiter=delimiter,
    quote_char=quote or False,
    double_quote=bool(quote),
    newlines_in_values=bool(quote),
    invalid_row_handler=note_wrong,
  )
  names = _names(file, sample, delimiter, quote, how.header)
  options = pa.csv.ReadOptions(
    block_size=_BLOCK, use_threads=False, column_names=names, skip_rows_after_names=1 if how.header else 0
  )
  convert = pa.csv.ConvertOptions(
    column_types=dict.fromkeys(names, pa.string()),
    null_values=[""],
    strings_can_be_null=True,
    quoted_strings_can_be_null=True,
  )
  source = io.BufferedReader(Utf8(file, how.encoding), 1 << 20)
  rows = 0
  try:
    for batch in pa.csv.open_csv(source, options, parse, convert):
      if wrong:
        break
      rows += batch.num_rows
      yield pa.Table.from_batches([batch])
  except pa.ArrowInvalid as error:
    if "straddling" in str(error):
      raise InputError(
        f"{file}: after row {rows:,}, a row of more than {_BLOCK >> 20} MB, or a quote that is never closed; "
        "--quote '' takes quotes as text"
      ) from error
    if "mpty" not in str(error):
      raise
  if wrong:
    first = wrong[0]
    where = f", row {first.number}" if first.number is not None else f", after row {rows:,}"
    raise InputError(
      f"{file}{where}: {first.actual_columns} cells, and {first.expected_columns} are needed ({', '.join(names)}): "
      f"{first.text[:80]!r}"
    )
  if not rows:
    raise InputError(f"{file}: a header ({', '.join(names)}) and no rows" if how.header else f"{file}: no rows")


def _names(file: Path, sample: str, delimiter: str, quote: str, header: bool) -> list[str]:
  first = next(_cells(sample, delimiter, quote))
  if not header:
    return [str(number) for number in range(len(first))]
  if twice := sorted({name for name in first if first.count(name) > 1}):
    raise InputError(f"{file}: two columns are called {twice[0]!r}; rename one of them")
  return first


def _cells(sample: str, delimiter: str, quote: str) -> Iterator[list[str]]:
  quoting = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
  lines = io.StringIO(sample, newline="")
  csv.field_size_limit(1 << 30)
  return (row for row in csv.reader(lines, delimiter=delimiter, **quoting) if row)


def _delimiter(sample: str, kind: str) -> str:
  """Returns the delimiter that the header has, and the next rows as often."""
  usual = {".csv": ",", ".tsv": "\t"}[kind]
  best, most = usual, 0
  for delimiter in dict.fromkeys(usual + _DELIMITERS):
    rows = list(itertools.islice(_cells(sample, delimiter, '"' if kind == ".csv" else ""), 20))
    rows = rows[:-1] if len(rows) == 20 or len(rows) > 2 else rows  # the sample may end within the last
    width = len(rows[0]) - 1
    alike = sum(len(row) == width + 1 for row in rows)
    if width and alike == len(rows) and (width > most or (best == usual and not most)):
      best, most = delimiter, width
    if delimiter == usual and most:
      break
  return best


def _quote(sample: str, kind: str, delimiter: str) -> str:
  """Returns the quote; of TSV files, which mostly have none, only where every cell with one is quoted whole."""
  if kind == ".csv" or '"' not in sample:
    return '"'
  lines = sample.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1] or [sample]
  cells = [cell for line in lines for cell in line.split(delimiter) if '"' in cell]
  whole = all(
    len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "") for cell in cells
  )
  return '"' if whole and cells else ""


def _lines(file: Path, how: Reading) -> Iterator[str]:
  with io.TextIOWrapper(io.BufferedReader(Utf8(file, how.encoding)), "utf-8") as text:
    for line in text:
      yield line.rstrip("\n")


def _read_lines(file: Path, how: Reading, batch_rows: int) -> Iterator[pa.Table]:
  lines = (line for line in _lines(file, how) if line.strip())
  while some := list(itertools.islice(lines, batch_rows)):
    yield pa.table({"text": pa.array(some, pa.string())})


def _read_json_lines(file: Path, how: Reading, batch_rows: int) -> Iterator[pa.Table]:
  rows, names = [], None
  for number, line in enumerate(_lines(file, how), start=1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except (ValueError, RecursionError) as error:
      raise InputError(f"{file}, line {number}: not JSON ({error})") from error
    if not isinstance(row, dict):
      raise InputError(f"{file}, line {number}: a JSON {type(row).__name__}, and an object is needed")
    rows.append(row)
    if len(rows) == batch_rows:
      names = names or list(dict.fromkeys(name for row in rows for name in row))
      yield _from_objects(file, rows, names)
      rows = []
  if rows:
    yield _from_objects(file, rows, names or list(dict.fromkeys(name for row in rows for name in row)))


def _from_objects(file: Path, rows: list[dict[str, Any]], names: list[str]) -> pa.Table:
  if more := next((name for row in rows for name in row if name not in names), None):
    raise InputError(f"{file}: a field {more!r} that the first rows do not have ({', '.join(names)})")
  columns = {}
  for name in names:
    try:
      columns[name] = pa.array([row.get(name) for row in rows])
    except (pa.ArrowException, OverflowError) as error:
      raise InputError(f"{file}: values of different kinds in the column {name} ({error})") from error
  return pa.table(columns)


def _read_json(file: Path, how: Reading) -> pa.Table:
  with io.TextIOWrapper(io.BufferedReader(Utf8(file, how.encoding)), "utf-8") as text:
    content = text.read()
  try:
    value = json.loads(content)
  except (ValueError, RecursionError) as error:
    raise InputError(f"{file}: not JSON ({error}); a file of an object a line is called .jsonl") from error
  if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list):
    inner = next(iter(value.values()))
    value = inner if inner and isinstance(inner[0], dict) else value
  if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
    return _from_objects(file, value, list(dict.fromkeys(name for row in value for name in row)))
  columns = value.values() if isinstance(value, dict) else ()
  if value and columns and all(isinstance(one, list) for one in columns) and len({len(one) for one in columns}) == 1:
    return _from_objects(file, [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)], list(value))
  raise InputError(f"{file}: an array of objects is needed, or an object of columns of the same length")


def _read_parquet(file: Path, batch_rows: int) -> Iterator[pa.Table]:
  source = open_bytes(file).read() if kind_of(file)[1] else None
  with pq.ParquetFile(pa.BufferReader(source) if source is not None else file) as parquet:
    for batch in parquet.iter_batches(batch_size=batch_rows):
      yield pa.Table.from_batches([batch])


def _read_arrow(file: Path) -> Iterator[pa.Table]:
  source = pa.BufferReader(open_bytes(file).read()) if kind_of(file)[1] else pa.memory_map(str(file))
  with source:
    try:
      opened = pa.ipc.open_file(source)
      batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
    except pa.ArrowInvalid:
      source.seek(0)
      batches = iter(pa.ipc.open_stream(source))
    for batch in batches:
      yield pa.Table.from_batches([batch])

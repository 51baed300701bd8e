"""CSV and TSV files: their delimiter, quotes and header are found out, and their rows read in pieces."""

import contextlib
import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tinybert_jax.choices import Reading
from tinybert_jax.data.decoding import Utf8
from tinybert_jax.data.sources import join_names, note_skipped
from tinybert_jax.errors import InputError

_USUAL = {".csv": ",", ".tsv": "\t"}
_NAMED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE = 130_000  # characters that tell the delimiter; below the limit that the csv module sets for a cell
_ROWS = 20  # that must agree on the delimiter
_LOOKED_AT = 1 << 26  # characters that tell whether quotes are text
_LONGEST = 1 << 27  # characters of a cell


class _Form(NamedTuple):
  """How the cells of a file are told apart, and the names of its columns."""

  delimiter: str
  quote: str
  names: list[str]


def read_delimited(file: Path, kind: str, how: Reading, batch_rows: int, remarks: list[str]) -> Iterator[pa.Table]:
  """Yields the rows of a CSV or TSV file in pieces, all cells as texts, and None where they are empty.

  The standard library's reader parses them, not pyarrow's: that takes the rest of a file as a cell where a quote is
  never closed, reads 32 blocks ahead, and aborts the process when it is left before the end.

  Args:
    file: compressed or not.
    kind: ".csv" or ".tsv", which decides what is tried first.
    how: what is known about the file.
    batch_rows: rows of a piece.
    remarks: gets what was found out, in a few words each.

  Raises:
    InputError: a row of more or fewer cells, a quote that is never closed, two columns of one name; with its line.
  """
  form = _form(file, kind, how, remarks)
  if form is None:
    remarks.append("empty")
    return
  empty: list[int] = []
  rows, number = _rows(file, how, form, empty), 0
  while some := _next_rows(rows, batch_rows):
    number += len(some)
    columns = zip(*some, strict=True)
    yield pa.table(
      {name: pa.array([c or None for c in cells], pa.string()) for name, cells in zip(form.names, columns, strict=True)}
    )
  note_skipped(len(empty), remarks)
  if not number:
    remarks.append(f"a header ({join_names(form.names)}) and no rows" if how.header else "no rows")


def _next_rows(rows: Iterator[list[str]], number: int) -> list[list[str]]:
  # The limit is the process's, so it is put back while others run.
  limit = csv.field_size_limit(_LONGEST)
  try:
    return list(itertools.islice(rows, number))
  finally:
    csv.field_size_limit(limit)


def _form(file: Path, kind: str, how: Reading, remarks: list[str]) -> _Form | None:
  """Returns the form of a file, None where it is empty."""
  _check_signs(how)
  with _text(file, how) as (text, encoding):
    sample = text.read(_SAMPLE)
  if not sample.strip():
    return None
  delimiter = "\t" if how.delimiter == "\\t" else how.delimiter or _delimiter(sample, kind, len(sample) == _SAMPLE)
  quote = how.quote if how.quote is not None else '"' if kind == ".csv" else _quote(file, how, delimiter)
  if how.delimiter is None and delimiter != _USUAL[kind]:
    remarks.append(f"{_NAMED[delimiter]} between cells")
  if encoding != "utf-8":
    remarks.append(f"encoding {how.encoding or encoding}")
  if how.quote is None and kind == ".tsv" and quote is not None:
    remarks.append("quotes enclose cells" if quote else "quotes are text (--quote '\"' if they enclose cells)")
  quote = quote or ""
  first = next((row for row in _cells(sample, delimiter, quote) if not _is_blank(row)), None)
  if first is None:
    return None
  names = first if how.header else [str(number) for number in range(len(first))]
  if names.count("") > 1:
    raise InputError(f"{file}: two columns have no name in the header; name them, or give --no-header")
  if twice := next((name for name in names if names.count(name) > 1), None):
    raise InputError(f"{file}: two columns are called {twice!r}; rename one of them")
  if how.header and (number := next((name for name in names if name.strip().isdigit()), None)):
    remarks.append(f"the first row, which has {number!r}, is taken as names of columns (--no-header if it is not)")
  return _Form(delimiter, quote, names)


def _check_signs(how: Reading) -> None:
  for option, sign, others in (("delimiter", how.delimiter, ("\\t",)), ("quote", how.quote, ("",))):
    if sign is not None and sign not in others and (len(sign) != 1 or not sign.isascii() or sign in "\r\n"):
      raise InputError(f"--{option} {sign!r}: a single ASCII character is needed, and no line end")
  if how.delimiter and how.delimiter == how.quote:
    raise InputError(f"--delimiter {how.delimiter!r}: it cannot be the same as --quote")


def _rows(file: Path, how: Reading, form: _Form, empty: list[int]) -> Iterator[list[str]]:
  """Yields the cells of each row; `empty` gets the lines that are empty."""
  width, is_header, line, end = len(form.names), how.header, 1, 0
  with _text(file, how) as (text, _):
    try:
      # Strict, because a stray quote within a quoted cell would swallow the rows up to the next one.
      for row in (reader := _reader(text, form.delimiter, form.quote, strict=bool(form.quote))):
        line, end = end + 1, reader.line_num
        if len(row) < 2 and _is_blank(row) and (not row or width > 1 or is_header):
          empty.append(line)
        elif len(row) != width:
          raise InputError(_wrong_row(file, line, row, form))
        elif is_header:
          is_header = False
        else:
          yield row
    except csv.Error as error:
      raise InputError(
        f"{file}, line {end + 1}: {_wrong_quote(str(error))}; --quote '' takes quotes as text"
      ) from error


def _wrong_quote(reason: str) -> str:
  """Returns what the csv module's message means."""
  if "unexpected end" in reason:
    return "a quote is opened and never closed"
  if "field larger" in reason:
    return f"a quote that is never closed, or a cell of more than {_LONGEST:,} characters"
  return "a quote within a cell in quotes, which must be doubled there"


def _is_blank(row: list[str]) -> bool:
  return not row or (len(row) == 1 and not row[0].strip())


def _wrong_row(file: Path, line: int, row: list[str], form: _Form) -> str:
  number, text = len(row), form.delimiter.join(row)
  hint = f"; a cell that holds {form.delimiter!r} needs quotes around it" if number > len(form.names) else ""
  if '"' in text and not form.quote:
    hint = "; where quotes enclose cells, give --quote '\"'"
  return (
    f"{file}, line {line}: {number} cell{'s' * (number > 1)}, and {len(form.names)} are needed "
    f"({join_names(form.names)}){hint}: {text[:80]!r}"
  )


@contextlib.contextmanager
def _text(file: Path, how: Reading) -> Iterator[tuple[io.TextIOWrapper, str]]:
  """The text of a file with its line ends as they are, and its encoding."""
  utf8 = Utf8(file, how.encoding)
  with io.TextIOWrapper(io.BufferedReader(utf8), "utf-8", newline="") as text:
    yield text, utf8.encoding


def _reader(lines: Any, delimiter: str, quote: str, *, strict: bool = False) -> Any:
  quoting: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
  return csv.reader(lines, delimiter=delimiter, strict=strict, **quoting)


def _cells(sample: str, delimiter: str, quote: str) -> Iterator[list[str]]:
  return iter(_reader(io.StringIO(sample, newline=""), delimiter, quote))


def _delimiter(sample: str, kind: str, is_cut: bool) -> str:
  """Returns the delimiter that most rows have as often as the header, of several the most frequent in the header.

  Not all rows, so that one bad row is reported, and does not turn the file into one of a single column.
  """
  usual = _USUAL[kind]
  widths, headers = {}, {}
  for delimiter in dict.fromkeys((usual, *_NAMED)):
    cells = (row for row in _cells(sample, delimiter, '"' if kind == ".csv" else "") if "".join(row).strip())
    rows = list(itertools.islice(cells, _ROWS + 1))
    rows = rows[:-1] if len(rows) > _ROWS or (is_cut and len(rows) > 1) else rows
    has_more = sum(len(row) > 1 for row in rows) > len(rows) / 2
    widths[delimiter] = len(rows[0]) if len({len(row) for row in rows}) == 1 else 0
    headers[delimiter] = len(rows[0]) if has_more else 0
  best = max(widths, key=lambda delimiter: widths[delimiter])
  if widths[best] < 2:
    best = max(headers, key=lambda delimiter: headers[delimiter])
    return usual if headers[usual] > 1 or headers[best] < 2 else best
  return usual if widths[usual] > 1 else best


def _quote(file: Path, how: Reading, delimiter: str) -> str | None:
  """Returns the quote of a TSV file, "" where quotes are text, None where there are none.

  They enclose cells where rows have the same number of cells only so, or where every cell with a quote is enclosed
  whole, with the quotes within doubled.
  """
  with _text(file, how) as (text, _):
    is_plain, has_quote, is_whole = _look(text, delimiter, "")
  if not has_quote:
    return None
  with _text(file, how) as (text, _):
    is_quoted, _, _ = _look(text, delimiter, '"')
  return '"' if is_quoted and (is_whole or not is_plain) else ""


def _look(text: io.TextIOWrapper, delimiter: str, quote: str) -> tuple[bool, bool, bool]:
  """Returns whether all rows have as many cells, any has a quote, and all that have one are enclosed in quotes."""
  widths, has_quote, is_whole = set(), False, True
  try:
    for row in _reader(_first_lines(text), delimiter, quote):
      if not "".join(row).strip():
        continue
      widths.add(len(row))
      for cell in row:
        if '"' in cell:
          has_quote = True
          is_whole = is_whole and _is_enclosed(cell)
  except csv.Error:  # a cell above the module's limit: a quote that is not closed
    return False, has_quote, is_whole
  return len(widths) == 1, has_quote, is_whole


def _first_lines(text: io.TextIOWrapper) -> Iterator[str]:
  seen = 0
  while seen < _LOOKED_AT and (line := text.readline(_LOOKED_AT)):
    seen += len(line)
    yield line


def _is_enclosed(cell: str) -> bool:
  return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")

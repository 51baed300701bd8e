"""What a column of a table seems to hold: texts, numbers, or the numbers and names of its rows."""

import math
import re
from typing import Any

import datasets

_ROW_NUMBERS = {"id", "ids", "idx", "index", "guid", "uuid", "uid", "pk", "row", "unnamed: 0", "__index_level_0__", ""}
_OF_ROWS = re.compile(r"(^|[_\s-])(id|idx|guid|uuid)$|^(id|idx)[_\s-]|[a-z](Id|ID|Idx)$")
_IDEOGRAPH = re.compile(r"[぀-ヿ㐀-鿿가-힣฀-๿]")  # of scripts whose words no space separates
_NUMBERS = ("int", "uint", "float", "bool", "decimal")  # kinds of columns
_SAMPLE = 200
_COUNTED = 5  # rows, which a column of fewer may count by chance
_LISTED = 20  # columns in errors
_SHOWN = 24  # characters of a cell
_LOOKED_AT = 1000  # characters of a cell, which may be a whole book


def numbers_rows(rows: datasets.Dataset, name: str) -> bool:
  """Returns whether a column tells rows apart: by its name, or because it counts them."""
  if name.strip().casefold() in _ROW_NUMBERS or _OF_ROWS.search(name.strip()):
    return True
  if len(rows) < _COUNTED or not holds_numbers(rows, name):
    return False
  cells = rows[name][:]
  if not all(is_whole_number(cell) for cell in cells):
    return False
  numbers = [int(float(cell)) for cell in cells]
  return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def holds_texts(rows: datasets.Dataset, name: str) -> bool:
  """Returns whether a column has texts, which are of several words mostly, and are not the same few again and again."""
  if not is_text(rows, name):
    return False
  sample = _sample(rows, name)
  if 2 * sum(map(_is_running, sample)) < len(sample):
    return False
  return len(sample) < 20 or len(set(sample)) > len(sample) / 4


def is_text(rows: datasets.Dataset, name: str) -> bool:
  """Returns whether a column's cells are strings, and not all of them numbers."""
  sample = _sample(rows, name)
  return bool(sample) and all(isinstance(cell, str) for cell in sample) and not all(map(_is_number, sample))


def holds_numbers(rows: datasets.Dataset, name: str) -> bool:
  """Returns whether all cells of a column that are not empty are numbers, or true or false, or strings of these."""
  feature = rows.features[name]
  if isinstance(feature, datasets.Value) and feature.dtype.startswith(_NUMBERS):  # NaN and infinity too
    return True
  sample = _sample(rows, name)
  if not sample or not all(map(_is_number, sample)):
    return False
  return len(sample) < _SAMPLE or all(cell in (None, "") or _is_number(cell) for cell in rows[name][:])


def is_whole_number(cell: Any) -> bool:
  """Returns whether a cell is a number without a fraction, or a string of one."""
  return _is_number(cell) and not isinstance(cell, bool) and float(cell).is_integer()


def list_columns(rows: datasets.Dataset) -> str:
  """Returns the columns and what their first cell that is not empty holds, for errors."""
  said = []
  for name in rows.column_names[:_LISTED]:
    cell = repr(next(iter(_sample(rows, name)), None))
    title = name if name and name.isprintable() else repr(name)
    said.append(f"{title} ({cell if len(cell) <= _SHOWN else cell[:_SHOWN] + '…'})")
  more = f" and {len(rows.column_names) - _LISTED} more" if len(rows.column_names) > _LISTED else ""
  return ", ".join(said) + more


def _sample(rows: datasets.Dataset, name: str) -> list[Any]:
  """Returns the first cells that are not empty."""
  cells = rows[: min(len(rows), _SAMPLE)][name]
  found = [cell for cell in cells if cell is not None and cell != ""]
  return found or [cell for cell in rows[name][:] if cell is not None and cell != ""][:_SAMPLE]


def _is_running(cell: str) -> bool:
  """Returns whether a string has several words; URLs, dates, names of files and numbers have not."""
  text = cell[:_LOOKED_AT].strip()
  if _IDEOGRAPH.search(text):
    return len(text) >= 4
  return " " in text and sum(map(str.isalpha, text)) >= 3


def _is_number(cell: Any) -> bool:
  if isinstance(cell, str) and (len(cell) > _LOOKED_AT or "_" in cell):  # which float takes as a separator
    return False
  try:
    return math.isfinite(float(cell))
  except (TypeError, ValueError, OverflowError):
    return False

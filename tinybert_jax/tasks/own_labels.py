"""The kind of task that raw labels are of, and their classes; no label is ever changed silently."""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.tasks.label_names import alike, class_name, number_of, ordered, places, spells_infinity

KINDS = ("classification", "multi_label", "regression")
_MISSING = {"nan", "NaN", "NAN", "None", "null", "NULL", "N/A", "n/a", "<NA>"}  # "none" and "NA" may well be classes
_SEPARATORS = (",", ";", "|")
_FEW, _MANY = 20, 256  # different whole numbers: so few are classes, and more than so many are not
_ROWS_A_CLASS = 5  # on average, which whole numbers between have if they are classes


class Labels(NamedTuple):
  """Labels as a task takes them.

  Attributes:
    kind: "classification", "multi_label" or "regression".
    names: of the classes; of a regression the single name "score".
    values: of each row: a class number, a number, or 0.0 and 1.0 for each class; None where the cell is empty.
    missing: how many are None.
    notes: a sentence on each thing that was found out.
  """

  kind: str
  names: tuple[str, ...]
  values: list[Any]
  missing: int
  notes: tuple[str, ...]


class _Table(NamedTuple):
  """What the errors call the table and its rows, and the notes so far."""

  where: str
  rows: Sequence[Any] | None
  notes: list[str]

  def row(self, number: int) -> str:
    return f"{self.where}, row {number + 1 if self.rows is None else int(self.rows[number]) + 1}"


def read_labels(
  values: Sequence[Any] | np.ndarray | Mapping[str, Sequence[Any]],
  *,
  kind: str | None = None,
  names: Sequence[str] | None = None,
  separator: str | None = None,
  where: str = "the table",
  rows: Sequence[Any] | None = None,
) -> Labels:
  """Returns the labels of rows, with the kind of task that they are of.

  Args:
    values: cells of a column, or of several columns of 0 and 1 by their names.
    kind: of task; by default found out.
    names: classes that are known already, such as a teacher's, which decide the numbers.
    separator: between several labels in a cell, where `kind` is "multi_label".
    where: what the table is called in errors.
    rows: numbers of the rows in the table, from 0, for errors; by default 0, 1, ….

  Raises:
    InputError: labels of no kind, of one class alone, or not among `names`; it names the row where there is one.
  """
  if kind is not None and kind not in KINDS:
    raise InputError(f"--kind {kind}: there are {', '.join(KINDS)}")
  table = _Table(where, rows, [])
  if isinstance(values, Mapping):
    return _from_columns(values, kind, names, table)
  cells = _cells(values, names or (), table)
  present = [cell for cell in cells if cell is not None]
  if not present:
    raise InputError(f"{where}: no row has a label")
  has_lists = any(isinstance(cell, list) for cell in present)
  if has_lists and kind == "classification" and all(isinstance(cell, list) and len(cell) == 1 for cell in present):
    table.notes.append(f"{where}: every list of labels has one, which is the row's class")
    cells, has_lists = [None if cell is None else cell[0] for cell in cells], False
  if has_lists or kind == "multi_label":
    return _several(cells, kind, names, separator, table)
  if (kind or _kind(present, names, table)) == "regression":
    return _numbers(cells, table)
  return _classes(cells, names, table)


def _cells(values: Sequence[Any] | np.ndarray, names: Sequence[str], table: _Table) -> list[Any]:
  """Returns the cells, None where they are missing, with a note on words that say so."""
  words: collections.Counter[str] = collections.Counter()
  cells = []
  for row, value in enumerate(values):
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy
    if isinstance(value, float) and not math.isfinite(value):
      raise InputError(f"{table.row(row)}: the label is {value}, which is no number and no class")
    if isinstance(value, dict | bytes):
      raise InputError(f"{table.row(row)}: the label is {value!r:.40}; a name, a number or a list is needed")
    if isinstance(value, str) and (word := value.strip()) in _MISSING and value not in names:
      words[word] += 1
      value = None
    if isinstance(value, str) and not value.strip():
      value = None
    cells.append(list(value) if isinstance(value, tuple) else value)
  if words:
    said = ", ".join(f"{number:,} of {word!r}" for word, number in words.items())
    table.notes.append(f"{table.where}: labels that are words for nothing count as missing: {said}")
  return cells


def _kind(present: Sequence[Any], names: Sequence[str] | None, table: _Table) -> str:
  if names is not None:
    return "regression" if len(names) == 1 else "classification"
  found = [number_of(cell) for cell in present]
  numbers = [number for number in found if number is not None]
  different = len({class_name(cell) for cell in present})
  size = f"{len(present):,} rows"
  if len(numbers) < len(found):
    _refuse_infinity(present, found, table)
  else:
    if not all(number.is_integer() for number in numbers):
      table.notes.append(f"{table.where}: regression, because labels have fractions; --kind decides otherwise")
      return "regression"
    whole = sorted(numbers)
    counts_rows = len(present) > _FEW and whole == [whole[0] + number for number in range(len(whole))]
    if not counts_rows and different > _FEW and (different > _MANY or len(present) < _ROWS_A_CLASS * different):
      table.notes.append(
        f"{table.where}: regression, because labels are {different:,} different numbers in {size}; --kind "
        "classification takes them as classes"
      )
      return "regression"
  if len(present) > _FEW and different > len(present) / 2:
    raise InputError(
      f"{table.where}: {different:,} different labels in {size}; is this the column of the labels? --label names "
      "another, and --kind classification takes it as it is"
    )
  more = "; --kind regression takes the numbers as they are" if None not in found else ""
  table.notes.append(f"{table.where}: classification with {different:,} classes{more}")
  if joined := _joined(present):
    table.notes.append(
      f"{table.where}: labels such as {joined!r:.60} are classes of their own; --kind multi_label takes their parts as "
      "several labels"
    )
  return "classification"


def _joined(present: Sequence[Any]) -> str | None:
  """Returns a label whose parts are labels of other rows, if there is one."""
  alone = {cell for cell in present if isinstance(cell, str)}
  for mark in _SEPARATORS:
    for cell in sorted(cell for cell in alone if mark in cell):
      if all(part.strip() in alone for part in cell.split(mark)):
        return cell
  return None


def _refuse_infinity(present: Sequence[Any], numbers: Sequence[float | None], table: _Table) -> None:
  """Raises InputError where all cells are numbers but those that spell infinity, which would make them classes."""
  words = {cell for cell, number in zip(present, numbers, strict=True) if number is None}
  if len(words) < len(set(present)) and all(map(spells_infinity, words)):
    raise InputError(
      f"{table.where}: labels are numbers, but for {', '.join(sorted(map(repr, words)))}; leave those rows out, or "
      "--kind classification takes all as classes"
    )


def _numbers(cells: Sequence[Any], table: _Table) -> Labels:
  values = []
  for row, cell in enumerate(cells):
    number = None if cell is None else number_of(cell)
    if cell is not None and number is None:
      raise InputError(f"{table.row(row)}: the label is {cell!r:.40}, and a regression needs a number")
    values.append(number)
  if len(values) - values.count(None) > 1 and len(set(values) - {None}) == 1:
    table.notes.append(f"{table.where}: all labels are the same number, {next(v for v in values if v is not None)}")
  return Labels("regression", ("score",), values, values.count(None), tuple(table.notes))


def _classes(cells: Sequence[Any], names: Sequence[str] | None, table: _Table) -> Labels:
  spelled = [None if cell is None else class_name(cell) for cell in cells]
  found = ordered({name for name in spelled if name is not None})
  number, known = _known(found, names, table)
  values = [None if name is None else number[name] for name in spelled]
  return Labels("classification", known, values, values.count(None), tuple(table.notes))


def _several(
  cells: Sequence[Any], kind: str | None, names: Sequence[str] | None, separator: str | None, table: _Table
) -> Labels:
  if kind not in (None, "multi_label"):
    raise InputError(f"{table.where}: lists of labels, and --kind {kind} takes one a row")
  texts = [cell for cell in cells if isinstance(cell, str)]
  if texts:
    separator = separator or _separator(texts, table)
  rows: list[list[Any] | None] = []
  for row, cell in enumerate(cells):
    if isinstance(cell, str):
      cell = [part.strip() for part in (cell.split(separator) if separator else [cell]) if part.strip()]
    if isinstance(cell, list) and any(map(_is_no_label, cell)):
      raise InputError(f"{table.row(row)}: a list of labels holds {cell!r:.60}; names or numbers are needed")
    rows.append(cell if cell is None or isinstance(cell, list) else [cell])
  if kind is None:
    table.notes.append(f"{table.where}: multi_label, because a row has several labels")
  if _are_vectors(rows):
    return _from_vectors(rows, names, table)
  spelled = [None if row is None else [class_name(one) for one in row] for row in rows]
  found = ordered({name for row in spelled if row is not None for name in row})
  number, known = _known(found, names, table)
  values = [None if row is None else _hot([number[name] for name in row], len(known)) for row in spelled]
  return Labels("multi_label", known, values, values.count(None), tuple(table.notes))


def _is_no_label(one: Any) -> bool:
  return one is None or isinstance(one, list | dict) or (isinstance(one, float) and not math.isfinite(one))


def _separator(texts: Sequence[str], table: _Table) -> str | None:
  found = [mark for mark in _SEPARATORS if any(mark in text for text in texts)]
  if len(found) > 1:
    raise InputError(
      f"{table.where}: labels have {' and '.join(map(repr, found))}; --separator tells which is between them"
    )
  said = f"{found[0]!r} is between several labels" if found else "no cell has several labels"
  table.notes.append(f"{table.where}: {said}; --separator decides otherwise")
  return found[0] if found else None


def _are_vectors(rows: Sequence[list[Any] | None]) -> bool:
  """Returns whether lists have a 0 or 1 for each class: all are equally long, and one has a value twice."""
  lists = [row for row in rows if row is not None]
  if len({len(row) for row in lists}) != 1 or not all(one in (0, 1) for row in lists for one in row):
    return False
  # As labels, every [0, 1] and [1, 0] would be both classes.
  return len(lists[0]) == 2 or any(len(set(row)) < len(row) for row in lists)


def _from_vectors(rows: Sequence[list[Any] | None], names: Sequence[str] | None, table: _Table) -> Labels:
  size = next(len(row) for row in rows if row is not None)
  known = tuple(map(str, range(size))) if names is None else tuple(names)
  if len(known) != size:
    raise InputError(f"{table.where}: lists of {size} zeros and ones, and there are {len(known)} classes")
  table.notes.append(f"{table.where}: lists have a 0 or 1 for each of {size} classes, in their order")
  values = [None if row is None else [float(one) for one in row] for row in rows]
  return Labels("multi_label", known, values, values.count(None), tuple(table.notes))


def _from_columns(
  columns: Mapping[str, Sequence[Any]], kind: str | None, names: Sequence[str] | None, table: _Table
) -> Labels:
  if kind not in (None, "multi_label"):
    raise InputError(f"{table.where}: several columns of labels, and --kind {kind} takes one")
  known = tuple(columns) if names is None else tuple(names)
  number = places(list(columns), known, table.where, table.notes)
  if without := [name for place, name in enumerate(known) if place not in number.values()]:
    raise InputError(
      f"{table.where}: no column for the class{'es' * (len(without) > 1)} {', '.join(without[:10])}; --label names all"
    )
  values: list[Any] = []
  for row, cells in enumerate(zip(*columns.values(), strict=True)):
    given = {name: _binary(cell, name, row, table) for name, cell in zip(columns, cells, strict=True)}
    is_missing = None in given.values()
    values.append(None if is_missing else _hot([number[name] for name, is_it in given.items() if is_it], len(known)))
  if all(value is None for value in values):
    raise InputError(f"{table.where}: no row has a label in each of {', '.join(columns)}")
  return Labels("multi_label", known, values, values.count(None), tuple(table.notes))


def _binary(cell: Any, name: str, row: int, table: _Table) -> bool | None:
  cell = cell.tolist() if hasattr(cell, "tolist") else cell
  if cell is None or (isinstance(cell, str) and (not cell.strip() or cell.strip() in _MISSING)):
    return None
  word = str(cell).strip().casefold()
  if word in ("true", "false"):
    return word == "true"
  if number_of(cell) not in (0.0, 1.0):
    raise InputError(f"{table.row(row)}: {cell!r:.40} in the column {name}, and 0 or 1 is needed")
  return number_of(cell) == 1.0


def _known(found: Sequence[str], names: Sequence[str] | None, table: _Table) -> tuple[dict[str, int], tuple[str, ...]]:
  """Returns the number of each label that was found, and the classes."""
  if names is None and len(found) < 2:
    said = f"all labels are {found[0]!r}" if found else "no row has a label"
    raise InputError(f"{table.where}: {said}; at least two classes are needed")
  if names is None:
    table.notes.extend(alike(found, table.where))
    return {name: number for number, name in enumerate(found)}, tuple(found)
  return places(found, tuple(names), table.where, table.notes), tuple(names)


def _hot(numbers: Sequence[int], size: int) -> list[float]:
  row = [0.0] * size
  for number in numbers:
    row[number] = 1.0
  return row

"""The kind of task that raw labels are of, and their classes; no label is ever changed silently."""

import collections
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinybert_jax.errors import InputError

KINDS = ("classification", "multi_label", "regression")
_MISSING = {"", "nan", "null", "n/a", "<na>"}  # "none" and "NA" may well be classes
_TRUE, _FALSE = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no"}
_MANY = 20  # distinct whole numbers that are still classes
_LISTED = 10


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


def read_labels(
  values: Sequence[Any] | Mapping[str, Sequence[Any]],
  *,
  kind: str | None = None,
  names: Sequence[str] | None = None,
  separator: str | None = None,
  where: str = "the table",
) -> Labels:
  """Returns the labels of rows, with the kind of task that they are of.

  Args:
    values: cells of a column, or of several columns of 0 and 1 by their names.
    kind: of task; by default found out.
    names: classes that are known already, such as a teacher's, which decide the numbers.
    separator: between several labels in a cell, where `kind` is "multi_label".
    where: what the table is called in errors.

  Raises:
    InputError: labels of no kind, of one class alone, or not among `names`.
  """
  if kind is not None and kind not in KINDS:
    raise InputError(f"--kind {kind}: there are {', '.join(KINDS)}")
  if isinstance(values, Mapping):
    return _from_columns(values, kind, names, where)
  notes: list[str] = []
  cells = [_cell(value, where, row) for row, value in enumerate(values)]
  words = collections.Counter(str(value) for value, cell in zip(values, cells, strict=True) if cell is None and value)
  if words:
    said = ", ".join(f"{number:,} cells read {word!r}" for word, number in words.items())
    notes.append(f"{where}: {said}, which is taken as missing")
  present = [cell for cell in cells if cell is not None]
  if not present:
    raise InputError(f"{where}: no row has a label")
  if any(isinstance(cell, list | tuple) for cell in present) or kind == "multi_label":
    return _several(cells, kind, names, separator, where, notes)
  kind = kind or _kind(present, names, where, notes)
  if kind == "regression":
    return _numbers(cells, where, notes)
  return _classes(cells, names, where, notes, is_sure=bool(names))


def _cell(value: Any, where: str, row: int) -> Any:
  """Returns a cell, None where it is missing."""
  if isinstance(value, float) and not math.isfinite(value):
    raise InputError(f"{where}, row {row + 1}: the label is {value}, which is no number and no class")
  if value is None or (isinstance(value, str) and value.strip().casefold() in _MISSING):
    return None
  if isinstance(value, dict | bytes):
    raise InputError(f"{where}, row {row + 1}: the label is a {type(value).__name__}; a name, number or list is needed")
  return value


def _kind(present: list[Any], names: Sequence[str] | None, where: str, notes: list[str]) -> str:
  if names is not None:
    return "regression" if len(names) == 1 else "classification"
  numbers = [_number(cell) for cell in present]
  kind = "classification"
  if None not in numbers:
    is_whole = all(float(number).is_integer() for number in numbers)
    if not is_whole or len(set(numbers)) > _MANY:
      kind = "regression"
  distinct = len(set(map(_spelling, present)))
  if kind == "classification" and len(present) > _MANY and distinct > len(present) / 2:
    raise InputError(
      f"{where}: {distinct:,} different labels in {len(present):,} rows; is this the column of the labels? --label "
      "names another, and --kind classification takes it as it is"
    )
  notes.append(f"{where}: {kind}, by its labels; --kind decides otherwise")
  return kind


def _numbers(cells: list[Any], where: str, notes: list[str]) -> Labels:
  values = []
  for row, cell in enumerate(cells):
    number = None if cell is None else _number(cell)
    if cell is not None and (number is None or not math.isfinite(number)):
      raise InputError(f"{where}, row {row + 1}: the label is {cell!r}, and a regression needs a number")
    values.append(None if number is None else float(number))
  if len({value for value in values if value is not None}) < 2:
    raise InputError(f"{where}: all labels are the same number, so there is nothing to learn")
  return Labels("regression", ("score",), values, values.count(None), tuple(notes))


def _classes(cells: list[Any], names: Sequence[str] | None, where: str, notes: list[str], *, is_sure: bool) -> Labels:
  spelled = [None if cell is None else _spelling(cell) for cell in cells]
  found = _ordered({name for name in spelled if name is not None})
  if not is_sure and len(found) == 1:
    raise InputError(f"{where}: all labels are {found[0]!r}; at least two classes are needed")
  notes += _alike(found, where)
  known = tuple(found) if names is None else tuple(names)
  number = _places(found, known, where)
  values = [None if name is None else number[name] for name in spelled]
  return Labels("classification", known, values, values.count(None), tuple(notes))


def _several(
  cells: list[Any],
  kind: str | None,
  names: Sequence[str] | None,
  separator: str | None,
  where: str,
  notes: list[str],
) -> Labels:
  if kind not in (None, "multi_label"):
    raise InputError(f"{where}: lists of labels, and --kind {kind} takes one a row")
  texts = [cell for cell in cells if isinstance(cell, str)]
  if separator is None and texts:
    separator = max(",;|", key=lambda mark: sum(mark in text for text in texts))
    notes.append(f"{where}: several labels in a cell are separated by {separator!r}; --separator decides otherwise")
  split = []
  for cell in cells:
    if isinstance(cell, str):
      cell = [part.strip() for part in cell.split(separator or ",") if part.strip()]
    split.append(
      None if cell is None else [_spelling(one) for one in (cell if isinstance(cell, list | tuple) else [cell])]
    )
  found = _ordered({name for row in split if row is not None for name in row})
  if names is None and len(found) < 2:
    raise InputError(f"{where}: all labels are {found[0] if found else 'empty'!r}; at least two classes are needed")
  notes += _alike(found, where)
  known = tuple(found) if names is None else tuple(names)
  number = _places(found, known, where)
  values = [None if row is None else _hot([number[name] for name in row], len(known)) for row in split]
  if kind is None:
    notes.append(f"{where}: several labels a row, so multi_label; --kind decides otherwise")
  return Labels("multi_label", known, values, values.count(None), tuple(notes))


def _from_columns(
  columns: Mapping[str, Sequence[Any]], kind: str | None, names: Sequence[str] | None, where: str
) -> Labels:
  if kind not in (None, "multi_label"):
    raise InputError(f"{where}: several columns of labels, and --kind {kind} takes one")
  known = tuple(columns) if names is None else tuple(names)
  number = _places(list(columns), known, where)
  values: list[Any] = []
  for row, cells in enumerate(zip(*columns.values(), strict=True)):
    given = []
    for name, cell in zip(columns, cells, strict=True):
      word = str(cell).strip().casefold()
      if cell is not None and word not in _TRUE | _FALSE | _MISSING:
        raise InputError(f"{where}, row {row + 1}: {cell!r} in the column {name}, and 0 or 1 is needed")
      given.append(None if cell is None or word in _MISSING else word in _TRUE)
    missing = None in given
    values.append(
      None if missing else _hot([number[n] for n, is_it in zip(columns, given, strict=True) if is_it], len(known))
    )
  return Labels("multi_label", known, values, values.count(None), ())


def _hot(numbers: Sequence[int], size: int) -> list[float]:
  row = [0.0] * size
  for number in numbers:
    row[number] = 1.0
  return row


def _number(cell: Any) -> float | None:
  if isinstance(cell, bool):
    return None
  try:
    return float(cell)
  except (TypeError, ValueError):
    return None


def _spelling(cell: Any) -> str:
  """Returns the name of a class: of whole numbers without a fraction, so that 1, 1.0 and "1.0" are one class."""
  if isinstance(cell, bool):
    return str(cell)
  number = _number(cell)
  if number is not None and math.isfinite(number) and number.is_integer() and not isinstance(cell, int):
    text = str(cell).strip()
    return str(int(number)) if re.fullmatch(r"-?\d+\.0*", text) or isinstance(cell, float) else text
  return cell if isinstance(cell, str) else str(cell)


def _ordered(found: set[str]) -> list[str]:
  numbers = {name: _number(name) for name in found}
  if all(number is not None for number in numbers.values()):
    return sorted(found, key=lambda name: (numbers[name], name))
  return sorted(found)


def _alike(found: Sequence[str], where: str) -> list[str]:
  groups = collections.defaultdict(list)
  for name in found:
    groups[name.strip().casefold()].append(name)
  twice = [names for names in groups.values() if len(names) > 1]
  said = "; ".join(" and ".join(map(repr, names)) for names in twice[:_LISTED])
  return [f"{where}: labels that differ in case or spaces alone are kept apart: {said}"] if twice else []


def _places(found: Sequence[str], known: tuple[str, ...], where: str) -> dict[str, int]:
  """Returns the number of each label among the known names, found by the same or a like spelling."""
  exact = {name: number for number, name in enumerate(known)}
  plain = collections.defaultdict(list)
  for number, name in enumerate(known):
    plain[_plain(name)].append(number)
  places, unknown = {}, []
  for name in found:
    like = plain.get(_plain(name), [])
    place = exact.get(name, like[0] if len(like) == 1 else None)
    if place is None:
      unknown.append(name)
    else:
      places[name] = place
  if unknown:
    more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
    shown = ", ".join(known[:_LISTED]) + (f", … ({len(known)} in all)" if len(known) > _LISTED else "")
    raise InputError(
      f"{where}: labels {', '.join(unknown[:_LISTED])}{more}, which are not among the known classes ({shown})"
    )
  return places


def _plain(name: str) -> str:
  return re.sub(r"[\W_]", "", name).casefold() or name

"""Columns of a table that take a teacher's place: probabilities or scores from elsewhere, as logits."""

from collections.abc import Sequence

import datasets
import numpy as np
import scipy.special
from jaxtyping import Float

from tinybert_jax.errors import InputError
from tinybert_jax.tasks.label_names import number_of

_ROUNDED = 1e-2  # how far the sum of rounded probabilities may be from 1
_LARGEST = float(np.finfo(np.float32).max)
_TINY = 1e-7  # of a probability, whose logarithm is taken


def read_targets(
  table: datasets.Dataset,
  columns: Sequence[str],
  kept: Sequence[int],
  *,
  kind: str,
  names: Sequence[str],
  where: str,
  notes: list[str],
) -> Float[np.ndarray, "N C"]:
  """Returns the target columns as logits, in the order of the classes.

  Args:
    table: that has them.
    columns: their names.
    kept: numbers of the rows that are read.
    kind: of task.
    names: of the classes.
    where: what the table is called in errors.
    notes: gets a sentence where the values are taken as scores.

  Raises:
    InputError: a column that is not there or of no class, a cell that is no finite number, or a row of probabilities
      that is negative or does not sum to one; it names the row.
  """
  ordered = _in_order(table, columns, kind, names, where)
  cells = np.empty((len(kept), len(ordered)))
  for place, name in enumerate(ordered):
    values = table[name][:]
    for number, row in enumerate(kept):
      value = number_of(values[row])
      if value is None or abs(value) > _LARGEST:
        raise InputError(
          f"{where}, row {row + 1}: {values[row]!r:.40} in the column {name}, and a finite number is needed"
        )
      cells[number, place] = value
  if kind == "regression":
    return cells.astype(np.float32)
  is_wrong = np.any((cells < 0) | (cells > 1), axis=1)
  if kind == "classification":
    is_wrong |= np.abs(cells.sum(axis=1) - 1) > _ROUNDED
  if (cells < 0).any() and 2 * is_wrong.sum() > len(cells):
    notes.append(f"{where}: the target columns are taken as scores (logits), as most rows are no probabilities")
    return cells.astype(np.float32)
  if is_wrong.any():
    first = int(is_wrong.argmax())
    raise InputError(f"{where}, row {kept[first] + 1}: {_reason(cells[first], ordered, kind)}")
  if kind == "multi_label":
    return scipy.special.logit(np.clip(cells, _TINY, 1 - _TINY)).astype(np.float32)
  return np.log(np.clip(cells, _TINY, None)).astype(np.float32)


def _in_order(
  table: datasets.Dataset, columns: Sequence[str], kind: str, names: Sequence[str], where: str
) -> list[str]:
  """Returns the columns in the order of the classes; InputError where they are not there or not those."""
  if missing := [name for name in columns if name not in table.column_names]:
    raise InputError(
      f"--target-columns {' '.join(missing)}: {where} has no such column; it has {', '.join(table.column_names)}"
    )
  if len(set(columns)) < len(columns):
    raise InputError(f"--target-columns {' '.join(columns)}: a column is named twice")
  if len(columns) != len(names):
    raise InputError(f"--target-columns: {len(columns)} columns for {len(names)} classes ({', '.join(names)})")
  if kind == "regression":
    return list(columns)
  if len(columns) < 2:
    raise InputError(f"--target-columns {columns[0]}: a column for each of two classes or more is needed")
  by_name = {name.casefold(): name for name in columns}
  ordered = [by_name[name.casefold()] for name in names if name.casefold() in by_name]
  if len(set(ordered)) != len(names):
    raise InputError(f"--target-columns {' '.join(columns)}: name them like the classes ({', '.join(names)})")
  return ordered


def _reason(cells: Float[np.ndarray, " C"], columns: Sequence[str], kind: str) -> str:
  """Returns what is wrong with a row of probabilities."""
  for value, name in zip(cells, columns, strict=True):
    if value < 0 or (value > 1 and kind == "multi_label"):
      return f"{value:g} in the column {name}, and a probability is from 0 to 1"
  return (
    f"the target columns sum to {cells.sum():g}, and probabilities sum to 1; divide each row by its sum if they are "
    "shares"
  )

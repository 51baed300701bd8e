"""The column of labels in token rows, checked before a model reads it."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinybert_jax.errors import InputError

_CLASS = "a class is a whole number from 0"


def check_labels(rows: datasets.Dataset, num_labels: int | None = None) -> None:
  """Raises InputError, with row and value, for a label that no model, or none of so many labels, can learn.

  Args:
    rows: with or without a column `labels`.
    num_labels: the model's; 1 is a regression. None checks only what holds for all.
  """
  if "labels" not in rows.column_names:
    return
  column = rows.select_columns("labels").with_format("arrow")[:]["labels"].combine_chunks()
  if isinstance(column, pa.ChunkedArray):
    column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
  _refuse(np.asarray(column.is_null()), [None] * len(column), "a row to train on needs a label")
  kind = column.type
  if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
    _check_lists(column, num_labels)
  elif pa.types.is_integer(kind):
    _check_classes(column.to_numpy(zero_copy_only=False), num_labels)
  elif pa.types.is_floating(kind):
    values = column.to_numpy(zero_copy_only=False)
    _refuse(~np.isfinite(values), values, "a number is needed")
    _refuse(np.full(len(values), num_labels not in (None, 1)), values, f"{_CLASS}, no float")
  else:
    _refuse(np.ones(len(column), bool), column.to_pylist(), f"{_CLASS}, and a regression's label a number")


def label_array(labels: Sequence[Any]) -> pa.Array:
  """Returns labels as a column; InputError, with row and value, where they are not all of one kind or too large."""
  values = list(labels)
  try:
    return pa.array(values)
  except (pa.ArrowException, OverflowError) as error:
    for row, value in enumerate(values):
      try:
        pa.array(values[: row + 1])
      except (pa.ArrowException, OverflowError):
        first = next((one for one in values[:row] if one is not None), None)
        raise InputError(f"row {row + 1}: the label is {value!r:.60}, which is no label like {first!r:.60}") from error
    raise


def _check_classes(values: np.ndarray, num_labels: int | None) -> None:
  if num_labels in (None, 1):
    return
  _refuse((values < 0) | (values >= num_labels), values, f"{_CLASS} to {num_labels - 1}, as the model has {num_labels}")


def _check_lists(column: Any, num_labels: int | None) -> None:
  if num_labels is not None:
    sizes = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    _refuse(sizes != num_labels, column, f"a 0 or 1 is needed for each of the model's {num_labels} classes")
  values, is_wrong = pc.list_flatten(column), np.zeros(len(column), bool)
  if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
    numbers = values.to_numpy(zero_copy_only=False)  # None as NaN
    is_wrong[pc.list_parent_indices(column).to_numpy()[~((numbers >= 0) & (numbers <= 1))]] = True
  else:
    is_wrong[:] = True
  _refuse(is_wrong, column, "numbers from 0 to 1 are needed, one a class")


def _refuse(is_wrong: np.ndarray, values: Sequence[Any] | np.ndarray | pa.Array, needed: str) -> None:
  if is_wrong.any():
    row = int(is_wrong.argmax())
    value = values[row]
    shown = value.item() if isinstance(value, np.generic) else value.as_py() if isinstance(value, pa.Scalar) else value
    raise InputError(f"row {row + 1}: the label is {shown!r:.60}, and {needed}")

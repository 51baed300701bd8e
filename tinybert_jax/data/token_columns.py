"""The columns of token rows, checked before a model reads them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tinybert_jax.errors import InputError

PER_TOKEN = "token_"  # what the names of columns begin with that have a whole number for each token


class Tables(NamedTuple):
  """How many embeddings a model has: of tokens, of segments, of positions; None for those that it has none of."""

  tokens: int
  segments: int | None
  positions: int | None


def tables_of(params: Mapping[str, Any]) -> Tables | None:
  """Returns how many embeddings a model's parameters have; None where they are no encoder's of this library."""
  try:
    embeddings = params.get("encoder", params)["embeddings"]
    names = ("token_type_embeddings", "position_embeddings")
    sizes = {name: embeddings[name]["embedding"].shape[-2] for name in names if name in embeddings}
    tokens = embeddings["word_embeddings"]["embedding"].shape[-2]  # pmap has a first axis of devices
    return Tables(tokens, *(sizes.get(name) for name in names))
  except (KeyError, IndexError, TypeError, AttributeError):
    return None


def check_columns(rows: datasets.Dataset) -> None:
  """Raises InputError, with the row, for columns of tokens that are no numbers, contradict each other or are masked,
  and for the teacher's targets where they are not finite.
  """
  lengths = list_lengths(rows, "input_ids")
  if len(lengths) and not lengths.all():
    raise InputError(f"row {int(lengths.argmin()) + 1}: no tokens, and an empty text has [CLS] and [SEP]")
  for name in rows.column_names:
    if name.startswith(PER_TOKEN) and (is_other := lengths != (found := list_lengths(rows, name))).any():
      row = int(is_other.argmax())
      raise InputError(f"row {row + 1}: {lengths[row]} input_ids, and {found[row]} {name}")
  _check_range(rows, "attention_mask", range(1, 2), "rows are padded in batches, so leave out what is masked")
  first = 0
  for targets in _chunks(rows, "teacher_targets"):
    _check_targets(targets, lengths[first : first + len(targets)], first)
    first += len(targets)


def _check_targets(targets: Any, lengths: np.ndarray, first: int) -> None:
  """Raises InputError for targets that are no finite numbers, or of other tokens than the rows have.

  Args:
    targets: a list in each row, or a list of lists.
    lengths: of the rows, in tokens.
    first: number of the first of these rows.
  """
  values, row_of = targets, np.arange(len(targets))  # the row that each value is of
  while _is_list(values.type):
    if values.null_count:
      row = row_of[int(np.asarray(values.is_null()).argmax())]
      raise InputError(f"row {first + row + 1}: None in teacher_targets, and a list of numbers is needed")
    if values is not targets and (counts := np.bincount(row_of, minlength=len(lengths))).tolist() != lengths.tolist():
      row = int((counts != lengths).argmax())
      raise InputError(f"row {first + row + 1}: {lengths[row]} input_ids, and {counts[row]} teacher_targets")
    values, row_of = pc.list_flatten(values), row_of[pc.list_parent_indices(values).to_numpy()]
  if values is targets or not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
    raise InputError(f"the column teacher_targets holds {targets.type}, and a list of numbers is needed in each row")
  if not (is_finite := np.isfinite(values.to_numpy(zero_copy_only=False))).all():
    row = int(row_of[int(is_finite.argmin())])
    shown = f"{targets[row].as_py()}"
    raise InputError(f"row {first + row + 1}: the teacher's targets are {shown:.60}, which are not all finite")


def check_fit(rows: datasets.Dataset, tables: Tables, name: str = "the model") -> None:
  """Raises InputError, with row and value, for a token, segment or position for which a model has no embedding."""
  tokens, segments, positions = tables
  _check_range(rows, "input_ids", range(tokens), f"{name} has a vocab_size of {tokens}")
  if segments is not None:
    _check_range(rows, "token_type_ids", range(segments), f"{name} has a type_vocab_size of {segments}")
  lengths = list_lengths(rows, "input_ids")
  if positions is not None and len(lengths) and lengths.max() > positions:
    row = int((lengths > positions).argmax())
    raise InputError(f"row {row + 1}: {lengths[row]} tokens, and {name} has positions for {positions} only")


def _check_range(rows: datasets.Dataset, name: str, wanted: range, needed: str) -> None:
  first = 0
  for lists in _chunks(rows, name):
    values = pc.list_flatten(lists)
    least, most = pc.min_max(values).values()
    if len(values) and (least.as_py() not in wanted or most.as_py() not in wanted):
      numbers = values.to_numpy()
      place = int(((numbers < wanted.start) | (numbers >= wanted.stop)).argmax())
      row = first + pc.list_parent_indices(lists)[place].as_py()
      raise InputError(f"row {row + 1}: {numbers[place]} among its {name}, and {needed}")
    first += len(lists)


def list_lengths(rows: datasets.Dataset, name: str) -> np.ndarray:
  """Returns the lengths of a column's lists; InputError where they hold anything but whole numbers."""
  if name not in rows.column_names:
    raise InputError(f"the rows have no column {name}, but {', '.join(rows.column_names)}; `tokenize` makes it")
  lengths, first = [np.zeros(0, np.int64)], 0
  for lists in _chunks(rows, name):
    kind = lists.type
    if not _is_list(kind) or not (pa.types.is_integer(kind.value_type) or pa.types.is_null(kind.value_type)):
      raise InputError(f"the column {name} holds {lists.type}, and a list of whole numbers is needed in each row")
    if lists.null_count or pc.list_flatten(lists).null_count:
      row = next(row for row, ids in enumerate(lists.to_pylist()) if ids is None or None in ids)
      raise InputError(f"row {first + row + 1}: None in {name}, and whole numbers are needed")
    lengths.append(pc.list_value_length(lists).to_numpy())
    first += len(lists)
  return np.concatenate(lengths)


def _is_list(kind: pa.DataType) -> bool:
  return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _chunks(rows: datasets.Dataset, name: str) -> Iterator[Any]:
  if name in rows.column_names:
    yield from rows.select_columns(name).with_format("arrow")[:][name].chunks

"""The rows that choose the best step, where no table of them is given, and texts that two tables share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.own_rows import OwnRows

MOST_DEV = 2000  # rows that are taken from train to choose by
_LEAST = 4  # rows to take from


class DevSplit(NamedTuple):
  """The rows to choose by, the others, and a sentence on them."""

  dev: OwnRows
  rest: OwnRows
  note: str


def split_dev(source: OwnRows, share: float, seed: int, *, stratify: bool) -> DevSplit:
  """Returns a share of the rows to choose the best step by, and the others.

  Args:
    source: rows with labels, or all without.
    share: of the rows; at most 2,000 are taken, or a few more where each class has its share.
    seed: random seed.
    stratify: whether the labels are classes, of each of which the same share is taken. Rows of one `group`, where there
      is such a column, stay together.

  Raises:
    InputError: too few rows.
  """
  size = len(source.rows)
  if size < _LEAST:
    raise InputError(f"only {size} rows to train on and to choose by; at least {_LEAST} are needed")
  number = min(MOST_DEV, max(1, round(share * size)))
  has_labels = "label" in source.rows.column_names
  rng = np.random.default_rng(seed)
  if "group" in source.rows.column_names:
    chosen = _whole_groups(source.rows["group"][:], number, rng)
  elif stratify and has_labels:
    chosen = _stratified(np.asarray(source.rows["label"][:]), number, rng)
  else:
    chosen = np.sort(rng.permutation(size)[:number])
  if len(chosen) == size:
    raise InputError("all rows are of one group, such as an article, and none is left to train on; give --dev")
  rest = np.setdiff1d(np.arange(size), chosen)
  of_what = "labelled rows" + (", stratified" if stratify else "") if has_labels else "rows without labels"
  note = f"dev: {len(chosen):,} of the {size:,} {of_what}; --dev gives others"
  return DevSplit(source.select(chosen), source.select(rest), note)


def _whole_groups(groups: Sequence[str], number: int, rng: np.random.Generator) -> np.ndarray:
  """Returns the numbers of at least `number` rows: all of some groups, which share texts."""
  names, of_row = np.unique(np.asarray(groups), return_inverse=True)
  order = rng.permutation(len(names))
  sizes = np.cumsum(np.bincount(of_row)[order])
  return np.flatnonzero(np.isin(of_row, order[: int(np.searchsorted(sizes, number)) + 1]))


def shared_texts(train: datasets.Dataset, measured: datasets.Dataset, name: str) -> list[str]:
  """Returns a note on texts that stand in both, if there are any; they are kept, and flatter the scores."""
  pair = "pair" in train.column_names and "pair" in measured.column_names

  def keys(rows: datasets.Dataset) -> list[Any]:
    return list(zip(rows["text"][:], rows["pair"][:], strict=True)) if pair else rows["text"][:]

  known = set(keys(train))
  twice = sum(key in known for key in keys(measured))
  said = f"{name}: {twice:,} of {len(measured):,} texts stand in the training data as well, and flatter the scores"
  return [said] if twice else []


def _stratified(classes: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
  """Returns the numbers of `number` rows or a few more, of each class its share, and at least one of two.

  Where every class has one row alone, they are drawn from all.
  """
  if len(np.unique(classes)) == len(classes):
    return np.sort(rng.permutation(len(classes))[:number])
  share, chosen = number / len(classes), []
  for one in np.unique(classes):
    members = rng.permutation(np.flatnonzero(classes == one))
    chosen.append(members[: max(min(1, len(members) - 1), round(share * len(members)))])
  return np.sort(np.concatenate(chosen))

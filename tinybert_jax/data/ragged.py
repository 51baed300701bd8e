"""Rows of different lengths, such as numbers for each token of each text."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class Ragged:
  """Arrays of different lengths, one a row, behind each other in one.

  `rows[3]` is a row's array, L×C; `rows[[3, 5]]` are some of the rows.

  Attributes:
    values: of all rows, T×C.
    lengths: of each row, N.
  """

  def __init__(self, values: np.ndarray, lengths: np.ndarray):
    if lengths.sum() != len(values):
      raise ValueError(f"lengths that add up to {lengths.sum()}, and {len(values)} values")
    self.values, self.lengths = values, lengths
    self.starts = np.cumsum(lengths) - lengths

  def __len__(self) -> int:
    return len(self.lengths)

  def __getitem__(self, rows: int | Sequence[int] | np.ndarray) -> Any:
    if isinstance(rows, int | np.integer):
      start = self.starts[rows]
      return self.values[start : start + self.lengths[rows]]
    return ragged([self[int(row)] for row in rows], like=self.values)


def ragged(rows: Sequence[np.ndarray], like: np.ndarray | None = None) -> Ragged:
  """Returns the arrays L×C of rows as one; `like` gives width and type where there is no row."""
  lengths = np.asarray([len(row) for row in rows], np.int64)
  return Ragged(np.concatenate(rows) if len(rows) else np.asarray(like)[:0], lengths)

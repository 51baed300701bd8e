"""Rows of one's own data before they are tokens, each with its targets where these came with the data."""

from collections.abc import Sequence
from typing import NamedTuple

import datasets
import numpy as np


class OwnRows(NamedTuple):
  """Rows of one source.

  Attributes:
    rows: `index`, the row's number in its table, `text`, and `pair`, `label` and more where the kind of task has them.
    targets: of each row, as logits; None where a teacher gives them.
  """

  rows: datasets.Dataset
  targets: np.ndarray | None

  def select(self, rows: Sequence[int] | np.ndarray) -> "OwnRows":
    """Returns the rows of these numbers."""
    return OwnRows(self.rows.select(rows), None if self.targets is None else self.targets[np.asarray(rows, int)])

  def first(self, number: int | None, seed: int) -> "OwnRows":
    """Returns `number` rows drawn by the seed; all where it is None."""
    if number is None or number >= len(self.rows):
      return self
    return self.select(np.random.default_rng(seed).permutation(len(self.rows))[:number])

  def without_labels(self) -> "OwnRows":
    """Returns the rows without their labels."""
    return self._replace(rows=self.rows.remove_columns([name for name in ("label",) if name in self.rows.column_names]))


def joined(parts: Sequence[OwnRows]) -> OwnRows:
  """Returns the rows of all parts without labels, in their order."""
  rows = [part.without_labels().rows for part in parts]
  targets = [part.targets for part in parts if part.targets is not None]
  together = rows[0] if len(rows) == 1 else datasets.concatenate_datasets(rows)
  return OwnRows(together, np.concatenate(targets) if targets else None)

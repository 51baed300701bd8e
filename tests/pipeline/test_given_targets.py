"""Cells of target columns that are no numbers for a student to learn."""

import datasets
import numpy as np
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.given_targets import read_targets


def read(cells, kind="classification"):
  table = datasets.Dataset.from_dict({"bad": cells, "good": [0.5] * len(cells)})
  names = ("good", "bad") if kind != "regression" else ("score",)
  columns = ["bad", "good"] if kind != "regression" else ["bad"]
  return read_targets(table, columns, range(len(cells)), kind=kind, names=names, where="t.csv", notes=[])


@pytest.mark.parametrize("kind", ["classification", "multi_label", "regression"])
@pytest.mark.parametrize("cell", [float("nan"), float("inf"), -float("inf"), 1e60, -1e60, None])
def test_targets_that_no_32_bit_number_holds_are_named(cell, kind):
  with pytest.raises(InputError, match=r"t\.csv, row 2: .* in the column bad, and a finite number is needed"):
    read([0.5, cell, 0.5], kind)


def test_targets_come_in_the_order_of_the_classes():
  np.testing.assert_allclose(np.exp(read([0.5, 0.495, 0.5])), [[0.5, 0.5], [0.5, 0.495], [0.5, 0.5]], rtol=1e-6)

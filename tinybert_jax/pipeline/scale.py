"""The scale of a regression's numbers: a model learns them standardised, and its head gives them as they were."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import datasets
import numpy as np

from tinybert_jax.training.fit import Params


class Scale(NamedTuple):
  """Mean and spread of the numbers that a stage learns; the default leaves them as they are.

  At the usual learning rates a head that begins near 0 never reaches a price of 100,000.
  """

  mean: float = 0.0
  spread: float = 1.0

  def standardized(self, values: Any) -> Any:
    """Returns numbers with the mean 0 and the spread 1."""
    if self == UNSCALED:
      return values
    return ((np.asarray(values, np.float64) - self.mean) / self.spread).astype(np.float32)

  def raw(self, outputs: Any) -> Any:
    """Returns a model's outputs on the scale of the data."""
    if self == UNSCALED:
      return outputs
    return (outputs.astype(np.float64) * self.spread + self.mean).astype(np.float32)

  def folded(self, params: Params) -> Params:
    """Returns a regression's parameters with the scale in the weights and the bias of its head."""
    if self == UNSCALED:
      return params
    head: Mapping[str, Any] = params["classifier"]
    kernel, bias = (np.asarray(head[name], np.float64) for name in ("kernel", "bias"))
    scaled = {"kernel": kernel * self.spread, "bias": bias * self.spread + self.mean}
    return {**params, "classifier": {name: value.astype(np.float32) for name, value in scaled.items()}}

  def unfolded(self, params: Params) -> Params:
    """Returns the parameters of a regression whose head gives the data's numbers, with one that gives standardised."""
    return Scale(-self.mean / self.spread, 1 / self.spread).folded(params)

  def with_labels(self, rows: datasets.Dataset) -> datasets.Dataset:
    """Returns token rows with their labels standardised."""
    if self == UNSCALED:
      return rows
    return rows.remove_columns("labels").add_column("labels", self.standardized(rows["labels"][:]))


UNSCALED = Scale()


def scale_of(values: Any) -> Scale:
  """Returns the scale of numbers; the spread of numbers that are all the same counts as 1."""
  numbers = np.asarray(values, np.float64)
  return Scale(float(numbers.mean()), float(numbers.std()) or 1.0)

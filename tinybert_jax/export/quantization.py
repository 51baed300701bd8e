"""How weights become 8-bit integers."""

import dataclasses
from collections.abc import Mapping

import numpy as np

_LEAST = 1e-3  # of the largest input, that a channel counts as having


@dataclasses.dataclass(frozen=True)
class Quantization:
  """How weights become 8-bit integers: w ≈ scale · integer, symmetrically around 0.

  The inputs of products become 8-bit integers as the model runs, with one scale for a whole tensor (ONNX's
  DynamicQuantizeLinear). Biases, LayerNorms, segments, the classifier's own matrix and what attention multiplies stay
  as they are.

  Attributes:
    per_channel: one scale for each column of a matrix and each row of embeddings, instead of one for all.
    reduced_range: integers of 7 bits, for processors whose sums of two 8-bit products overflow 16 bits: x86 without
      VNNI.
    kept: what the Flax paths begin with whose weights stay as they are.
    inputs: the largest input of each product in each of its channels, by the Flax path of its kernel, see `balance`;
      with them large channels are made smaller, and the weights that multiply them larger.
  """

  per_channel: bool = True
  reduced_range: bool = False
  kept: tuple[str, ...] = ()
  inputs: Mapping[str, np.ndarray] | None = dataclasses.field(default=None, repr=False, hash=False, compare=False)

  def integers(self, weights: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the integers and their scales.

    Args:
      weights: to write.
      axis: along which one scale counts. Those of columns, axis 0, are a list; those of rows have an axis of length 1
        besides; one scale for all is a single number.
    """
    most = np.float32(63 if self.reduced_range else 127)
    largest = np.abs(weights).max(axis, keepdims=True) if self.per_channel else np.abs(weights).max()
    scale = np.where(largest > 0, largest, 1).astype(np.float32) / most
    integers = np.rint(weights / scale).astype(np.int8)
    return integers, np.asarray(scale[0] if self.per_channel and axis == 0 else scale)

  def balance(self, path: str) -> np.ndarray | None:
    """Returns what a product's inputs are divided by, channel by channel, and its weights multiplied; None for nothing.

    That is √(largest input) of SmoothQuant (Xiao et al. 2023, its α at ½), without the weights' own sizes, so that
    products of one input share it. The product stays the same up to rounding. One channel of large inputs no longer
    leaves few of the 256 integers for all others.
    """
    if self.inputs is None or path not in self.inputs:
      return None
    largest = self.inputs[path]
    by = np.sqrt(np.maximum(largest, _LEAST * largest.max() + np.finfo(np.float32).tiny))
    return (by / np.exp(np.mean(np.log(by)))).astype(np.float32)

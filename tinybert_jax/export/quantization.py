"""How weights become 8-bit integers."""

import dataclasses

import numpy as np


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
  """

  per_channel: bool = True
  reduced_range: bool = False
  kept: tuple[str, ...] = ()

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

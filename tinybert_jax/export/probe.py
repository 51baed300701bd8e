"""Whether an exported file computes what the model computes: both on one batch, with padding."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.export.heads import head_of
from tinybert_jax.export.session import Session
from tinybert_jax.export.stablehlo import outputs
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.finished import AnyModel

_LENGTHS = (24, 9, 2)  # tokens of the texts, where the model has as many positions


class Probe:
  """A batch of random tokens, and what a model gives for it."""

  def __init__(self, model: AnyModel, params: Mapping[str, Any]):
    self.batch, self.as_in_jax = probe_batch(model.config), head_of(type(model)).as_in_jax
    run = jax.jit(lambda params, batch: outputs(model, params, batch))
    self.expected = np.asarray(run(params, self.batch))

  def difference(self, exported: bytes) -> float:
    """Returns how far an ONNX file is from the model, set to the largest number of the model's output.

    Infinity stands for numbers that are not finite.
    """
    found = self.as_in_jax(Session(exported)(self.batch))
    if not np.isfinite(found).all():
      return float("inf")
    return float(np.abs(found - self.expected).max() / np.abs(self.expected).max())

  def check_whole(self, exported: bytes) -> None:
    """Raises RuntimeError where a float32 file computes something else; that is a mistake of ours."""
    difference = self.difference(exported)
    if difference > 1e-4:
      raise RuntimeError(f"the ONNX file and the model differ by {difference:.1e} of the largest number")

  def check_half(self, exported: bytes) -> None:
    """Raises InputError where float16 does not hold the numbers that the model computes with."""
    difference = self.difference(exported)
    if difference > 0.1:
      how = "are not finite" if difference == float("inf") else f"differ by {difference:.0%} of the largest"
      raise InputError(f"--fp16: in float16 this model's outputs {how}; its numbers are too large for it")


def probe_batch(config: EncoderConfig) -> dict[str, np.ndarray]:
  """Returns three texts of random tokens, of two segments where the model has them, padded to one length."""
  length = min(config.longest, max(_LENGTHS))
  sizes = np.minimum(_LENGTHS, length)
  place = np.arange(length)
  mask = (place < sizes[:, None]).astype(np.int32)
  ids = np.random.default_rng(0).integers(0, config.vocab_size, mask.shape)
  batch = {"input_ids": np.where(mask, ids, config.pad_token_id).astype(np.int32), "attention_mask": mask}
  if config.type_vocab_size > 1:
    batch["token_type_ids"] = (place > length // 2).astype(np.int32) * mask
  return batch

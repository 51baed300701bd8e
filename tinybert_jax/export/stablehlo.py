"""A model as StableHLO by `jax.export`: one file that JAX loads again without this library."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Batch, SequenceClassifier, apply
from tinybert_jax.models.finished import AnyModel

PLATFORMS = ("cpu", "cuda", "tpu")


def outputs(model: AnyModel, params: Mapping[str, Any], batch: Batch) -> Array:
  """Returns what an exported model gives: logits, or the last hidden states of the bare encoder."""
  first = {"first_token": True} if isinstance(model, SequenceClassifier) else {}
  found = apply(model, params, batch, **first)
  return found.hidden_states[-1] if found.logits is None else found.logits


def input_names(config: EncoderConfig) -> tuple[str, ...]:
  """Returns what an exported model reads."""
  return ("input_ids", "attention_mask", *(("token_type_ids",) if config.type_vocab_size > 1 else ()))


def stablehlo(model: AnyModel, params: Mapping[str, Any]) -> bytes:
  """Returns a model with its parameters, in float32, for any number of texts of any length it has positions for.

  `jax.export.deserialize(bytearray(…))` loads it, on a CPU, a CUDA GPU or a TPU; its `call` takes a dictionary of int32
  arrays, batch × length, of `input_names`. Files stay loadable as `jax.export` promises, for six months at least.
  """
  batch, length = export.symbolic_shape("batch, length", constraints=(f"length <= {model.config.longest}",))
  shape = jax.ShapeDtypeStruct((batch, length), jnp.int32)
  constants = jax.tree.map(np.asarray, dict(params))
  program = jax.jit(lambda batch: outputs(model, constants, batch))
  exported = export.export(program, platforms=PLATFORMS)(dict.fromkeys(input_names(model.config), shape))
  return bytes(exported.serialize())

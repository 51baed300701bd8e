"""What models read and give, and in which dtypes.

Shapes: B batch, L length, D hidden size, H heads, V vocabulary, C classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from tinybert_jax.models.attention import QueryAndKey
from tinybert_jax.models.layers import Precisions

Batch = Mapping[str, Array | np.ndarray]


def choose_precisions(dtype: DTypeLike, activations: DTypeLike | None) -> Precisions:
  """Returns in which dtypes a model of these attributes computes, see `Encoder`."""
  if activations is None:
    activations = dtype if jax.default_backend() != "cpu" else jnp.float32
  return Precisions(jnp.dtype(dtype), jnp.dtype(activations))


class Outputs(NamedTuple):
  """What a module gives. Under `jax.jit`, what the caller does not read is not computed.

  Attributes:
    hidden_states: M+1 arrays B×L×D; index 0 is the embedding layer's output, index m that of layer m.
    attention_scores: QKᵀ/√K of the layers asked for, in that order, each B×H×L×L in float32, before
      mask and softmax; none with fused attention. With what the family adds for relative positions.
    pooled: B×D, in most families tanh of a dense layer on the first token; None from the bare encoder of a family
      without pooler.
    logits: what the head gives: B×C from a classifier, B×L×V from a masked language model; None from
      the bare encoder.
    queries_and_keys: with fused attention, what the scores of the layers asked for come from.
    score_errors: with fused attention and another model's queries and keys, the squared error of the scores to that
      model's, of the layers asked for; summed over heads and pairs of tokens.
    queries: Q of `qkv_layers`, in that order, heads merged: head h stands at h·K to (h+1)·K of the last axis.
    keys: K of the same layers, likewise.
    values: V of the same layers, likewise.
  """

  hidden_states: tuple[Float[Array, "B L D"], ...]
  attention_scores: tuple[Float[Array, "B H L L"], ...]
  pooled: Float[Array, "B D"] | None
  logits: Float[Array, "..."] | None = None
  queries_and_keys: tuple[QueryAndKey, ...] = ()
  score_errors: tuple[Float[Array, " B"], ...] = ()
  queries: tuple[Float[Array, "B L D"], ...] = ()
  keys: tuple[Float[Array, "B L D"], ...] = ()
  values: tuple[Float[Array, "B L D"], ...] = ()

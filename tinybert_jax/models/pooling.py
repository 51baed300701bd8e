"""Vectors of texts: pooled hidden states, and their norms, as pure functions of arrays.

They give what the modules of sentence-transformers of these names give. A row without tokens, which fills up a batch,
gives zeros and a finite gradient.

Shapes: B batch, L length, D width.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tinybert_jax.models.sentence_head import Pooling

_SMALLEST = 1e-24  # squared norm; torch's `normalize` divides a shorter vector by 1e-12


def pool(mode: Pooling, x_BxLxD: Float[Array, "B L D"], mask_BxL: Bool[Array, "B L"]) -> Float[Array, "B D"]:
  """Returns one vector for each text, in float32.

  Args:
    mode: "cls" takes the first token, "lasttoken" the last, "max" the largest of each component, "mean" the mean.
      "mean_sqrt_len_tokens" divides the sum by the square root of the number of tokens. In "weightedmean" the weight
      of a token is its number in the text, from 1.
    x_BxLxD: hidden states.
    mask_BxL: whether it is a token.
  """
  return _MODES[mode](x_BxLxD.astype(jnp.float32), mask_BxL)


def normalized(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
  """Returns vectors of norm 1; those shorter than 1e-12 are divided by that."""
  return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), _SMALLEST))


def _first(x: Array, mask: Array) -> Array:
  return _at(x, mask, jnp.argmax(mask, axis=1))


def _last(x: Array, mask: Array) -> Array:
  return _at(x, mask, mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1))


def _at(x: Array, mask: Array, places: Array) -> Array:
  return jnp.take_along_axis(x, places[:, None, None], axis=1)[:, 0] * jnp.any(mask, axis=1)[:, None]


def _max(x: Array, mask: Array) -> Array:
  largest = jnp.max(jnp.where(mask[..., None], x, jnp.finfo(x.dtype).min), axis=1)
  return jnp.where(jnp.any(mask, axis=1)[:, None], largest, 0)


def _weighted(x: Array, weights: Array, power: float = 1.0) -> Array:
  total = jnp.maximum(jnp.sum(weights, axis=1), 1)[:, None]
  return jnp.einsum("bld,bl->bd", x, weights.astype(x.dtype), precision="highest") / total**power


def _position_weights(mask: Array) -> Array:
  return mask * (1 + jnp.arange(mask.shape[1]) - jnp.argmax(mask, axis=1)[:, None])


_MODES: dict[str, Callable[[Array, Array], Array]] = {
  "cls": _first,
  "max": _max,
  "mean": _weighted,
  "mean_sqrt_len_tokens": lambda x, mask: _weighted(x, mask, 0.5),
  "weightedmean": lambda x, mask: _weighted(x, _position_weights(mask)),
  "lasttoken": _last,
}

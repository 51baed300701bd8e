"""What the layers of all models are made of: dropout, dense layers, LayerNorm.

Shapes: B batch, L length, Q tokens that are computed, D and F widths.
"""

import functools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Shaped, UInt8, UInt32

from tinybert_jax.models import products
from tinybert_jax.models.config import EncoderConfig


def dropout(x: Array, rate: float, key: Array) -> Array:
  """Returns `x` with elements zeroed at `rate`, the others scaled so that the mean stays.

  One random byte decides an element, so the rate is rounded to a multiple of 1/256 (0.1 becomes 26/256)
  and the scale follows the rounded rate. The usual 32 bits an element took 1.7 to 4 times as long on a CPU.
  A program for TPU draws other bytes of the same key than one for CPU or GPU.
  """
  dropped = round(rate * 256)
  return jnp.where(random_bytes(key, x.shape) >= dropped, x * (256 / (256 - dropped)), 0).astype(x.dtype)


def random_bytes(key: Array, shape: tuple[int, ...]) -> UInt8[Array, "..."]:
  """Returns the bytes that decide for `dropout`."""
  tpu, default = (functools.partial(draw, shape=shape) for draw in (_bytes_in_place, _bytes_of_words))
  return jax.lax.platform_dependent(key, tpu=tpu, default=default)


def _bytes_of_words(key: Array, shape: tuple[int, ...]) -> Array:
  """Returns random bytes, four from a word: a quarter of the work."""
  size = math.prod(shape)
  words = jax.random.bits(key, (-(-size // 4),), jnp.uint32)
  return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:size].reshape(shape)


def _bytes_in_place(key: Array, shape: tuple[int, ...]) -> Array:
  """Returns random bytes, each from a word of its own: four times the work, and nothing is moved.

  The compiler for TPU computes these where they are used, while four bytes from a word pass through memory in
  layouts that waste most of it.
  """
  return jax.random.bits(key, shape, jnp.uint8)


class Dropout(nn.Module):
  """`dropout` with a key from the module's "dropout" stream; nothing when deterministic."""

  rate: float

  def __call__(self, x: Array, deterministic: bool) -> Array:
    if deterministic or self.rate == 0:
      return x
    return dropout(x, self.rate, self.make_rng("dropout"))

  def seeds(self, number: int, deterministic: bool) -> UInt32[Array, "number 2"] | None:
    """Returns random words for those who draw by themselves, `fused_attention`; None where nothing is dropped."""
    if deterministic or self.rate == 0:
      return None
    return jax.random.bits(self.make_rng("dropout"), (number, 2), jnp.uint32)


class Precisions(NamedTuple):
  """In which dtypes a model computes.

  Attributes:
    products: of the inputs of matrix products, whose sums are float32.
    activations: of what passes between them. Parameters, LayerNorm statistics, scores and softmax are float32.
  """

  products: DTypeLike
  activations: DTypeLike


class Dense(nn.Module):
  """`nn.Dense`, with a product of rounded inputs, and a float32 sum and bias."""

  features: int
  precisions: Precisions
  scale: float  # standard deviation of fresh kernels
  use_bias: bool = True

  @nn.compact
  def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B F"]:
    layer = nn.Dense(
      self.features,
      use_bias=self.use_bias,
      dtype=jnp.float32,
      kernel_init=nn.initializers.normal(self.scale),
      dot_general=products.dot_general(self.precisions.products),
    )
    nn.share_scope(self, layer)
    return layer(x).astype(self.precisions.activations)


def dense(config: EncoderConfig, features: int, precisions: Precisions, *, bias: bool = True) -> Dense:
  return Dense(features, precisions, config.initializer_range, bias)


def layer_norm(config: EncoderConfig, precisions: Precisions, name: str | None = None) -> nn.LayerNorm:
  # Flax keeps the statistics in float32 whatever the dtype. The one-pass variance it uses by default
  # loses digits where the mean is large, so the two-pass form.
  bias = getattr(config.settings, "norm_bias", True)
  dtype = precisions.activations
  return nn.LayerNorm(epsilon=config.layer_norm_eps, dtype=dtype, use_bias=bias, use_fast_variance=False, name=name)


def take_at(x_BxLxD: Shaped[Array, "B L D"], positions_BxQ: Int[Array, "B Q"] | None) -> Shaped[Array, "B Q D"]:
  """Returns the rows of the tokens at these positions; of all tokens for None."""
  return x_BxLxD if positions_BxQ is None else jnp.take_along_axis(x_BxLxD, positions_BxQ[..., None], axis=1)

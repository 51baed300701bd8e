"""What attention knows of how far apart two tokens are: biases, rotary positions, windows, relative embeddings.

Shapes: B batch, L length, Q tokens that are computed, H heads, K head size, S relative positions.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.family_settings import DebertaSettings, ModernBertSettings
from tinybert_jax.models.layers import Precisions, layer_norm

_BIAS_BUCKETS, _BIAS_FARTHEST = 32, 128  # MPNet's, whatever its configuration says


# Of each token, by place in the row and component of a head.
Rotation = tuple[Float[Array | np.ndarray, "L K"], Float[Array | np.ndarray, "L K"]]
# Of texts: a number, or a dimension of `jax.export` that stands for any number.
Length = Any


class Distance(NamedTuple):
  """What the attention of one layer reads of positions; None for what its family does not have.

  Attributes:
    bias: added to the scores.
    rotation: cosines and sines that queries and keys are turned by.
    reach: how many tokens away a key may be to be attended to.
    embeddings: of relative positions.
    bucket: the row of `embeddings` for a query and a key.
  """

  bias: Float[Array, "1 H L L"] | None = None
  rotation: Rotation | None = None
  reach: int | None = None
  embeddings: Float[Array, "1 S D"] | None = None
  bucket: Int[Array | np.ndarray, "L L"] | None = None


NO_DISTANCE = Distance()


class NoDistances(nn.Module):
  """Attention that depends on nothing but queries and keys."""

  config: EncoderConfig
  precisions: Precisions

  def __call__(self, length: Length) -> list[Distance]:
    """Returns what each layer reads, for texts of this length."""
    return [NO_DISTANCE] * self.config.num_hidden_layers


class BiasedDistances(nn.Module):
  """MPNet's bias for each head and bucket of distances, the same in all layers (Song et al. 2020; T5's buckets)."""

  config: EncoderConfig
  precisions: Precisions

  def setup(self):
    config = self.config
    initial = nn.initializers.normal(config.initializer_range)
    self.bias = nn.Embed(_BIAS_BUCKETS, config.num_attention_heads, embedding_init=initial)

  def __call__(self, length: Length) -> list[Distance]:
    buckets_LxL = of_pairs(distance_biases, length, self.config.longest)
    bias_1xHxLxL = jnp.moveaxis(self.bias(jnp.asarray(buckets_LxL)), -1, 0)[None]
    return [Distance(bias=bias_1xHxLxL)] * self.config.num_hidden_layers


class RotaryDistances(nn.Module):
  """ModernBERT's rotary positions (Su et al. 2021), with a base and a window for global and local layers."""

  config: EncoderConfig
  precisions: Precisions

  def __call__(self, length: Length) -> list[Distance]:
    settings, size = self.config.settings, self.config.head_size
    assert isinstance(settings, ModernBertSettings)
    return [
      Distance(
        rotation=rotation(length, size, settings.rope_theta(m)),
        reach=None if settings.is_global(m) else settings.local_attention // 2,
      )
      for m in range(self.config.num_hidden_layers)
    ]


class DisentangledDistances(nn.Module):
  """DeBERTa's embeddings of relative positions, which all layers share (He et al. 2021)."""

  config: EncoderConfig
  precisions: Precisions

  def setup(self):
    config, settings = self.config, self.config.settings
    assert isinstance(settings, DebertaSettings)
    if settings.relative_attention:
      initial = nn.initializers.normal(config.initializer_range)
      rows = 2 * settings.span(config.max_position_embeddings)
      self.embeddings = nn.Embed(rows, config.hidden_size, embedding_init=initial)
    if settings.relative_attention and "layer_norm" in settings.norm_rel_ebd:
      self.layer_norm = layer_norm(config, self.precisions)

  def __call__(self, length: Length) -> list[Distance]:
    config, settings = self.config, self.config.settings
    assert isinstance(settings, DebertaSettings)
    if not settings.relative_attention:
      return [NO_DISTANCE] * config.num_hidden_layers
    table_SxD = self.embeddings.embedding.astype(self.precisions.activations)
    if "layer_norm" in settings.norm_rel_ebd:
      table_SxD = self.layer_norm(table_SxD)
    rows = functools.partial(distance_embeddings, settings=settings, positions=config.max_position_embeddings)
    bucket = of_pairs(rows, length, config.longest)
    return [Distance(embeddings=table_SxD[None], bucket=bucket)] * config.num_hidden_layers


DISTANCES = {
  "plain": NoDistances,
  "biased": BiasedDistances,
  "rotary": RotaryDistances,
  "disentangled": DisentangledDistances,
}


def bias_buckets(length: int) -> Int[np.ndarray, "L L"]:
  """Returns MPNet's bucket of each pair of query and key."""
  return np.asarray(of_pairs(distance_biases, length, length))


def of_pairs(
  of_distances: Callable[[np.ndarray], np.ndarray], length: Length, longest: int
) -> Int[Array | np.ndarray, "L L"]:
  """Returns a whole number for each query and key.

  Args:
    of_distances: gives that for distances, key - query.
    length: of the text.
    longest: the most tokens that a text can have; a table of that size is read where `length` is a dimension of
      `jax.export`.
  """
  if isinstance(length, int):
    return of_distances(np.arange(length) - np.arange(length)[:, None])
  apart = jnp.arange(length) - jnp.arange(length)[:, None]
  return jnp.asarray(of_distances(np.arange(1 - longest, longest)))[apart + longest - 1]


def distance_biases(apart: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
  """Returns MPNet's buckets of distances, key - query: exact for near ones, logarithmic up to 128, then the last."""
  half, exact = _BIAS_BUCKETS // 2, _BIAS_BUCKETS // 4
  distance = np.abs(apart)
  with np.errstate(divide="ignore"):
    logarithm = np.log(distance.astype(np.float32) / np.float32(exact)) / np.float32(math.log(_BIAS_FARTHEST / exact))
  far = exact + (np.maximum(logarithm, 0) * np.float32(half - exact)).astype(np.int32)
  return half * (apart > 0) + np.where(distance < exact, distance, np.minimum(far, half - 1))


def distance_embeddings(
  apart: Int[np.ndarray, "..."], settings: DebertaSettings, positions: int
) -> Int[np.ndarray, "..."]:
  """Returns the rows of DeBERTa's embeddings of relative positions for distances.

  Args:
    apart: the distances, key - query.
    settings: of the model.
    positions: its `max_position_embeddings`.
  """
  span, apart = settings.span(positions), -apart
  if settings.position_buckets > 0:
    apart = log_buckets(apart, settings.position_buckets, settings.farthest(positions))
  return np.clip(apart + span, 0, 2 * span - 1)


def log_buckets(apart: Int[np.ndarray, "..."], buckets: int, farthest: int) -> Int[np.ndarray, "..."]:
  """Returns DeBERTa's buckets of distances: themselves up to half their number, logarithmic beyond."""
  middle = buckets // 2
  is_near = (apart < middle) & (apart > -middle)
  distance = np.where(is_near, middle - 1, np.abs(apart)).astype(np.float32)
  ratio = np.log(distance / np.float32(middle)) / np.log(np.float32((farthest - 1) / middle))
  far = np.ceil(ratio * np.float32(middle - 1)) + middle
  return np.where(distance <= middle, apart, far * np.sign(apart)).astype(np.int32)


def frequencies(size: int, base: float) -> Float[np.ndarray, " pairs"]:
  """Returns by what angle rotary positions turn each pair of a head's components from one token to the next."""
  return (1 / np.float32(base) ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size))).astype(np.float32)


def rotation(length: Length, size: int, base: float) -> Rotation:
  """Returns the cosines and sines of rotary positions, in float32; pairs of components stand half a head apart."""
  library: Any = np if isinstance(length, int) else jnp
  angle = library.arange(length, dtype=np.float32)[:, None] * frequencies(size, base)
  angle = library.concatenate([angle, angle], axis=-1)
  return library.cos(angle), library.sin(angle)


def rotated(
  x_BxQxHxK: Float[Array, "B Q H K"],
  by: Rotation,
  positions_BxQ: Int[Array, "B Q"] | None = None,
) -> Float[Array, "B Q H K"]:
  """Returns queries or keys turned by their position: the token's place in the row, or that at `positions_BxQ`."""
  cosine, sine = (jnp.asarray(each) for each in by)
  if positions_BxQ is None:
    cosine, sine = cosine[None, :, None], sine[None, :, None]
  else:
    cosine, sine = cosine[positions_BxQ][:, :, None], sine[positions_BxQ][:, :, None]
  x = x_BxQxHxK.astype(jnp.float32)
  first, second = jnp.split(x, 2, axis=-1)
  return (x * cosine + jnp.concatenate([-second, first], axis=-1) * sine).astype(x_BxQxHxK.dtype)


def is_near(length: Length, reach: int, positions_BxQ: Int[Array, "B Q"] | None) -> Bool[Array, "..."]:
  """Returns which keys are within reach of the queries at these positions, B×Q×L; 1×L×L for all queries."""
  keys_L = jnp.arange(length)
  queries_BxQ = keys_L[None] if positions_BxQ is None else positions_BxQ
  return jnp.abs(queries_BxQ[..., None] - keys_L) <= reach


def of_queries(table: Array | np.ndarray, positions_BxQ: Int[Array, "B Q"] | None) -> Array:
  """Returns the rows of an L×L table for the queries at these positions, B×Q×L; 1×L×L for all queries."""
  return jnp.asarray(table)[None] if positions_BxQ is None else jnp.asarray(table)[positions_BxQ]

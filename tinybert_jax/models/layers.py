"""The parts of a BERT encoder as Flax Linen modules: embeddings, attention, feed-forward, dropout.

Shapes: B batch, L length, Q tokens that are computed, D hidden size, F feed-forward size, H heads, K head size.
"""

import functools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, UInt8, UInt32

from tinybert_jax.errors import InputError
from tinybert_jax.models import products
from tinybert_jax.models.activations import ACTIVATIONS, activate
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

  @nn.compact
  def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B F"]:
    layer = nn.Dense(
      self.features,
      dtype=jnp.float32,
      kernel_init=nn.initializers.normal(self.scale),
      dot_general=products.dot_general(self.precisions.products),
    )
    nn.share_scope(self, layer)
    return layer(x).astype(self.precisions.activations)


def dense(config: EncoderConfig, features: int, precisions: Precisions) -> Dense:
  return Dense(features, precisions, config.initializer_range)


def layer_norm(config: EncoderConfig, precisions: Precisions) -> nn.LayerNorm:
  # Flax keeps the statistics in float32 whatever the dtype. The one-pass variance it uses by default
  # loses digits where the mean is large, so the two-pass form.
  return nn.LayerNorm(epsilon=config.layer_norm_eps, dtype=precisions.activations, use_fast_variance=False)


class Embeddings(nn.Module):
  """Word, position and token-type embeddings, summed and normalised."""

  config: EncoderConfig
  precisions: Precisions

  def setup(self):
    config = self.config
    embed = functools.partial(
      nn.Embed,
      features=config.hidden_size,
      dtype=self.precisions.activations,
      embedding_init=nn.initializers.normal(config.initializer_range),
    )
    self.word_embeddings = embed(config.vocab_size)
    self.position_embeddings = embed(config.max_position_embeddings)
    self.token_type_embeddings = embed(config.type_vocab_size)
    self.layer_norm = layer_norm(config, self.precisions)
    self.dropout = Dropout(config.hidden_dropout_prob)

  def __call__(
    self, input_ids: Int[Array, "B L"], token_type_ids: Int[Array, "B L"], deterministic: bool
  ) -> Float[Array, "B L D"]:
    positions = jnp.arange(input_ids.shape[-1])
    x_BxLxD = (
      self.word_embeddings(input_ids) + self.position_embeddings(positions) + self.token_type_embeddings(token_type_ids)
    )
    return self.dropout(self.layer_norm(x_BxLxD), deterministic)


def _at(x_BxLxD: Float[Array, "B L D"], positions_BxQ: Int[Array, "B Q"] | None) -> Float[Array, "B Q D"]:
  return x_BxLxD if positions_BxQ is None else jnp.take_along_axis(x_BxLxD, positions_BxQ[..., None], axis=1)


class HeadsDense(nn.Module):
  """A dense layer from D to D, its result split into heads; with the parameters of `nn.Dense`.

  Bias and heads come before the reshape: on TPU the bias after it was a pass through memory of its own.
  """

  config: EncoderConfig
  precisions: Precisions

  @nn.compact
  def __call__(
    self, x_BxLxD: Float[Array, "B L D"], merged: bool = False
  ) -> Float[Array, "B L H K"] | Float[Array, "B L D"]:
    """Returns the result in heads, or as it is, B×L×D."""
    width, heads = self.config.hidden_size, (self.config.num_attention_heads, self.config.head_size)
    kernel = self.param("kernel", nn.initializers.normal(self.config.initializer_range), (width, width))
    bias = self.param("bias", nn.initializers.zeros, (width,))
    dtype, activations = self.precisions
    if merged:
      return (products.dense(x_BxLxD, kernel, dtype) + bias).astype(activations)
    if products.is_rounded(dtype):
      result_BxLxHxK = products.dense(x_BxLxD, kernel, dtype).reshape(*x_BxLxD.shape[:-1], *heads)
    else:
      result_BxLxHxK = jnp.einsum("bld,dhk->blhk", x_BxLxD, kernel.reshape(width, *heads))
    return (result_BxLxHxK + bias.reshape(heads)).astype(activations)


class QueryAndKey(NamedTuple):
  """What a layer's scores come from, heads merged."""

  query: Float[Array, "B L D"]
  key: Float[Array, "B L D"]


class QueryKeyValue(NamedTuple):
  """The queries, keys and values of a layer as they enter its attention, heads merged."""

  query: Float[Array, "B Q D"]
  key: Float[Array, "B L D"]
  value: Float[Array, "B L D"]


class SelfAttention(nn.Module):
  """Multi-head self-attention, without the residual.

  It gives its scores, and its queries, keys and values, only where they are asked for.
  """

  config: EncoderConfig
  precisions: Precisions

  def setup(self):
    self.query = HeadsDense(self.config, self.precisions)
    self.key = HeadsDense(self.config, self.precisions)
    self.value = HeadsDense(self.config, self.precisions)
    self.output = dense(self.config, self.config.hidden_size, self.precisions)
    self.dropout = Dropout(self.config.attention_probs_dropout_prob)

  def __call__(
    self,
    x_BxLxD: Float[Array, "B L D"],
    mask_BxL: Bool[Array, "B L"],
    with_scores: bool,
    deterministic: bool,
    positions_BxQ: Int[Array, "B Q"] | None = None,
    with_qkv: bool = False,
  ) -> tuple[Float[Array, "B Q D"], Float[Array, "B H Q L"] | None, QueryKeyValue | None]:
    config, (dtype, activations) = self.config, self.precisions
    x_BxQxD = _at(x_BxLxD, positions_BxQ)
    q_BxQxHxK, k_BxLxHxK, v_BxLxHxK = self.query(x_BxQxD), self.key(x_BxLxD), self.value(x_BxLxD)
    mask_Bx1x1xL = mask_BxL[:, None, None, :]
    drops = config.attention_probs_dropout_prob > 0 and not deterministic
    # dot_product_attention gives no scores, has no dropout, and multiplies a float32 cotangent.
    if with_scores or drops or products.is_rounded(dtype):
      scores_BxHxQxL = products.einsum("bqhk,bmhk->bhqm", q_BxQxHxK, k_BxLxHxK, dtype) / jnp.sqrt(config.head_size)
      masked_BxHxQxL = jnp.where(mask_Bx1x1xL, scores_BxHxQxL, jnp.finfo(jnp.float32).min)
      probs_BxHxQxL = self.dropout(jax.nn.softmax(masked_BxHxQxL).astype(activations), deterministic)
      context_BxQxHxK = products.einsum("bhqm,bmhk->bqhk", probs_BxHxQxL, v_BxLxHxK, dtype).astype(activations)
    else:
      scores_BxHxQxL = None
      context_BxQxHxK = jax.nn.dot_product_attention(q_BxQxHxK, k_BxLxHxK, v_BxLxHxK, mask=mask_Bx1x1xL)
    attended_BxQxD = self.output(context_BxQxHxK.reshape(x_BxQxD.shape))
    merged = (each.reshape(*each.shape[:2], -1) for each in (q_BxQxHxK, k_BxLxHxK, v_BxLxHxK))
    return attended_BxQxD, scores_BxHxQxL if with_scores else None, QueryKeyValue(*merged) if with_qkv else None

  def fused(
    self,
    x_BxLxD: Float[Array, "B L D"],
    mask_BxL: Bool[Array, "B L"],
    compare_with: QueryAndKey | None,
    deterministic: bool,
  ) -> tuple[Float[Array, "B L D"], "FusedScores"]:
    """Returns the attention of all tokens by `fused_attention`, and what it gives in place of scores."""
    from tinybert_jax.models.fused_attention import attend, attend_and_compare  # loads Pallas

    config = self.config
    merged = (layer(x_BxLxD, merged=True) for layer in (self.query, self.key, self.value))
    query, key, value = (each.astype(self.precisions.products) for each in merged)
    options = {
      "heads": config.num_attention_heads,
      "seed": self.dropout.seeds(x_BxLxD.shape[0], deterministic),
      "dropped": round(config.attention_probs_dropout_prob * 256),
    }
    error = None
    if compare_with is None:
      context_BxLxD = attend(query, key, value, mask_BxL, **options)
    else:
      context_BxLxD, error = attend_and_compare(query, key, value, mask_BxL, compare_with, **options)
    return self.output(context_BxLxD), FusedScores(QueryKeyValue(query, key, value), error)


class FusedScores(NamedTuple):
  """What fused attention gives in place of scores; the error where there is something to compare with."""

  qkv: QueryKeyValue
  error: Float[Array, " B"] | None


class Layer(nn.Module):
  """One post-LayerNorm transformer layer: attention, then feed-forward, each with a residual."""

  config: EncoderConfig
  precisions: Precisions

  def setup(self):
    config = self.config
    if config.hidden_act not in ACTIVATIONS:
      raise InputError(f"hidden_act {config.hidden_act!r} is not supported; there are {', '.join(ACTIVATIONS)}")
    self.attention = SelfAttention(config, self.precisions)
    self.attention_norm = layer_norm(config, self.precisions)
    self.intermediate = dense(config, config.intermediate_size, self.precisions)
    self.output = dense(config, config.hidden_size, self.precisions)
    self.output_norm = layer_norm(config, self.precisions)
    self.dropout = Dropout(config.hidden_dropout_prob)

  def __call__(
    self,
    x_BxLxD: Float[Array, "B L D"],
    mask_BxL: Bool[Array, "B L"],
    with_scores: bool,
    deterministic: bool,
    positions_BxQ: Int[Array, "B Q"] | None = None,
    with_qkv: bool = False,
  ) -> tuple[Float[Array, "B Q D"], Float[Array, "B H Q L"] | None, QueryKeyValue | None]:
    """Returns outputs, scores and queries of the tokens at those positions, by default of all; keys and values of all.

    All tokens are attended to.
    """
    attended_BxQxD, scores_BxHxQxL, qkv = self.attention(
      x_BxLxD, mask_BxL, with_scores, deterministic, positions_BxQ, with_qkv
    )
    return self._after_attention(_at(x_BxLxD, positions_BxQ), attended_BxQxD, deterministic), scores_BxHxQxL, qkv

  def fused(
    self,
    x_BxLxD: Float[Array, "B L D"],
    mask_BxL: Bool[Array, "B L"],
    compare_with: QueryAndKey | None,
    deterministic: bool,
  ) -> tuple[Float[Array, "B L D"], FusedScores]:
    """Returns outputs, and what fused attention gives in place of scores."""
    attended_BxLxD, scores = self.attention.fused(x_BxLxD, mask_BxL, compare_with, deterministic)
    return self._after_attention(x_BxLxD, attended_BxLxD, deterministic), scores

  def _after_attention(self, x_BxQxD: Array, attended_BxQxD: Array, deterministic: bool) -> Array:
    x_BxQxD = self.attention_norm(x_BxQxD + self.dropout(attended_BxQxD, deterministic))
    inner_BxQxF = activate(self.config.hidden_act, self.intermediate(x_BxQxD), self.precisions.products)
    return self.output_norm(x_BxQxD + self.dropout(self.output(inner_BxQxF), deterministic))

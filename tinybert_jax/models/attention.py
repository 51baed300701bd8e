"""Multi-head self-attention, as each family has it.

Shapes: B batch, L length, Q tokens that are computed, D hidden size, H heads, K head size, S relative positions.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tinybert_jax.models import products
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.family_settings import DebertaSettings
from tinybert_jax.models.layers import Dropout, Precisions, dense, take_at
from tinybert_jax.models.relative_positions import NO_DISTANCE, Distance, is_near, of_queries, rotated


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
    has_bias = getattr(self.config.settings, "attention_bias", True)
    bias = self.param("bias", nn.initializers.zeros, (width,)) if has_bias else jnp.zeros(width)
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
    config, settings = self.config, self.config.settings
    self.query = HeadsDense(self.config, self.precisions)
    self.key = HeadsDense(self.config, self.precisions)
    self.value = HeadsDense(self.config, self.precisions)
    has_bias = getattr(settings, "attention_bias", True)
    self.output = dense(config, config.hidden_size, self.precisions, bias=has_bias)
    self.dropout = Dropout(config.attention_probs_dropout_prob)
    if isinstance(settings, DebertaSettings) and settings.relative_attention:
      self.position_dropout = Dropout(config.hidden_dropout_prob)
      if "c2p" in settings.pos_att_type and not settings.share_att_key:
        self.position_key = HeadsDense(config, self.precisions)
      if "p2c" in settings.pos_att_type and not settings.share_att_key:
        self.position_query = HeadsDense(config, self.precisions)

  def __call__(
    self,
    x_BxLxD: Float[Array, "B L D"],
    mask_BxL: Bool[Array, "B L"],
    with_scores: bool,
    deterministic: bool,
    positions_BxQ: Int[Array, "B Q"] | None = None,
    with_qkv: bool = False,
    distance: Distance = NO_DISTANCE,
  ) -> tuple[Float[Array, "B Q D"], Float[Array, "B H Q L"] | None, QueryKeyValue | None]:
    config, (dtype, activations) = self.config, self.precisions
    x_BxQxD = take_at(x_BxLxD, positions_BxQ)
    q_BxQxHxK, k_BxLxHxK, v_BxLxHxK = self.query(x_BxQxD), self.key(x_BxLxD), self.value(x_BxLxD)
    if distance.rotation is not None:
      q_BxQxHxK = rotated(q_BxQxHxK, distance.rotation, positions_BxQ)
      k_BxLxHxK = rotated(k_BxLxHxK, distance.rotation)
    mask_Bx1xQxL = mask_BxL[:, None, None, :]
    if config.family.attention == "disentangled":  # whose padding attends to no token, and to all places alike
      mask_Bx1xQxL = mask_Bx1xQxL & take_at(mask_BxL[..., None], positions_BxQ)[:, None]
    if distance.reach is not None:
      mask_Bx1xQxL = mask_Bx1xQxL & is_near(x_BxLxD.shape[1], distance.reach, positions_BxQ)[:, None]
    divisor = jnp.sqrt(config.head_size * self._score_parts)
    bias_BxHxQxL = self._bias(q_BxQxHxK, k_BxLxHxK, distance, positions_BxQ, divisor, deterministic)
    drops = config.attention_probs_dropout_prob > 0 and not deterministic
    # dot_product_attention gives no scores, has no dropout, and multiplies a float32 cotangent.
    if with_scores or drops or products.is_rounded(dtype) or self._score_parts > 1:
      scores_BxHxQxL = products.einsum("bqhk,bmhk->bhqm", q_BxQxHxK, k_BxLxHxK, dtype) / divisor
      if bias_BxHxQxL is not None:
        scores_BxHxQxL = scores_BxHxQxL + bias_BxHxQxL
      masked_BxHxQxL = jnp.where(mask_Bx1xQxL, scores_BxHxQxL, jnp.finfo(jnp.float32).min)
      probs_BxHxQxL = self.dropout(jax.nn.softmax(masked_BxHxQxL).astype(activations), deterministic)
      context_BxQxHxK = products.einsum("bhqm,bmhk->bqhk", probs_BxHxQxL, v_BxLxHxK, dtype).astype(activations)
    else:
      scores_BxHxQxL = None
      context_BxQxHxK = jax.nn.dot_product_attention(
        q_BxQxHxK, k_BxLxHxK, v_BxLxHxK, bias=bias_BxHxQxL, mask=mask_Bx1xQxL
      )
    attended_BxQxD = self.output(context_BxQxHxK.reshape(x_BxQxD.shape))
    merged = (each.reshape(*each.shape[:2], -1) for each in (q_BxQxHxK, k_BxLxHxK, v_BxLxHxK))
    return attended_BxQxD, scores_BxHxQxL if with_scores else None, QueryKeyValue(*merged) if with_qkv else None

  @property
  def _score_parts(self) -> int:
    """Of how many products a score is the sum, by which DeBERTa scales it."""
    return 1 + len(getattr(self.config.settings, "pos_att_type", ()))

  def _bias(
    self,
    q_BxQxHxK: Float[Array, "B Q H K"],
    k_BxLxHxK: Float[Array, "B L H K"],
    distance: Distance,
    positions_BxQ: Int[Array, "B Q"] | None,
    divisor: Float[Array, ""],
    deterministic: bool,
  ) -> Float[Array, "B H Q L"] | Float[Array, "1 H Q L"] | None:
    """Returns what is added to the scores for the distances of tokens; None where nothing is."""
    if distance.bias is not None:
      if positions_BxQ is None:
        return distance.bias
      return jnp.moveaxis(distance.bias[0][:, positions_BxQ], 0, 1)
    if distance.embeddings is None or distance.bucket is None or self._score_parts == 1:
      return None
    settings, dtype = self.config.settings, self.precisions.products
    assert isinstance(settings, DebertaSettings)
    table_1xSxD = self.position_dropout(distance.embeddings, deterministic)
    bucket_BxQxL = of_queries(distance.bucket, positions_BxQ)
    total = jnp.zeros(())
    if "c2p" in settings.pos_att_type:
      key = self.key if settings.share_att_key else self.position_key
      to_position_BxHxQxS = products.einsum("bqhk,shk->bhqs", q_BxQxHxK, key(table_1xSxD)[0], dtype)
      total = total + jnp.take_along_axis(to_position_BxHxQxS, bucket_BxQxL[:, None], axis=-1)
    if "p2c" in settings.pos_att_type:
      query = self.query if settings.share_att_key else self.position_query
      to_position_BxHxLxS = products.einsum("bmhk,shk->bhms", k_BxLxHxK, query(table_1xSxD)[0], dtype)
      # The bucket from key to query is the mirror image of that from query to key: -(i - j) = j - i.
      bucket_BxLxQ = jnp.swapaxes(bucket_BxQxL, 1, 2)
      total = total + jnp.swapaxes(jnp.take_along_axis(to_position_BxHxLxS, bucket_BxLxQ[:, None], axis=-1), 2, 3)
    return total / divisor

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

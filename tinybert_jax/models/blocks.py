"""Transformer layers: attention, then feed-forward, each with a residual.

Shapes: B batch, L length, Q tokens that are computed, D hidden size, F feed-forward size, H heads.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tinybert_jax.models.activations import activate
from tinybert_jax.models.attention import FusedScores, QueryAndKey, QueryKeyValue, SelfAttention
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.family_settings import DebertaSettings
from tinybert_jax.models.layers import Dropout, Precisions, dense, layer_norm, take_at
from tinybert_jax.models.relative_positions import NO_DISTANCE, Distance


class Convolution(nn.Module):
  """DeBERTa-v2's convolution beside the first layer, which adds what stands around each token."""

  config: EncoderConfig
  precisions: Precisions

  def setup(self):
    config, settings = self.config, self.config.settings
    assert isinstance(settings, DebertaSettings)
    self.conv = nn.Conv(
      config.hidden_size,
      (settings.conv_kernel_size,),
      feature_group_count=settings.conv_groups,
      dtype=self.precisions.products,
    )
    self.layer_norm = layer_norm(config, self.precisions)
    self.dropout = Dropout(config.hidden_dropout_prob)

  def __call__(
    self,
    before_BxLxD: Float[Array, "B L D"],
    after_BxQxD: Float[Array, "B Q D"],
    mask_BxL: Bool[Array, "B L"],
    positions_BxQ: Int[Array, "B Q"] | None,
    deterministic: bool,
  ) -> Float[Array, "B Q D"]:
    """Returns the layer's output with the convolution of its input added; 0 for padding."""
    settings = self.config.settings
    assert isinstance(settings, DebertaSettings)
    mask_BxQx1 = take_at(mask_BxL[..., None].astype(after_BxQxD.dtype), positions_BxQ)
    around_BxQxD = take_at(self.conv(before_BxLxD), positions_BxQ) * mask_BxQx1
    around_BxQxD = activate(settings.conv_act, self.dropout(around_BxQxD, deterministic), jnp.float32)
    return self.layer_norm(after_BxQxD + around_BxQxD) * mask_BxQx1


class Layer(nn.Module):
  """One post-LayerNorm transformer layer: attention, then feed-forward, each with a residual."""

  config: EncoderConfig
  precisions: Precisions
  convolved: bool = False  # with a convolution beside it

  def setup(self):
    config = self.config
    if self.convolved:
      self.convolution = Convolution(config, self.precisions)
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
    distance: Distance = NO_DISTANCE,
  ) -> tuple[Float[Array, "B Q D"], Float[Array, "B H Q L"] | None, QueryKeyValue | None]:
    """Returns outputs, scores and queries of the tokens at those positions, by default of all; keys and values of all.

    All tokens are attended to.
    """
    attended_BxQxD, scores_BxHxQxL, qkv = self.attention(
      x_BxLxD, mask_BxL, with_scores, deterministic, positions_BxQ, with_qkv, distance
    )
    result_BxQxD = self._after_attention(take_at(x_BxLxD, positions_BxQ), attended_BxQxD, deterministic)
    if self.convolved:
      result_BxQxD = self.convolution(x_BxLxD, result_BxQxD, mask_BxL, positions_BxQ, deterministic)
    return result_BxQxD, scores_BxHxQxL, qkv

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
    if self.config.family.drops_attended:
      attended_BxQxD = self.dropout(attended_BxQxD, deterministic)
    x_BxQxD = self.attention_norm(x_BxQxD + attended_BxQxD)
    inner_BxQxF = activate(self.config.hidden_act, self.intermediate(x_BxQxD), self.precisions.products)
    return self.output_norm(x_BxQxD + self.dropout(self.output(inner_BxQxF), deterministic))


class PreNormLayer(nn.Module):
  """One layer whose LayerNorms come before attention and the feed-forward layer, which is gated: ModernBERT's."""

  config: EncoderConfig
  precisions: Precisions
  is_first: bool  # which has no LayerNorm before attention, as the embeddings end with one

  def setup(self):
    config = self.config
    has_bias = getattr(config.settings, "mlp_bias", True)
    if not self.is_first:
      self.attention_norm = layer_norm(config, self.precisions)
    self.attention = SelfAttention(config, self.precisions)
    self.attention_dropout = Dropout(config.attention_probs_dropout_prob)
    self.intermediate_norm = layer_norm(config, self.precisions)
    self.intermediate = dense(config, config.intermediate_size, self.precisions, bias=has_bias)
    self.gate = dense(config, config.intermediate_size, self.precisions, bias=has_bias)
    self.output = dense(config, config.hidden_size, self.precisions, bias=has_bias)
    self.dropout = Dropout(config.hidden_dropout_prob)

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
    """Returns the same as `Layer`."""
    normed_BxLxD = x_BxLxD if self.is_first else self.attention_norm(x_BxLxD)
    attended_BxQxD, scores_BxHxQxL, qkv = self.attention(
      normed_BxLxD, mask_BxL, with_scores, deterministic, positions_BxQ, with_qkv, distance
    )
    x_BxQxD = take_at(x_BxLxD, positions_BxQ) + self.attention_dropout(attended_BxQxD, deterministic)
    normed_BxQxD = self.intermediate_norm(x_BxQxD)
    inner_BxQxF = activate(self.config.hidden_act, self.intermediate(normed_BxQxD), self.precisions.products)
    inner_BxQxF = inner_BxQxF * self.gate(normed_BxQxD)
    return x_BxQxD + self.output(self.dropout(inner_BxQxF, deterministic)), scores_BxHxQxL, qkv

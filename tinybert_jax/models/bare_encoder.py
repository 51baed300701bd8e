"""The bare encoder as a Flax Linen module; one serves teacher and student of every family.

Shapes: B batch, L length, D hidden size, H heads, K head size, V vocabulary.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from tinybert_jax.choices import AttentionForm
from tinybert_jax.errors import InputError
from tinybert_jax.models import products
from tinybert_jax.models.attention import QueryAndKey
from tinybert_jax.models.blocks import Layer, PreNormLayer
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.embeddings import Embeddings
from tinybert_jax.models.layers import Dropout, dense, layer_norm
from tinybert_jax.models.outputs import Batch, Outputs, choose_precisions
from tinybert_jax.models.relative_positions import DISTANCES


class Encoder(nn.Module):
  """An encoder of any family, with a pooler where the family has one.

  Call it with a batch of `input_ids` (B×L), and where they matter `attention_mask` (1 for a token, 0 for
  padding; default all 1) and `token_type_ids` (default all 0):

      outputs = Encoder(config).apply({"params": params}, batch, score_layers=(2, 4))

  Attributes:
    config: the shape.
    dtype: of the inputs of matrix products, see `products`.
    activations: dtype of what passes between them. By default float32 on a CPU; on other devices, whose memory bounds
      them, that of the products. Parameters, LayerNorm statistics, scores, softmax and logits are float32.
    pools: whether it has its family's pooler, which heads that read every token do without.
  """

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None
  pools: bool = True

  def setup(self):
    config, family = self.config, self.config.family
    precisions = choose_precisions(self.dtype, self.activations)
    self.embeddings = Embeddings(config, precisions)
    numbers = range(config.num_hidden_layers)
    if family.norm == "before":
      self.layers = [PreNormLayer(config, precisions, is_first=number == 0) for number in numbers]
      self.final_norm = layer_norm(config, precisions)
    else:
      width = getattr(config.settings, "conv_kernel_size", 0)
      self.layers = [Layer(config, precisions, convolved=width > 0 and number == 0) for number in numbers]
    self.relative_positions = DISTANCES[family.attention](config, precisions)
    if family.pooler and self.pools:
      self.pooler = dense(config, config.hidden_size, precisions)
    if family.pooler and self.pools and family.drops_before_pooling:
      self.pooler_dropout = Dropout(config.classifier_rate)

  def __call__(
    self,
    batch: Batch,
    *,
    score_layers: tuple[int, ...] = (),
    deterministic: bool = True,
    positions: Int[Array | np.ndarray, "B Q"] | None = None,
    attention: AttentionForm = "plain",
    compare_with: tuple[QueryAndKey, ...] = (),
    qkv_layers: tuple[int, ...] = (),
  ) -> Outputs:
    """Returns hidden states, pooled output, the scores of `score_layers`, and what `qkv_layers` asks for.

    Args:
      batch: see the class.
      score_layers: the layers (1…M) whose attention scores are given, and no others; static. The other
        layers go through `jax.nn.dot_product_attention`, except under attention dropout, which that has not.
      deterministic: no dropout; else the caller gives `rngs={"dropout": key}`.
      positions: the last layer is computed for the tokens at these positions alone, Q in a row; that layer's hidden
        state and queries are then B×Q×D, its scores are B×H×Q×L, and the pooled output is of the first of them.
      attention: see `AttentionForm`; static. Fused, there are queries and keys of `score_layers` in place of scores.
      compare_with: with fused attention, another model's queries and keys for each of `score_layers`; there are then
        the squared errors of the scores as well.
      qkv_layers: the layers (1…M) whose queries, keys and values are given, and no others; static.

    Raises:
      ValueError: a layer that is not there, sequences longer than the position embeddings, or positions with fused
        attention.
    """
    config = self.config
    input_ids = jnp.asarray(batch["input_ids"])
    length, longest = input_ids.shape[-1], config.longest
    if length > longest:
      first = f", of which {config.max_position_embeddings - longest} come before a text's"
      raise ValueError(
        f"sequences of {length} tokens do not fit max_position_embeddings {config.max_position_embeddings}"
        f"{first if longest < config.max_position_embeddings else ''}"
      )
    for name, asked in (("score_layers", score_layers), ("qkv_layers", qkv_layers)):
      wrong = [layer for layer in asked if not 1 <= layer <= self.config.num_hidden_layers]
      if wrong:
        raise ValueError(f"{name} {wrong} are not among layers 1 to {self.config.num_hidden_layers}")
    if attention == "fused" and positions is not None:
      raise ValueError("fused attention is computed for all positions")
    if attention == "fused" and not config.family.fits_fused_attention:
      raise InputError(
        f"attention 'fused' computes scores of queries and keys alone, and the attention of a {config.family.title} is "
        f"{config.family.attention}; use 'plain'"
      )

    segments = jnp.zeros_like(input_ids)
    token_type_ids = jnp.asarray(batch.get("token_type_ids", segments)) if config.type_vocab_size > 1 else segments
    mask_BxL = jnp.asarray(batch.get("attention_mask", jnp.ones_like(input_ids)), bool)
    x_BxLxD = self.embeddings(input_ids, token_type_ids, mask_BxL, deterministic)
    distances = self.relative_positions(length)
    hidden_states, scores, errors, qkv = [x_BxLxD], {}, {}, {}
    others = dict(zip(score_layers, compare_with, strict=True)) if compare_with else {}
    for m, layer in enumerate(self.layers, start=1):
      wanted = jnp.asarray(positions) if positions is not None and m == len(self.layers) else None
      if attention == "fused":
        x_BxLxD, (qkv[m], errors[m]) = layer.fused(x_BxLxD, mask_BxL, others.get(m), deterministic)
      else:
        x_BxLxD, scores[m], qkv[m] = layer(
          x_BxLxD, mask_BxL, m in score_layers, deterministic, wanted, m in qkv_layers, distances[m - 1]
        )
      if m == len(self.layers) and config.family.norm == "before":
        x_BxLxD = self.final_norm(x_BxLxD)
      hidden_states.append(x_BxLxD)
    is_fused = attention == "fused"
    return Outputs(
      tuple(hidden_states),
      () if is_fused else tuple(scores[m] for m in score_layers),
      self._pooled(x_BxLxD[:, 0], deterministic),
      queries_and_keys=tuple(QueryAndKey(*qkv[m][:2]) for m in score_layers) if is_fused else (),
      score_errors=tuple(errors[m] for m in score_layers) if is_fused and compare_with else (),
      queries=tuple(qkv[m].query for m in qkv_layers),
      keys=tuple(qkv[m].key for m in qkv_layers),
      values=tuple(qkv[m].value for m in qkv_layers),
    )

  def _pooled(self, first_BxD: Float[Array, "B D"], deterministic: bool) -> Float[Array, "B D"] | None:
    if not self.config.family.pooler or not self.pools:
      return None
    if self.config.family.drops_before_pooling:
      first_BxD = self.pooler_dropout(first_BxD, deterministic)
    return jnp.tanh(self.pooler(first_BxD))

  def word_logits(self, x: Float[Array, "... E"], rounded: Float[Array, "V E"] | None = None) -> Float[Array, "... V"]:
    """Returns the inner products of `x` with the word embeddings: the tied decoder of a masked LM.

    Args:
      x: what the decoder reads.
      rounded: the embeddings in the dtype of the products, where they are at hand.
    """
    table = self.embeddings.word_embeddings
    if not products.is_rounded(self.dtype):
      return table.attend(x)
    decoder = table.embedding if rounded is None else rounded
    return products.einsum("nd,vd->nv", x.reshape(-1, x.shape[-1]), decoder, self.dtype).reshape(
      *x.shape[:-1], self.config.vocab_size
    )

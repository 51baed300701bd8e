"""The embeddings of tokens, with which an encoder begins.

Shapes: B batch, L length, D hidden size.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.layers import Dropout, Precisions, dense, layer_norm


class Embeddings(nn.Module):
  """Word, position and token-type embeddings, as the family has them, summed and normalised."""

  config: EncoderConfig
  precisions: Precisions

  def setup(self):
    config = self.config
    embed = functools.partial(
      nn.Embed,
      features=config.embedding_width,
      dtype=self.precisions.activations,
      embedding_init=nn.initializers.normal(config.initializer_range),
    )
    self.word_embeddings = embed(config.vocab_size)
    if config.has_positions:
      self.position_embeddings = embed(config.max_position_embeddings)
    if config.type_vocab_size:
      self.token_type_embeddings = embed(config.type_vocab_size)
    self.layer_norm = layer_norm(config, self.precisions)
    self.dropout = Dropout(getattr(config.settings, "embedding_dropout", config.hidden_dropout_prob))
    if config.embedding_width != config.hidden_size:
      self.projection = dense(config, config.hidden_size, self.precisions)

  def __call__(
    self,
    input_ids: Int[Array, "B L"],
    token_type_ids: Int[Array, "B L"],
    mask_BxL: Bool[Array, "B L"],
    deterministic: bool,
  ) -> Float[Array, "B L D"]:
    x_BxLxE = self.word_embeddings(input_ids)
    if self.config.has_positions:
      x_BxLxE = x_BxLxE + self.position_embeddings(self._positions(input_ids))
    if self.config.type_vocab_size:
      x_BxLxE = x_BxLxE + self.token_type_embeddings(token_type_ids)
    x_BxLxE = self.layer_norm(x_BxLxE)
    if self.config.family.attention == "disentangled":
      x_BxLxE = x_BxLxE * mask_BxL[..., None]  # which its convolution reads
    x_BxLxE = self.dropout(x_BxLxE, deterministic)
    return x_BxLxE if self.config.embedding_width == self.config.hidden_size else self.projection(x_BxLxE)

  def _positions(self, input_ids: Int[Array, "B L"]) -> Int[Array, "..."]:
    padding = self.config.padding_position
    if padding is None:
      return jnp.arange(input_ids.shape[-1])
    # As transformers counts them: tokens that are not the padding token, whatever the mask says.
    is_token = (input_ids != padding).astype(input_ids.dtype)
    return jnp.cumsum(is_token, axis=-1) * is_token + padding

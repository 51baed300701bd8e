"""A sentence encoder as a Flax Linen module: an encoder, pooling, dense layers and normalisation."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from tinybert_jax.errors import InputError
from tinybert_jax.models.activations import activate
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Batch, Encoder, Outputs
from tinybert_jax.models.layers import Precisions, dense
from tinybert_jax.models.pooling import normalized, pool
from tinybert_jax.models.sentence_head import DenseLayer, SentenceHead


class SentenceEncoder(nn.Module):
  """An encoder whose head gives an embedding of each text, as the configuration's `sentence` says. Float32.

  It is what a directory of sentence-transformers describes; see `sentence_directories`.
  """

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None

  def setup(self):
    self.encoder = Encoder(self.config, self.dtype, self.activations)
    precisions = Precisions(self.dtype, jnp.float32)
    self.dense = [dense(self.config, layer.features, precisions, bias=layer.bias) for layer in self._head.dense]

  def __call__(
    self,
    batch: Batch,
    *,
    score_layers: tuple[int, ...] = (),
    deterministic: bool = True,
    first_token: bool = False,
    **options: Any,
  ) -> Outputs:
    """Returns the encoder's outputs with the embeddings B×E as logits; arguments and errors as for `Encoder`.

    With `first_token`, which is static, the last layer is computed for the first token alone, where that is all that
    the embedding reads. Further options are the encoder's.
    """
    head = self._head
    mask_BxL = jnp.asarray(batch.get("attention_mask", jnp.ones_like(batch["input_ids"])), bool)
    if first_token and head.pooling == ("cls",):
      options["positions"] = jnp.argmax(mask_BxL, axis=1)[:, None]
    outputs = self.encoder(batch, score_layers=score_layers, deterministic=deterministic, **options)
    x_BxLxD = outputs.hidden_states[-1]
    if "positions" in options:
      mask_BxL = jnp.any(mask_BxL, axis=1)[:, None]
    x_BxE = jnp.concatenate([pool(mode, x_BxLxD, mask_BxL) for mode in head.pooling], axis=-1)
    layers = iter(self.dense)
    for layer in head.layers:
      if isinstance(layer, DenseLayer):
        x_BxE = activate(layer.activation, next(layers)(x_BxE), jnp.float32)
      else:
        x_BxE = normalized(x_BxE)
    return outputs._replace(logits=x_BxE)

  @property
  def _head(self) -> SentenceHead:
    if self.config.sentence is None:
      raise InputError("a sentence encoder needs a configuration whose `sentence` says how texts are pooled")
    return self.config.sentence

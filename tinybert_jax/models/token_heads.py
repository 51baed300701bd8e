"""Heads that read every token: the classifier of tokens, and the marker of spans.

Shapes: B batch, L length, D hidden size, C classes.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from tinybert_jax.models.activations import activate
from tinybert_jax.models.bare_encoder import Encoder
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.layers import Dense, Dropout, Precisions, layer_norm
from tinybert_jax.models.outputs import Batch, Outputs, choose_precisions


class TokenClassifier(nn.Module):
  """An encoder with a linear layer on each token, `BertForTokenClassification`. Logits in float32, B×L×C.

  In a family whose LayerNorm comes before the sums, the head has a dense layer and a LayerNorm below the linear one.
  """

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None
  layer: ClassVar[str] = "token_classifier"  # name of the linear layer in the parameters

  @nn.compact
  def __call__(
    self,
    batch: Batch,
    *,
    score_layers: tuple[int, ...] = (),
    deterministic: bool = True,
    first_token: bool = False,
    **options: Any,
  ) -> Outputs:
    """Returns the encoder's outputs with logits B×L×C; arguments and errors as for `Encoder`.

    `first_token` changes nothing, as the logits read all tokens.
    """
    config = self.config
    encoder = Encoder(config, self.dtype, self.activations, pools=False, name="encoder")
    outputs = encoder(batch, score_layers=score_layers, deterministic=deterministic, **options)
    x_BxLxD = outputs.hidden_states[-1]
    precisions = choose_precisions(self.dtype, self.activations)
    if config.family.norm == "before":
      has_bias = getattr(config.settings, "classifier_bias", True)
      below = Dense(config.hidden_size, precisions, config.initializer_range, has_bias, name="pre_classifier")
      x_BxLxD = activate(config.pooled_activation, below(x_BxLxD), jnp.float32)
      x_BxLxD = layer_norm(config, precisions, name="pre_classifier_norm")(x_BxLxD)
    x_BxLxD = Dropout(config.classifier_rate)(x_BxLxD, deterministic)
    in_float32 = Precisions(jnp.float32, jnp.float32)
    linear = Dense(config.num_labels, in_float32, config.initializer_range, name=self.layer)
    return outputs._replace(logits=linear(x_BxLxD))


class SpanClassifier(TokenClassifier):
  """The same with two classes, which mark where a span starts and where it ends: `BertForQuestionAnswering`."""

  layer: ClassVar[str] = "span_classifier"

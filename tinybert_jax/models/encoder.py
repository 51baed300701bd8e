"""The encoder and its heads as Flax Linen modules; one encoder serves teacher and student of every family.

Shapes: B batch, L length, D hidden size, E width of the embeddings, V vocabulary, C classes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from tinybert_jax.models.activations import activate
from tinybert_jax.models.bare_encoder import Encoder
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.layers import Dropout, Precisions, dense, layer_norm
from tinybert_jax.models.outputs import Batch, Outputs, choose_precisions
from tinybert_jax.models.parameters import count_parameters, initialize, parameter_shapes, rounded_once
from tinybert_jax.models.token_heads import SpanClassifier, TokenClassifier

__all__ = [
  "Batch",
  "Classifier",
  "Encoder",
  "MaskedLanguageModel",
  "Model",
  "Outputs",
  "SequenceClassifier",
  "SpanClassifier",
  "TokenClassifier",
  "apply",
  "apply_head",
  "choose_precisions",
  "count_parameters",
  "initialize",
  "parameter_shapes",
  "rounded_once",
]


class SequenceClassifier(nn.Module):
  """An encoder with a linear head on the pooled output; one label means regression. Logits in float32.

  In a family without pooler, the head has a dense layer of its own below the linear one.
  """

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None

  def setup(self):
    config, settings = self.config, self.config.settings
    self.encoder = Encoder(config, self.dtype, self.activations)
    self.dropout = Dropout(config.classifier_rate)
    self.classifier = dense(config, config.num_labels, Precisions(jnp.float32, jnp.float32))
    if not config.family.pooler:
      precisions = choose_precisions(self.dtype, self.activations)
      has_bias = getattr(settings, "classifier_bias", True)
      self.pre_classifier = dense(config, config.hidden_size, precisions, bias=has_bias)
      self.pre_dropout = Dropout(getattr(settings, "pooler_dropout", config.classifier_rate))
      if config.family.norm == "before":
        self.pre_classifier_norm = layer_norm(config, precisions)

  def __call__(
    self,
    batch: Batch,
    *,
    score_layers: tuple[int, ...] = (),
    deterministic: bool = True,
    first_token: bool = False,
    **options: Any,
  ) -> Outputs:
    """Returns the encoder's outputs with logits B×C; arguments and errors as for `Encoder`.

    With `first_token`, which is static, the last layer is computed for the first token alone, where that is all that
    the logits read. Further options are the encoder's.
    """
    first = None
    if first_token and not self._reads_all:
      first = jnp.zeros((batch["input_ids"].shape[0], 1), jnp.int32)
    outputs = self.encoder(batch, score_layers=score_layers, deterministic=deterministic, positions=first, **options)
    if not self.config.family.pooler:
      outputs = outputs._replace(pooled=self._pooled(outputs.hidden_states[-1], batch, deterministic))
    return outputs._replace(logits=self.classifier(self.dropout(outputs.pooled, deterministic)))

  @property
  def _reads_all(self) -> bool:
    """Whether the logits depend on the last hidden states of all tokens."""
    return getattr(self.config.settings, "classifier_pooling", "cls") == "mean"

  def _pooled(self, x_BxLxD: Float[Array, "B L D"], batch: Batch, deterministic: bool) -> Float[Array, "B D"]:
    x_BxD = x_BxLxD[:, 0]
    if self._reads_all:
      mask_BxLx1 = jnp.asarray(batch.get("attention_mask", jnp.ones(x_BxLxD.shape[:2])), bool)[..., None]
      x_BxD = jnp.sum(x_BxLxD, axis=1, where=mask_BxLx1) / jnp.maximum(jnp.sum(mask_BxLx1, axis=1), 1)
    if self.config.family.drops_before_pooling:
      x_BxD = self.pre_dropout(x_BxD, deterministic)
    x_BxD = activate(self.config.pooled_activation, self.pre_classifier(x_BxD), jnp.float32)
    return self.pre_classifier_norm(x_BxD) if self.config.family.norm == "before" else x_BxD


class MaskedLanguageModel(nn.Module):
  """An encoder with a masked-LM head: dense, activation, LayerNorm, tied decoder. Logits in float32."""

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None

  def setup(self):
    config, settings = self.config, self.config.settings
    self.encoder = Encoder(config, self.dtype, self.activations)
    precisions = choose_precisions(self.dtype, self.activations)
    has_bias = getattr(settings, "classifier_bias", True)
    self.transform = dense(config, config.embedding_width, precisions, bias=has_bias)
    self.transform_norm = layer_norm(config, precisions)
    if getattr(settings, "decoder_bias", True):
      self.bias = self.param("bias", nn.initializers.zeros, (config.vocab_size,))

  def __call__(
    self,
    batch: Batch,
    *,
    score_layers: tuple[int, ...] = (),
    deterministic: bool = True,
    positions: Int[Array | np.ndarray, "B Q"] | None = None,
    **options: Any,
  ) -> Outputs:
    """Returns the encoder's outputs with logits B×L×V, or of the tokens at `positions` alone, B×Q×V.

    Arguments and errors as for `Encoder`.
    """
    outputs = self.encoder(
      batch, score_layers=score_layers, deterministic=deterministic, positions=positions, **options
    )
    x_BxQxE = activate(self.config.transform_activation, self.transform(outputs.hidden_states[-1]), self.dtype)
    rounded: Array | None = self.get_variable("params", "decoder")  # of `with_rounded_decoder`; else None
    logits_BxQxV = self.encoder.word_logits(self.transform_norm(x_BxQxE), rounded).astype(jnp.float32)
    if getattr(self.config.settings, "decoder_bias", True):
      logits_BxQxV = logits_BxQxV + self.bias
    return outputs._replace(logits=logits_BxQxV)


Model = Encoder | SequenceClassifier | TokenClassifier | SpanClassifier | MaskedLanguageModel


@runtime_checkable
class Classifier(Protocol):
  """A Flax module whose call on a batch gives `Outputs` with logits: any head here, or one of your own."""

  @property
  def config(self) -> EncoderConfig: ...

  @property
  def apply(self) -> Callable[..., Any]: ...


def apply(model: Model | Classifier, params: Mapping[str, Any], batch: Batch, **options: Any) -> Outputs:
  """Returns what a model gives for a batch; options are those of its call and of Flax's `apply`, such as `rngs`."""
  outputs: Any = model.apply({"params": params}, batch, **options)  # of the type that the module's call has
  return outputs


def apply_head(
  model: Classifier | Model, params: Mapping[str, Any], batch: Batch, **options: Any
) -> Float[Array, "..."]:
  """Returns the logits that a model gives for a batch; options as for `apply`."""
  logits = apply(model, params, batch, **options).logits
  if logits is None:
    raise TypeError(f"{type(model).__name__} has no head, and logits are needed")
  return logits

"""The BERT encoder and its heads as Flax Linen modules; one encoder serves teacher and student.

Shapes: B batch, L length, D hidden size, H heads, K head size, V vocabulary, C classes.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from tinybert_jax.choices import AttentionForm
from tinybert_jax.models import products
from tinybert_jax.models.activations import activate
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.layers import (
  Dropout,
  Embeddings,
  Layer,
  Precisions,
  QueryAndKey,
  dense,
  layer_norm,
)

Batch = Mapping[str, Array | np.ndarray]


def choose_precisions(dtype: DTypeLike, activations: DTypeLike | None) -> Precisions:
  """Returns in which dtypes a model of these attributes computes, see `Encoder`."""
  if activations is None:
    activations = dtype if jax.default_backend() != "cpu" else jnp.float32
  return Precisions(jnp.dtype(dtype), jnp.dtype(activations))


class Outputs(NamedTuple):
  """What a module gives. Under `jax.jit`, what the caller does not read is not computed.

  Attributes:
    hidden_states: M+1 arrays B×L×D; index 0 is the embedding layer's output, index m that of layer m.
    attention_scores: QKᵀ/√K of the layers asked for, in that order, each B×H×L×L in float32, before
      mask and softmax; none with fused attention.
    pooled: B×D, tanh of a dense layer on the first token.
    logits: what the head gives: B×C from a classifier, B×L×V from a masked language model; None from
      the bare encoder.
    queries_and_keys: with fused attention, what the scores of the layers asked for come from.
    score_errors: with fused attention and another model's queries and keys, the squared error of the scores to that
      model's, of the layers asked for; summed over heads and pairs of tokens.
    queries: Q of `qkv_layers`, in that order, heads merged: head h stands at h·K to (h+1)·K of the last axis.
    keys: K of the same layers, likewise.
    values: V of the same layers, likewise.
  """

  hidden_states: tuple[Float[Array, "B L D"], ...]
  attention_scores: tuple[Float[Array, "B H L L"], ...]
  pooled: Float[Array, "B D"]
  logits: Float[Array, "..."] | None = None
  queries_and_keys: tuple[QueryAndKey, ...] = ()
  score_errors: tuple[Float[Array, " B"], ...] = ()
  queries: tuple[Float[Array, "B L D"], ...] = ()
  keys: tuple[Float[Array, "B L D"], ...] = ()
  values: tuple[Float[Array, "B L D"], ...] = ()


class Encoder(nn.Module):
  """A BERT encoder with pooler.

  Call it with a batch of `input_ids` (B×L), and where they matter `attention_mask` (1 for a token, 0 for
  padding; default all 1) and `token_type_ids` (default all 0):

      outputs = Encoder(config).apply({"params": params}, batch, score_layers=(2, 4))

  Attributes:
    config: the shape.
    dtype: of the inputs of matrix products, see `products`.
    activations: dtype of what passes between them. By default float32 on a CPU; on other devices, whose memory bounds
      them, that of the products. Parameters, LayerNorm statistics, scores, softmax and logits are float32.
  """

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None

  def setup(self):
    precisions = choose_precisions(self.dtype, self.activations)
    self.embeddings = Embeddings(self.config, precisions)
    self.layers = [Layer(self.config, precisions) for _ in range(self.config.num_hidden_layers)]
    self.pooler = dense(self.config, self.config.hidden_size, precisions)

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
    input_ids = jnp.asarray(batch["input_ids"])
    length, longest = input_ids.shape[-1], self.config.max_position_embeddings
    if length > longest:
      raise ValueError(f"sequences of {length} tokens do not fit max_position_embeddings {longest}")
    for name, asked in (("score_layers", score_layers), ("qkv_layers", qkv_layers)):
      wrong = [layer for layer in asked if not 1 <= layer <= self.config.num_hidden_layers]
      if wrong:
        raise ValueError(f"{name} {wrong} are not among layers 1 to {self.config.num_hidden_layers}")
    if attention == "fused" and positions is not None:
      raise ValueError("fused attention is computed for all positions")

    token_type_ids = jnp.asarray(batch.get("token_type_ids", jnp.zeros_like(input_ids)))
    mask_BxL = jnp.asarray(batch.get("attention_mask", jnp.ones_like(input_ids)), bool)
    x_BxLxD = self.embeddings(input_ids, token_type_ids, deterministic)
    hidden_states, scores, errors, qkv = [x_BxLxD], {}, {}, {}
    others = dict(zip(score_layers, compare_with, strict=True)) if compare_with else {}
    for m, layer in enumerate(self.layers, start=1):
      wanted = jnp.asarray(positions) if positions is not None and m == len(self.layers) else None
      if attention == "fused":
        x_BxLxD, (qkv[m], errors[m]) = layer.fused(x_BxLxD, mask_BxL, others.get(m), deterministic)
      else:
        x_BxLxD, scores[m], qkv[m] = layer(x_BxLxD, mask_BxL, m in score_layers, deterministic, wanted, m in qkv_layers)
      hidden_states.append(x_BxLxD)
    is_fused = attention == "fused"
    return Outputs(
      tuple(hidden_states),
      () if is_fused else tuple(scores[m] for m in score_layers),
      jnp.tanh(self.pooler(x_BxLxD[:, 0])),
      queries_and_keys=tuple(QueryAndKey(*qkv[m][:2]) for m in score_layers) if is_fused else (),
      score_errors=tuple(errors[m] for m in score_layers) if is_fused and compare_with else (),
      queries=tuple(qkv[m].query for m in qkv_layers),
      keys=tuple(qkv[m].key for m in qkv_layers),
      values=tuple(qkv[m].value for m in qkv_layers),
    )

  def word_logits(self, x: Float[Array, "... D"]) -> Float[Array, "... V"]:
    """Returns the inner products of `x` with the word embeddings: the tied decoder of a masked LM."""
    table = self.embeddings.word_embeddings
    if not products.is_rounded(self.dtype):
      return table.attend(x)
    return products.einsum("nd,vd->nv", x.reshape(-1, x.shape[-1]), table.embedding, self.dtype).reshape(
      *x.shape[:-1], self.config.vocab_size
    )


class SequenceClassifier(nn.Module):
  """An encoder with a linear head on the pooled output; one label means regression. Logits in float32."""

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None

  def setup(self):
    config = self.config
    self.encoder = Encoder(config, self.dtype, self.activations)
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    self.dropout = Dropout(rate)
    self.classifier = dense(config, config.num_labels, Precisions(jnp.float32, jnp.float32))

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

    With `first_token`, which is static, the last layer is computed for the first token alone, which is all that the
    logits read. Further options are the encoder's.
    """
    first = jnp.zeros((batch["input_ids"].shape[0], 1), jnp.int32) if first_token else None
    outputs = self.encoder(batch, score_layers=score_layers, deterministic=deterministic, positions=first, **options)
    return outputs._replace(logits=self.classifier(self.dropout(outputs.pooled, deterministic)))


class MaskedLanguageModel(nn.Module):
  """An encoder with BERT's masked-LM head: dense, activation, LayerNorm, tied decoder. Logits in float32."""

  config: EncoderConfig
  dtype: DTypeLike = jnp.float32
  activations: DTypeLike | None = None

  def setup(self):
    self.encoder = Encoder(self.config, self.dtype, self.activations)
    precisions = choose_precisions(self.dtype, self.activations)
    self.transform = dense(self.config, self.config.hidden_size, precisions)
    self.transform_norm = layer_norm(self.config, precisions)
    self.bias = self.param("bias", nn.initializers.zeros, (self.config.vocab_size,))

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
    x_BxQxD = activate(self.config.hidden_act, self.transform(outputs.hidden_states[-1]), self.dtype)
    logits_BxQxV = self.encoder.word_logits(self.transform_norm(x_BxQxD)).astype(jnp.float32) + self.bias
    return outputs._replace(logits=logits_BxQxV)


Model = Encoder | SequenceClassifier | MaskedLanguageModel


@runtime_checkable
class Classifier(Protocol):
  """A Flax module whose call on a batch gives `Outputs` with logits: `SequenceClassifier`, or one of your own."""

  @property
  def config(self) -> EncoderConfig: ...

  @property
  def apply(self) -> Callable[..., Any]: ...


def initialize(model: Model, key: Array, *, kernels: Literal["bert", "glorot"] = "bert") -> dict:
  """Returns fresh float32 parameters for `model`.

  They are drawn leaf by leaf, which spares compiling `model.init`, a program as large as the model.

  Args:
    model: any of the modules here.
    key: for the draw.
    kernels: "bert" draws every matrix with the standard deviation `initializer_range`, as BERT does. At
      0.02 that suits widths near 768; a student of a tenth of that width starts almost as the identity
      and learns slowly. "glorot" scales by the matrix's own shape instead (Glorot & Bengio 2010);
      embeddings are as before.
  """
  paths, tree = jax.tree.flatten_with_path(parameter_shapes(model))
  keys = jax.random.split(key, len(paths))
  draw = functools.partial(_draw, scale=model.config.initializer_range, glorot=kernels == "glorot")
  leaves = [draw(path[-1].key, leaf.shape, key) for (path, leaf), key in zip(paths, keys, strict=True)]
  return jax.tree.unflatten(tree, leaves)


def apply(model: Model | Classifier, params: Mapping[str, Any], batch: Batch, **options: Any) -> Outputs:
  """Returns what a model gives for a batch; options are those of its call and of Flax's `apply`, such as `rngs`."""
  outputs: Any = model.apply({"params": params}, batch, **options)  # of the type that the module's call has
  return outputs


def apply_head(
  model: Classifier | MaskedLanguageModel, params: Mapping[str, Any], batch: Batch, **options: Any
) -> Float[Array, "..."]:
  """Returns the logits that a model gives for a batch; options as for `apply`."""
  logits = apply(model, params, batch, **options).logits
  if logits is None:
    raise TypeError(f"{type(model).__name__} has no head, and logits are needed")
  return logits


def rounded_once(model: Model | Classifier, params: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns parameters that do not change, with the matrices rounded that the model would round in each of its calls.

  The classifier's own matrix is not; it multiplies float32.
  """
  dtype = getattr(model, "dtype", jnp.float32)
  if not products.is_rounded(dtype):
    return params

  def rounded(path: tuple[Any, ...], leaf: Any) -> Any:
    names = [key.key for key in path]
    return jnp.asarray(leaf, dtype) if names[-1] == "kernel" and names[0] != "classifier" else leaf

  return jax.tree.map_with_path(rounded, params)


def _draw(name: str, shape: tuple[int, ...], key: Array, scale: float, glorot: bool) -> Array:
  if name == "kernel" and glorot:
    return jax.nn.initializers.glorot_normal()(key, shape)
  if name in ("kernel", "embedding"):
    return scale * jax.random.normal(key, shape)
  return jnp.ones(shape) if name == "scale" else jnp.zeros(shape)


def parameter_shapes(model: Model) -> dict:
  """Returns the tree of the model's parameters as shapes, without computing any."""
  return jax.tree.map(lambda shape: shape, _parameter_shapes(model))  # a tree of the caller's own


@functools.lru_cache(maxsize=64)
def _parameter_shapes(model: Model) -> dict:
  """See `parameter_shapes`. Tracing a model takes longer than most of what needs its shapes."""
  example = {"input_ids": jax.ShapeDtypeStruct((1, 2), jnp.int32)}
  return jax.eval_shape(model.init, jax.random.key(0), example)["params"]


def count_parameters(params: Mapping) -> int:
  """Returns the number of scalars in a tree of parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))

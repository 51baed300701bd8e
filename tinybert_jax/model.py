"""The BERT encoder and its heads as Flax Linen modules; one encoder serves teacher and student.

Shapes: B batch, L length, D hidden size, H heads, K head size, V vocabulary, C classes.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tinybert_jax.config import EncoderConfig
from tinybert_jax.errors import InputError

Batch = Mapping[str, Array]

# The names of Hugging Face's ACT2FN that BERT configurations use.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  "gelu": functools.partial(jax.nn.gelu, approximate=False),
  "gelu_python": functools.partial(jax.nn.gelu, approximate=False),
  "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
  "gelu_fast": functools.partial(jax.nn.gelu, approximate=True),
  "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
  "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
  "relu": jax.nn.relu,
  "relu2": lambda x: jnp.square(jax.nn.relu(x)),
  "relu6": jax.nn.relu6,
  "leaky_relu": jax.nn.leaky_relu,
  "silu": jax.nn.silu,
  "swish": jax.nn.silu,
  "mish": jax.nn.mish,
  "sigmoid": jax.nn.sigmoid,
  "tanh": jnp.tanh,
  "linear": lambda x: x,
}


class Outputs(NamedTuple):
  """What a module gives. Under `jax.jit`, what the caller does not read is not computed.

  Attributes:
    hidden_states: M+1 arrays B×L×D; index 0 is the embedding layer's output, index m that of layer m.
    attention_scores: QKᵀ/√K of the layers asked for, in that order, each B×H×L×L in float32, before
      mask and softmax.
    pooled: B×D, tanh of a dense layer on the first token.
    logits: what the head gives: B×C from a classifier, B×L×V from a masked language model; None from
      the bare encoder.
  """

  hidden_states: tuple[Float[Array, "B L D"], ...]
  attention_scores: tuple[Float[Array, "B H L L"], ...]
  pooled: Float[Array, "B D"]
  logits: Float[Array, "..."] | None = None


def dropout(x: Array, rate: float, key: Array) -> Array:
  """Returns `x` with elements zeroed at `rate`, the others scaled so that the mean stays.

  One random byte decides an element, so the rate is rounded to a multiple of 1/256 (0.1 becomes 26/256)
  and the scale follows the rounded rate. The usual 32 bits an element took 1.7 to 4 times as long on a CPU.
  A program for TPU draws other bytes of the same key than one for CPU or GPU.
  """
  dropped = round(rate * 256)
  tpu, default = (functools.partial(draw, shape=x.shape) for draw in (_bytes_in_place, _bytes_of_words))
  bits = jax.lax.platform_dependent(key, tpu=tpu, default=default)
  return jnp.where(bits >= dropped, x * (256 / (256 - dropped)), 0).astype(x.dtype)


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


def _dense(config: EncoderConfig, features: int, dtype: jnp.dtype) -> nn.Dense:
  return nn.Dense(features, dtype=dtype, kernel_init=nn.initializers.normal(config.initializer_range))


def _layer_norm(config: EncoderConfig, dtype: jnp.dtype) -> nn.LayerNorm:
  # Flax keeps the statistics in float32 whatever the dtype. The one-pass variance it uses by default
  # loses digits where the mean is large, so the two-pass form.
  return nn.LayerNorm(epsilon=config.layer_norm_eps, dtype=dtype, use_fast_variance=False)


class Embeddings(nn.Module):
  """Word, position and token-type embeddings, summed and normalised."""

  config: EncoderConfig
  dtype: jnp.dtype

  def setup(self):
    config = self.config
    embed = functools.partial(
      nn.Embed,
      features=config.hidden_size,
      dtype=self.dtype,
      embedding_init=nn.initializers.normal(config.initializer_range),
    )
    self.word_embeddings = embed(config.vocab_size)
    self.position_embeddings = embed(config.max_position_embeddings)
    self.token_type_embeddings = embed(config.type_vocab_size)
    self.layer_norm = _layer_norm(config, self.dtype)
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
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x_BxLxD: Float[Array, "B L D"]) -> Float[Array, "B L H K"]:
    width, heads = self.config.hidden_size, (self.config.num_attention_heads, self.config.head_size)
    kernel = self.param("kernel", nn.initializers.normal(self.config.initializer_range), (width, width))
    bias = self.param("bias", nn.initializers.zeros, (width,))
    x_BxLxD, kernel, bias = (array.astype(self.dtype) for array in (x_BxLxD, kernel, bias))
    return jnp.einsum("bld,dhk->blhk", x_BxLxD, kernel.reshape(width, *heads)) + bias.reshape(heads)


class SelfAttention(nn.Module):
  """Multi-head self-attention, without the residual; gives its scores only where they are asked for."""

  config: EncoderConfig
  dtype: jnp.dtype

  def setup(self):
    self.query = HeadsDense(self.config, self.dtype)
    self.key = HeadsDense(self.config, self.dtype)
    self.value = HeadsDense(self.config, self.dtype)
    self.output = _dense(self.config, self.config.hidden_size, self.dtype)
    self.dropout = Dropout(self.config.attention_probs_dropout_prob)

  def __call__(
    self,
    x_BxLxD: Float[Array, "B L D"],
    mask_BxL: Bool[Array, "B L"],
    with_scores: bool,
    deterministic: bool,
    positions_BxQ: Int[Array, "B Q"] | None = None,
  ) -> tuple[Float[Array, "B Q D"], Float[Array, "B H Q L"] | None]:
    config = self.config
    x_BxQxD = _at(x_BxLxD, positions_BxQ)
    q_BxQxHxK, k_BxLxHxK, v_BxLxHxK = self.query(x_BxQxD), self.key(x_BxLxD), self.value(x_BxLxD)
    mask_Bx1x1xL = mask_BxL[:, None, None, :]
    drops = config.attention_probs_dropout_prob > 0 and not deterministic
    if with_scores or drops:  # dot_product_attention gives no scores, and has no dropout
      scores_BxHxQxL = jnp.einsum(
        "bqhk,bmhk->bhqm", q_BxQxHxK, k_BxLxHxK, preferred_element_type=jnp.float32
      ) / jnp.sqrt(config.head_size)
      masked_BxHxQxL = jnp.where(mask_Bx1x1xL, scores_BxHxQxL, jnp.finfo(jnp.float32).min)
      probs_BxHxQxL = self.dropout(jax.nn.softmax(masked_BxHxQxL).astype(self.dtype), deterministic)
      context_BxQxHxK = jnp.einsum("bhqm,bmhk->bqhk", probs_BxHxQxL, v_BxLxHxK)
    else:
      scores_BxHxQxL = None
      context_BxQxHxK = jax.nn.dot_product_attention(q_BxQxHxK, k_BxLxHxK, v_BxLxHxK, mask=mask_Bx1x1xL)
    return self.output(context_BxQxHxK.reshape(x_BxQxD.shape)), scores_BxHxQxL if with_scores else None


class Layer(nn.Module):
  """One post-LayerNorm transformer layer: attention, then feed-forward, each with a residual."""

  config: EncoderConfig
  dtype: jnp.dtype

  def setup(self):
    config = self.config
    if config.hidden_act not in ACTIVATIONS:
      raise InputError(f"hidden_act {config.hidden_act!r} is not supported; there are {', '.join(ACTIVATIONS)}")
    self.attention = SelfAttention(config, self.dtype)
    self.attention_norm = _layer_norm(config, self.dtype)
    self.intermediate = _dense(config, config.intermediate_size, self.dtype)
    self.output = _dense(config, config.hidden_size, self.dtype)
    self.output_norm = _layer_norm(config, self.dtype)
    self.dropout = Dropout(config.hidden_dropout_prob)

  def __call__(
    self,
    x_BxLxD: Float[Array, "B L D"],
    mask_BxL: Bool[Array, "B L"],
    with_scores: bool,
    deterministic: bool,
    positions_BxQ: Int[Array, "B Q"] | None = None,
  ) -> tuple[Float[Array, "B Q D"], Float[Array, "B H Q L"] | None]:
    """Returns outputs and scores of the tokens at those positions, by default of all; all tokens are attended to."""
    attended_BxQxD, scores_BxHxQxL = self.attention(x_BxLxD, mask_BxL, with_scores, deterministic, positions_BxQ)
    x_BxQxD = self.attention_norm(_at(x_BxLxD, positions_BxQ) + self.dropout(attended_BxQxD, deterministic))
    inner_BxQxF = ACTIVATIONS[self.config.hidden_act](self.intermediate(x_BxQxD))
    x_BxQxD = self.output_norm(x_BxQxD + self.dropout(self.output(inner_BxQxF), deterministic))
    return x_BxQxD, scores_BxHxQxL


class Encoder(nn.Module):
  """A BERT encoder with pooler.

  Call it with a batch of `input_ids` (B×L), and where they matter `attention_mask` (1 for a token, 0 for
  padding; default all 1) and `token_type_ids` (default all 0):

      outputs = Encoder(config).apply({"params": params}, batch, score_layers=(2, 4))

  Attributes:
    config: the shape.
    dtype: of the matrix products and activations; parameters, LayerNorm statistics, scores and softmax
      stay float32.
  """

  config: EncoderConfig
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    self.embeddings = Embeddings(self.config, self.dtype)
    self.layers = [Layer(self.config, self.dtype) for _ in range(self.config.num_hidden_layers)]
    self.pooler = _dense(self.config, self.config.hidden_size, self.dtype)

  def __call__(
    self,
    batch: Batch,
    *,
    score_layers: tuple[int, ...] = (),
    deterministic: bool = True,
    positions: Int[Array, "B Q"] | None = None,
  ) -> Outputs:
    """Returns hidden states, pooled output and the scores of `score_layers`.

    Args:
      batch: see the class.
      score_layers: the layers (1…M) whose attention scores are given, and no others; static. The other
        layers go through `jax.nn.dot_product_attention`, except under attention dropout, which that has not.
      deterministic: no dropout; else the caller gives `rngs={"dropout": key}`.
      positions: the last layer is computed for the tokens at these positions alone, Q in a row; that layer's hidden
        state is then B×Q×D, its scores are B×H×Q×L, and the pooled output is of the first of them.

    Raises:
      ValueError: a layer that is not there, or sequences longer than the position embeddings.
    """
    input_ids = batch["input_ids"]
    length, longest = input_ids.shape[-1], self.config.max_position_embeddings
    if length > longest:
      raise ValueError(f"sequences of {length} tokens do not fit max_position_embeddings {longest}")
    wrong = [layer for layer in score_layers if not 1 <= layer <= self.config.num_hidden_layers]
    if wrong:
      raise ValueError(f"score_layers {wrong} are not among layers 1 to {self.config.num_hidden_layers}")

    token_type_ids = batch.get("token_type_ids", jnp.zeros_like(input_ids))
    mask_BxL = batch.get("attention_mask", jnp.ones_like(input_ids)).astype(bool)
    x_BxLxD = self.embeddings(input_ids, token_type_ids, deterministic)
    hidden_states, scores = [x_BxLxD], {}
    for m, layer in enumerate(self.layers, start=1):
      wanted = positions if m == len(self.layers) else None
      x_BxLxD, scores[m] = layer(x_BxLxD, mask_BxL, m in score_layers, deterministic, wanted)
      hidden_states.append(x_BxLxD)
    return Outputs(
      hidden_states=tuple(hidden_states),
      attention_scores=tuple(scores[m] for m in score_layers),
      pooled=jnp.tanh(self.pooler(x_BxLxD[:, 0])),
    )

  def word_logits(self, x: Float[Array, "... D"]) -> Float[Array, "... V"]:
    """Returns the inner products of `x` with the word embeddings: the tied decoder of a masked LM."""
    return self.embeddings.word_embeddings.attend(x)


class SequenceClassifier(nn.Module):
  """An encoder with a linear head on the pooled output; one label means regression. Logits in float32."""

  config: EncoderConfig
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    config = self.config
    self.encoder = Encoder(config, self.dtype)
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    self.dropout = Dropout(rate)
    self.classifier = _dense(config, config.num_labels, jnp.float32)

  def __call__(
    self, batch: Batch, *, score_layers: tuple[int, ...] = (), deterministic: bool = True, first_token: bool = False
  ) -> Outputs:
    """Returns the encoder's outputs with logits B×C; arguments and errors as for `Encoder`.

    With `first_token`, which is static, the last layer is computed for the first token alone, which is all that the
    logits read.
    """
    first = jnp.zeros((batch["input_ids"].shape[0], 1), jnp.int32) if first_token else None
    outputs = self.encoder(batch, score_layers=score_layers, deterministic=deterministic, positions=first)
    return outputs._replace(logits=self.classifier(self.dropout(outputs.pooled, deterministic)))


class MaskedLanguageModel(nn.Module):
  """An encoder with BERT's masked-LM head: dense, activation, LayerNorm, tied decoder. Logits in float32."""

  config: EncoderConfig
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    self.encoder = Encoder(self.config, self.dtype)
    self.transform = _dense(self.config, self.config.hidden_size, self.dtype)
    self.transform_norm = _layer_norm(self.config, self.dtype)
    self.bias = self.param("bias", nn.initializers.zeros, (self.config.vocab_size,))

  def __call__(
    self,
    batch: Batch,
    *,
    score_layers: tuple[int, ...] = (),
    deterministic: bool = True,
    positions: Int[Array, "B Q"] | None = None,
  ) -> Outputs:
    """Returns the encoder's outputs with logits B×L×V, or of the tokens at `positions` alone, B×Q×V.

    Arguments and errors as for `Encoder`.
    """
    outputs = self.encoder(batch, score_layers=score_layers, deterministic=deterministic, positions=positions)
    x_BxQxD = ACTIVATIONS[self.config.hidden_act](self.transform(outputs.hidden_states[-1]))
    logits_BxQxV = self.encoder.word_logits(self.transform_norm(x_BxQxD)).astype(jnp.float32) + self.bias
    return outputs._replace(logits=logits_BxQxV)


Model = Encoder | SequenceClassifier | MaskedLanguageModel


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


def _draw(name: str, shape: tuple[int, ...], key: Array, scale: float, glorot: bool) -> Array:
  if name == "kernel" and glorot:
    return jax.nn.initializers.glorot_normal()(key, shape)
  if name in ("kernel", "embedding"):
    return scale * jax.random.normal(key, shape)
  return jnp.ones(shape) if name == "scale" else jnp.zeros(shape)


def parameter_shapes(model: Model) -> dict:
  """Returns the tree of the model's parameters as shapes, without computing any."""
  example = {"input_ids": jax.ShapeDtypeStruct((1, 2), jnp.int32)}
  return jax.eval_shape(model.init, jax.random.key(0), example)["params"]


def count_parameters(params: Mapping) -> int:
  """Returns the number of scalars in a tree of parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))

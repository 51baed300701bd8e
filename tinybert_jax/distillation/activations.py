"""What goes through a teacher's layers on a sample of texts, and the second moments of it.

Activations are kept for the layers that a student is made from, on the host; all else is summed up batch by batch.

Shapes: B batch, L length, D the teacher's width, H heads, p inputs, q targets.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.least_squares import Moments
from tinybert_jax.models.attention import SelfAttention
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Batch, Encoder
from tinybert_jax.models.layers import Precisions
from tinybert_jax.models.relative_positions import DISTANCES, Distance, is_near

States = list[Any]  # B×L×width, one for each batch
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_CAPTURED = {*_TABLES, "attention", "attention_norm", "intermediate_norm"}
_HIGHEST = jax.lax.Precision.HIGHEST


class LayerStates(NamedTuple):
  """A teacher's layer on all batches.

  Attributes:
    before: the hidden states that it reads.
    read: what its attention reads: those, or their LayerNorm.
    attended: what attention adds to them.
    between: what the feed-forward layer reads: the states after attention, of which a LayerNorm was taken.
    after: the hidden states that it gives.
  """

  before: States
  read: States
  attended: States
  between: States
  after: States


class Activations(NamedTuple):
  """A teacher on a sample.

  Attributes:
    embedded: the sums of the embeddings before their LayerNorm.
    hidden: the states after it.
    layers: by number, of those asked for.
    moments: second moments of the hidden states, from the embeddings' to the last layer's; of normalised ones where
      LayerNorm comes before each layer.
    last: the encoder's output.
  """

  embedded: States
  hidden: States
  layers: Mapping[int, LayerStates]
  moments: list[Float[np.ndarray, "D D"]]
  last: States


def collect(model: Encoder, params: Mapping[str, Any], batches: Sequence[Batch], layers: LayerMap) -> Activations:
  """Returns what goes through an encoder.

  Args:
    model: the module.
    params: its parameters.
    batches: the sample.
    layers: numbers of the layers, from 1, whose states are kept.
  """
  wanted = tuple(sorted(set(layers)))
  moments, params = Sums(), jax.device_put(params)
  kept: list[tuple[Any, ...]] = []
  for batch in batches:
    given = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
    *states, squares = _run(model, wanted, params, given)
    moments.add(squares)
    kept.append(jax.device_get(tuple(states)))
  embedded, hidden, last, by_layer = (list(each) for each in zip(*kept, strict=True))
  columns = zip(*by_layer, strict=True)
  return Activations(
    embedded,
    hidden,
    {
      number: LayerStates(*map(list, zip(*column, strict=True))) for number, column in zip(wanted, columns, strict=True)
    },
    list(moments.total[0]),
    last,
  )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(model: Encoder, layers: LayerMap, params: Mapping[str, Any], batch: Batch) -> tuple[Any, ...]:
  def is_wanted(module: Any, method: str) -> bool:
    return method == "__call__" and (module.name in _CAPTURED or str(module.name).startswith("layers_"))

  outputs, state = model.apply({"params": params}, batch, capture_intermediates=is_wanted, mutable=["intermediates"])
  found, last = state["intermediates"], outputs.hidden_states[-1]
  tables = (found["embeddings"][name]["__call__"][0] for name in _TABLES if name in found["embeddings"])
  raw = [
    outputs.hidden_states[0],
    *(found[f"layers_{m}"]["__call__"][0][0] for m in range(len(outputs.hidden_states) - 1)),
  ]
  by_layer = tuple(_of_layer(found[f"layers_{n - 1}"], raw[n - 1], raw[n], model.config) for n in layers)
  weight = token_weights(batch)
  if model.config.family.norm == "before":
    rows = [_rows(normalised(state, model.config.layer_norm_eps)) for state in raw]
  else:
    rows = [_rows(state) for state in raw]
  squares = jnp.stack([_products(each, each, weight) for each in rows])
  return functools.reduce(jnp.add, tables), raw[0], last, by_layer, squares


def _of_layer(found: Mapping[str, Any], before: Any, after: Any, config: EncoderConfig) -> LayerStates:
  given = {name: found[name]["__call__"][0] for name in ("attention_norm", "intermediate_norm") if name in found}
  attended = found["attention"]["__call__"][0][0]
  if config.family.norm == "before":
    return LayerStates(before, given.get("attention_norm", before), attended, given["intermediate_norm"], after)
  return LayerStates(before, before, attended, given["attention_norm"], after)


def token_weights(batch: Batch) -> Float[Array, "B L"]:
  """Returns 1 for each token of a batch's rows, 0 for padding."""
  weight = jnp.asarray(batch.get("attention_mask", jnp.ones_like(jnp.asarray(batch["input_ids"]))), jnp.float32)
  return weight * jnp.asarray(batch.get("example_weight", jnp.ones(len(weight))))[:, None]


@jax.jit
def squares(x: Float[Array, "B L p"], weight: Float[Array, "B L"]) -> Float[Array, "p p"]:
  """Returns the sum over tokens of weight·xxᵀ."""
  return _products(_rows(x), _rows(x), weight)


class Sums:
  """Sums of arrays over batches, in float64."""

  def __init__(self) -> None:
    self.total: list[np.ndarray] = []

  def add(self, *terms: Array) -> None:
    """Adds an array to each sum; the first call begins them."""
    new = [np.asarray(term, np.float64) for term in terms]
    self.total = [old + term for old, term in zip(self.total, new, strict=True)] if self.total else new


def moments(inputs: Iterable[Any], targets: Iterable[Any], weights: Iterable[Any]) -> Moments:
  """Returns XᵀX and XᵀY of inputs and targets over the tokens of all batches; a last input that is always 1 is added.

  Args:
    inputs: X, B×L×p for each batch.
    targets: Y, B×L×q likewise.
    weights: of the tokens, B×L likewise.
  """
  sums = Sums()
  for x, y, weight in zip(inputs, targets, weights, strict=True):
    sums.add(*_with_one_products(x, y, weight))
  return Moments(*sums.total)


@jax.jit
def products(x: Float[Array, "B L p"], y: Float[Array, "B L q"], weight: Float[Array, "B L"]) -> tuple[Array, Array]:
  """Returns XᵀX and XᵀY over the tokens of a batch, each with its weight."""
  rows = _rows(x)
  return _products(rows, rows, weight), _products(rows, _rows(y), weight)


@jax.jit
def _with_one_products(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
  return products(with_one(x), y, weight)


def with_one(x: Float[Array, "*B p"]) -> Float[Array, "*B q"]:
  """Returns the inputs with a last one that is always 1, whose row of a matrix is the bias."""
  return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], -1)


def affine(x: Float[Array, "*B p"], matrix: Float[Array | np.ndarray, "q r"]) -> Float[Array, "*B r"]:
  """Returns x times a matrix whose last row is the bias."""
  return jnp.matmul(x, matrix[:-1], precision=_HIGHEST) + matrix[-1]


@functools.partial(jax.jit, static_argnums=(0, 1))
def attention_probabilities(
  config: EncoderConfig,
  number: int,
  positions: Mapping[str, Any],
  part: Mapping[str, Any],
  x: Float[Array, "B L D"],
  mask: Float[Array, "B L"],
) -> Float[Array, "B H L L"]:
  """Returns the softmax of a layer's scores.

  Args:
    config: of the model.
    number: of the layer, from 0.
    positions: the model's parameters for the distances of tokens.
    part: the layer's queries and keys.
    x: what its attention reads.
    mask: 1 for each token that attention sees.
  """
  length, single = x.shape[1], Precisions(jnp.float32, jnp.float32)
  distances: Any = DISTANCES[config.family.attention](config, single).apply({"params": positions}, length)
  distance: Distance = distances[number]
  # The scores do not depend on values and output, which a layer has all the same.
  params = {**part, "value": part["key"], "output": part["key"]}
  with jax.default_matmul_precision("highest"):
    outputs: Any = SelfAttention(config, single).apply({"params": params}, x, mask > 0, True, True, distance=distance)
  seen = mask[:, None, None, :] > 0
  if distance.reach is not None:
    seen = seen & is_near(length, distance.reach, None)[:, None]
  return jax.nn.softmax(jnp.where(seen, outputs[1], jnp.finfo(jnp.float32).min))


@jax.jit
def attended_moments(
  probabilities: Float[Array, "B H L L"], x: Float[Array, "B L p"], weight: Float[Array, "B L"]
) -> Float[Array, "H q q"]:
  """Returns for each head the second moments of what it attends to: the mean of [x, 1] by its probabilities."""

  def of_head(by_query: Float[Array, "B L L"]) -> Array:
    seen = _rows(jnp.einsum("blm,bmd->bld", by_query, with_one(x), precision=_HIGHEST))
    return _products(seen, seen, weight)

  return jax.lax.map(of_head, probabilities.transpose(1, 0, 2, 3))


@jax.jit
def contexts(probabilities: Float[Array, "B H L L"], x: Float[Array, "B L p"], value: Array) -> Float[Array, "B L r"]:
  """Returns the attended values of all heads, merged."""
  values = affine(x, value).reshape(*x.shape[:2], probabilities.shape[1], -1)
  return jnp.einsum("bhlm,bmhk->blhk", probabilities, values, precision=_HIGHEST).reshape(*x.shape[:2], -1)


def _rows(x: Array) -> Array:
  return x.reshape(-1, x.shape[-1])


def _products(a: Array, b: Array, weight: Array) -> Array:
  return jnp.matmul((a * weight.reshape(-1, 1)).T, b, precision=_HIGHEST)


@functools.partial(jax.jit, static_argnums=1)
def normalised(x: Float[Array, "*B p"], epsilon: float) -> Float[Array, "*B p"]:
  """Returns LayerNorm without scale and bias."""
  centred = x - x.mean(-1, keepdims=True)
  return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)


@jax.jit
def unit_moments(n: Array, y: Array, weight: Array) -> tuple[Array, ...]:
  """Returns for each unit the sums over tokens of the weights and of n, y, n² and n·y."""
  weight = weight[..., None]
  return tuple(jnp.sum(weight * each, (0, 1)) for each in (jnp.ones((1,)), n, y, n * n, n * y))


@jax.jit
def onto(x: Float[Array, "*B D"], basis: Float[Array | np.ndarray, "D d"]) -> Float[Array, "*B d"]:
  """Returns the student's units of the teacher's."""
  return jnp.matmul(x, basis, precision=_HIGHEST)

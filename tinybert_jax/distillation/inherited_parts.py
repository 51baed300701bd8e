"""The parts of a student that inherits its teacher's weights, each fitted to the teacher's part on a sample.

The student's hidden units are d directions of the teacher's D, the same in all layers, as residual sums need. A matrix
with a bias is one whose last row is the bias.

Shapes: B batch, L length, D and d hidden size of teacher and student, F and f of their feed-forward layers, H heads, K
head size, p inputs.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tinybert_jax.distillation import activations, least_squares, units
from tinybert_jax.distillation.activations import LayerStates, States, affine
from tinybert_jax.models.activations import activate
from tinybert_jax.models.config import EncoderConfig

_FEW_RIDGE = 1e-2  # of fits on first tokens, of which a text has one
Part = dict[str, Any]  # of a tree of parameters


class Sample(NamedTuple):
  """What every fit reads.

  Attributes:
    masks: 1 for each token that attention sees, B×L for each batch.
    weights: 1 for each token that counts, likewise.
    biases: what a family adds to the scores for the distances of tokens, 1×H×L×L for each batch; else 0.
    basis: the student's units from the teacher's, orthonormal, D×d.
    teacher: its shape.
    student: its shape.
  """

  masks: States
  weights: States
  biases: States
  basis: Float[np.ndarray, "D d"]
  teacher: EncoderConfig
  student: EncoderConfig

  def restoring(self) -> Float[np.ndarray, "p D"]:
    """Returns the map from the student's units to the teacher's that knows of no others, with a bias of 0."""
    return np.concatenate([self.basis.T, np.zeros((1, len(self.basis)))])


def embeddings(theirs: Mapping[str, Any], sums: States, targets: States, sample: Sample) -> tuple[Part, States]:
  """Returns the student's embeddings, and their output.

  Args:
    theirs: the teacher's.
    sums: of the teacher's tables, before LayerNorm.
    targets: the teacher's output.
    sample: of texts.
  """
  tables = {name: _single(each["embedding"]) for name, each in theirs.items() if "embedding" in each}
  if "position_embeddings" in tables:
    tables["position_embeddings"] = tables["position_embeddings"][: sample.student.max_position_embeddings]
  if "projection" in theirs:  # narrower tables, with a LayerNorm of their own, are the student's as they are
    projection = _as_part(_with_bias(theirs["projection"]) @ sample.basis)
    made: Part = {name: {"embedding": table} for name, table in tables.items()}
    return {**made, "layer_norm": dict(theirs["layer_norm"]), "projection": projection}, [
      _onto(each, _single(sample.basis)) for each in targets
    ]
  made = {name: {"embedding": table @ _single(sample.basis)} for name, table in tables.items()}
  made["layer_norm"], states = _norm(
    theirs["layer_norm"], [_onto(each, _single(sample.basis)) for each in sums], targets, sample
  )
  return made, states


def layer(theirs: Mapping[str, Any], teacher: LayerStates, states: States, sample: Sample) -> tuple[Part, States]:
  """Returns a layer of the student, and its output.

  Args:
    theirs: the teacher's layer.
    teacher: what goes through it.
    states: what the student's layer reads.
    sample: of texts.
  """
  attention, inner, near = _attention(theirs["attention"], teacher.before, states, sample)
  sums = [np.add(*each) for each in zip(teacher.before, teacher.attended, strict=True)]
  output, attention_norm, between = _residual(
    theirs["attention_norm"], inner, states, near, sums, teacher.between, sample
  )
  intermediate, inner, near, sums = _feed_forward(theirs, teacher.between, between, sample)
  second, output_norm, after = _residual(theirs["output_norm"], inner, between, near, sums, teacher.after, sample)
  made = {
    "attention": {**attention, "output": output},
    "attention_norm": attention_norm,
    "intermediate": intermediate,
    "output": second,
    "output_norm": output_norm,
  }
  return made, after


def pooler(
  theirs: Mapping[str, Any],
  classifier: Mapping[str, Any] | None,
  act: str,
  last: States,
  states: States,
  sample: Sample,
) -> tuple[Part, Part | None]:
  """Returns the dense layer on a text's first token, and the classifier on that where the teacher has one.

  Args:
    theirs: the teacher's dense layer.
    classifier: the teacher's; the units that it reads most are kept.
    act: the name of the activation between them.
    last: the teacher's last hidden states.
    states: the student's.
    sample: of texts.
  """
  matrix = _with_bias(theirs)
  texts = np.concatenate([np.asarray(weight[:, 0]) for weight in sample.weights])[:, None]
  first, ours = (np.concatenate([np.asarray(each[:, 0], np.float64) for each in side]) for side in (last, states))
  wanted = first @ matrix[:-1] + matrix[-1]
  pooled = np.asarray(activate(act, jnp.asarray(wanted), jnp.float32), np.float64)
  read = np.eye(pooled.shape[-1]) if classifier is None else np.asarray(classifier["kernel"], np.float64)
  chosen = units.choose_inner_units((texts * pooled).T @ pooled, read, sample.student.hidden_size)
  near = least_squares.fit(activations.moments(states, last, sample.weights), sample.restoring()) @ matrix[:-1, chosen]
  near[-1] += matrix[-1, chosen]
  dense = _fit_few(ours, wanted[:, chosen], texts, near)
  if classifier is None:
    return _as_part(dense), None
  second = _with_bias(classifier)
  narrow = np.asarray(activate(act, jnp.asarray(ours @ dense[:-1] + dense[-1]), jnp.float32), np.float64)
  made = _fit_few(narrow, pooled @ second[:-1] + second[-1], texts, second[[*chosen, -1]])
  return _as_part(dense), _as_part(made)


def _fit_few(x: np.ndarray, y: np.ndarray, weight: np.ndarray, near: np.ndarray) -> np.ndarray:
  rows = np.concatenate([x, np.ones((len(x), 1))], 1)
  return least_squares.fit(least_squares.Moments((weight * rows).T @ rows, (weight * rows).T @ y), near, _FEW_RIDGE)


def _attention(
  theirs: Mapping[str, Any], before: States, states: States, sample: Sample
) -> tuple[Part, States, Float[np.ndarray, "p d"]]:
  """Returns queries, keys and values; what the heads attend to; and the output matrix that goes with it so far."""
  heads, size = sample.student.num_attention_heads, sample.student.head_size
  seen = activations.moments(states, before, sample.weights)
  restored = least_squares.fit(seen, sample.restoring())  # the teacher's input from the student's
  root = least_squares.root(seen.of_inputs / seen.of_inputs[-1, -1])
  by_name = {name: _by_head(restored, theirs[name], sample.teacher) for name in ("query", "key", "value")}
  outputs = np.asarray(theirs["output"]["kernel"], np.float64).reshape(
    sample.teacher.num_attention_heads, sample.teacher.head_size, -1
  )
  outputs = outputs @ sample.basis
  scale = (size / sample.teacher.head_size) ** 0.25  # as scores are divided by the root of the head size
  pairs = [
    least_squares.low_rank_scores(query, key, size, root)
    for query, key in zip(by_name["query"], by_name["key"], strict=True)
  ]
  query, key = (scale * np.concatenate(each, 1) for each in zip(*pairs, strict=True))
  probabilities = [
    activations.attention_probabilities(heads, x, _single(query), _single(key), mask, bias)
    for x, mask, bias in zip(states, sample.masks, sample.biases, strict=True)
  ]
  sums = activations.Sums()
  for by_token, x, weight in zip(probabilities, states, sample.weights, strict=True):
    sums.add(activations.attended_moments(by_token, x, weight))
  roots = [least_squares.root(each / each[-1, -1]) for each in sums.total[0]]
  maps = [
    least_squares.low_rank_map(value, output, size, root)
    for value, output, root in zip(by_name["value"], outputs, roots, strict=True)
  ]
  value = np.concatenate([each for each, _ in maps], 1)
  bias = np.asarray(theirs["output"]["bias"]) @ sample.basis
  inner = [activations.contexts(each, x, _single(value)) for each, x in zip(probabilities, states, strict=True)]
  made = {name: _as_part(matrix) for name, matrix in (("query", query), ("key", key), ("value", value))}
  return made, inner, np.concatenate([*(output for _, output in maps), bias[None]])


def _by_head(
  restored: Float[np.ndarray, "p D"], theirs: Mapping[str, Any], teacher: EncoderConfig
) -> Float[np.ndarray, "H p K"]:
  """Returns each head's matrix from the student's input."""
  matrix = restored @ np.asarray(theirs["kernel"], np.float64)
  matrix[-1] += np.asarray(theirs["bias"])
  return matrix.reshape(len(matrix), teacher.num_attention_heads, teacher.head_size).transpose(1, 0, 2)


def _feed_forward(
  theirs: Mapping[str, Any], between: States, states: States, sample: Sample
) -> tuple[Part, States, Float[np.ndarray, "p d"], States]:
  """Returns the first matrix; the inner units; the second matrix so far; and the teacher's residual sums."""
  first, second = (_with_bias(theirs[name]) for name in ("intermediate", "output"))
  sums, squares = [], activations.Sums()
  for y, weight in zip(between, sample.weights, strict=True):
    inner, total = _inner_and_sum(sample.teacher.hidden_act, y, _single(first), _single(second))
    squares.add(activations.squares(inner, weight / jnp.maximum(jnp.var(total, -1), 1e-12)))
    sums.append(np.asarray(total))
  chosen = units.choose_inner_units(squares.total[0], second[:-1] @ sample.basis, sample.student.intermediate_size)
  restored = least_squares.fit(activations.moments(states, between, sample.weights), sample.restoring())
  narrow = restored @ first[:-1, chosen]
  narrow[-1] += first[-1, chosen]
  inner = [_inner(sample.student.hidden_act, y, _single(narrow)) for y in states]
  return _as_part(narrow), inner, second[[*chosen, -1]] @ sample.basis, sums


def _residual(
  theirs: Mapping[str, Any],
  inner: States,
  states: States,
  near: Float[np.ndarray, "p d"],
  sums: States,
  targets: States,
  sample: Sample,
) -> tuple[Part, Part, States]:
  """Returns the matrix whose output is added to `states`, the LayerNorm of the sum, and what that gives.

  LayerNorm divides by the deviation of each token's units, so errors of the sums are counted in it.

  Args:
    theirs: the teacher's LayerNorm.
    inner: what the matrix multiplies.
    states: what its output is added to.
    near: the matrix to stay near to, where the sample does not tell.
    sums: the teacher's, before LayerNorm.
    targets: the teacher's, after it.
    sample: of texts.
  """
  missing, weights = [], []
  for total, x, weight in zip(sums, states, sample.weights, strict=True):
    missing.append(_missing(total, x, _single(sample.basis)))
    weights.append(weight / jnp.maximum(jnp.var(total, -1), 1e-12))
  matrix = least_squares.fit(activations.moments(inner, missing, weights), near)
  ours = [x + affine(each, _single(matrix)) for x, each in zip(states, inner, strict=True)]
  norm, after = _norm(theirs, ours, targets, sample)
  return _as_part(matrix), norm, after


def _norm(theirs: Mapping[str, Any], sums: States, targets: States, sample: Sample) -> tuple[Part, States]:
  """Returns the scale and bias that bring each normalised unit nearest to the teacher's, and the result.

  For a unit's normalised values n and the teacher's y, the scale is cov(n, y)/var(n), the bias mean(y) - scale·mean(n).
  The student's mean and deviation are those of its own units, so the teacher's scales do not fit as they are.
  """
  epsilon = sample.student.layer_norm_eps
  normalised = [_normalised(each, epsilon) for each in sums]
  total = activations.Sums()
  for n, y, weight in zip(normalised, targets, sample.weights, strict=True):
    total.add(*_unit_moments(n, _onto(y, _single(sample.basis)), weight))
  count, n, y, squares, products = total.total
  n, y, squares, products = (each / count for each in (n, y, squares, products))
  variance, tiny = squares - n * n, 1e-6
  near = np.mean(theirs["scale"])
  scale = _single((products - n * y + tiny * near) / (variance + tiny))
  bias = _single(y - scale * n)
  return {"scale": scale, "bias": bias}, [scale * each + bias for each in normalised]


@functools.partial(jax.jit, static_argnums=1)
def _normalised(x: Array, epsilon: float) -> Array:
  centred = x - x.mean(-1, keepdims=True)
  return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)


@jax.jit
def _unit_moments(n: Array, y: Array, weight: Array) -> tuple[Array, ...]:
  weight = weight[..., None]
  return tuple(jnp.sum(weight * each, (0, 1)) for each in (jnp.ones((1,)), n, y, n * n, n * y))


@jax.jit
def _missing(total: Array, x: Array, basis: Array) -> Array:
  """Returns what the teacher's centred sums have of the student's units, and its states not yet."""
  return _onto(total - total.mean(-1, keepdims=True), basis) - x


@jax.jit
def _onto(x: Array, basis: Array) -> Array:
  return jnp.matmul(x, basis, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.jit, static_argnums=0)
def _inner(act: str, x: Array, matrix: Array) -> Array:
  return activate(act, affine(x, matrix), jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def _inner_and_sum(act: str, y: Array, first: Array, second: Array) -> tuple[Array, Array]:
  inner = _inner(act, y, first)
  return inner, y + affine(inner, second)


def _with_bias(part: Mapping[str, Any]) -> Float[np.ndarray, "p q"]:
  return np.concatenate([np.asarray(part["kernel"]), np.asarray(part["bias"])[None]]).astype(np.float64)


def _as_part(matrix: Float[np.ndarray, "p q"]) -> Part:
  return {"kernel": _single(matrix[:-1]), "bias": _single(matrix[-1])}


def _single(matrix: Any) -> np.ndarray:
  return np.asarray(matrix, np.float32)

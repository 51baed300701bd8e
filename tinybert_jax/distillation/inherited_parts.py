"""The parts of a student that inherits its teacher's weights, each fitted to the teacher's part on a sample.

The student's hidden units are d directions of the teacher's D, the same in all layers, as residual sums need. A matrix
with a bias is one whose last row is the bias; where a family has none, that row is 0.

Shapes: B batch, L length, D and d hidden size of teacher and student, F and f of their feed-forward layers, p inputs.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tinybert_jax.distillation import activations, least_squares, units
from tinybert_jax.distillation.activations import LayerStates, States, affine, onto
from tinybert_jax.distillation.inherited_attention import Place, RelativePositions, attention
from tinybert_jax.distillation.inherited_sample import Part, Sample, as_part, normalised_fit, single, with_bias
from tinybert_jax.models.activations import activate

_FEW_RIDGE = 1e-2  # of fits on first tokens, of which a text has one


def embeddings(theirs: Mapping[str, Any], sums: States, targets: States, sample: Sample) -> tuple[Part, States]:
  """Returns the student's embeddings, and their output.

  Args:
    theirs: the teacher's.
    sums: of the teacher's tables, before LayerNorm.
    targets: the teacher's output.
    sample: of texts.
  """
  tables = {name: single(each["embedding"]) for name, each in theirs.items() if "embedding" in each}
  if "position_embeddings" in tables:
    tables["position_embeddings"] = tables["position_embeddings"][: sample.student.max_position_embeddings]
  if "projection" in theirs:  # narrower tables, with a LayerNorm of their own, are the student's as they are
    projection = as_part(with_bias(theirs["projection"]) @ sample.basis)
    made: Part = {name: {"embedding": table} for name, table in tables.items()}
    return {**made, "layer_norm": dict(theirs["layer_norm"]), "projection": projection}, [
      onto(each, single(sample.basis)) for each in targets
    ]
  made = {name: {"embedding": table @ single(sample.basis)} for name, table in tables.items()}
  narrow = [onto(each, single(sample.basis)) for each in sums]
  made["layer_norm"], states = normalised_fit(theirs["layer_norm"], narrow, targets, sample.weights, sample)
  return made, states


def layer(
  theirs: Mapping[str, Any],
  place: Place,
  teacher: LayerStates,
  states: States,
  distances: RelativePositions | Part,
  sample: Sample,
) -> tuple[Part, States]:
  """Returns a layer of the student, and its output.

  Args:
    theirs: the teacher's layer.
    place: where both stand.
    teacher: what goes through it.
    states: what the student's layer reads.
    distances: what the student's layers read of the distances of tokens.
    sample: of texts.
  """
  if sample.student.family.norm == "before":
    return _pre_norm_layer(theirs, place, teacher, states, distances, sample)
  made, inner, near = attention(theirs["attention"], place, teacher.before, states, distances, sample)
  sums = [np.add(*each) for each in zip(teacher.before, teacher.attended, strict=True)]
  made["output"], between = _residual(theirs["attention"]["output"], inner, states, near, sums, sample)
  attention_norm, between = normalised_fit(theirs["attention_norm"], between, teacher.between, sample.weights, sample)
  first, inner, near, sums = _feed_forward(theirs, teacher.between, teacher.between, between, sample)
  output, after = _residual(theirs["output"], inner, between, near, sums, sample)
  output_norm, after = normalised_fit(theirs["output_norm"], after, teacher.after, sample.weights, sample)
  return {
    "attention": made,
    "attention_norm": attention_norm,
    **first,
    "output": output,
    "output_norm": output_norm,
  }, after


def _pre_norm_layer(
  theirs: Mapping[str, Any],
  place: Place,
  teacher: LayerStates,
  states: States,
  distances: RelativePositions | Part,
  sample: Sample,
) -> tuple[Part, States]:
  """Returns a layer whose LayerNorms come first. The matrices after them do their scaling, so the student's do none."""
  made: Part = {}
  normed, number = states, sample.student.hidden_size
  if place.ours:  # the first reads the embeddings' LayerNorm
    made["attention_norm"], normed = plain_norm(theirs["intermediate_norm"], number), _normalised(states, sample)
  made["attention"], inner, near = attention(theirs["attention"], place, teacher.read, normed, distances, sample)
  sums = [np.add(*each) for each in zip(teacher.before, teacher.attended, strict=True)]
  output, between = _residual(theirs["attention"]["output"], inner, states, near, sums, sample)
  made["attention"]["output"] = output
  made["intermediate_norm"], normed = plain_norm(theirs["intermediate_norm"], number), _normalised(between, sample)
  first, inner, near, sums = _feed_forward(theirs, teacher.between, sums, normed, sample)
  made["output"], after = _residual(theirs["output"], inner, between, near, sums, sample)
  return {**made, **first}, after


def _normalised(states: States, sample: Sample) -> States:
  return [activations.normalised(each, sample.student.layer_norm_eps) for each in states]


def plain_norm(theirs: Mapping[str, Any], width: int) -> Part:
  """Returns a LayerNorm with scales of 1, and biases of 0 where the teacher's has some."""
  return {name: np.full(width, name == "scale", np.float32) for name in theirs}


class Head(NamedTuple):
  """What reads the last hidden states of a text, each as its family has it.

  Attributes:
    dense: the layer on the first token, on the mean of all, or on each.
    norm: the LayerNorm after its activation.
    classifier: the layer on that.
  """

  dense: Mapping[str, Any]
  norm: Mapping[str, Any] | None
  classifier: Mapping[str, Any] | None


def head(theirs: Head, last: States, states: States, sample: Sample, *, per_token: bool = False) -> Head:
  """Returns the student's head; of the dense layer's units those are kept that the teacher's classifier reads most.

  Args:
    theirs: the teacher's.
    last: the teacher's last hidden states.
    states: the student's.
    sample: of texts.
    per_token: whether it reads each token of a text.
  """
  act, has_bias = sample.teacher.pooled_activation, "bias" in theirs.dense
  matrix = with_bias(theirs.dense)
  take = _of_tokens if per_token else _of_texts
  texts = np.concatenate([np.ravel(weight if per_token else weight[:, 0]) for weight in sample.weights])[:, None]
  read, ours = (take(side, sample) for side in (last, states))
  wanted = read @ matrix[:-1] + matrix[-1]
  pooled = _activated(act, wanted, theirs.norm, sample)
  width, number = sample.teacher.hidden_size, sample.student.hidden_size
  classifier = np.eye(width + 1, width) if theirs.classifier is None else with_bias(theirs.classifier)
  if theirs.norm is not None:  # its scales and biases become the classifier's
    classifier[-1] += np.asarray(theirs.norm.get("bias", np.zeros(width))) @ classifier[:-1]
    classifier[:-1] *= np.asarray(theirs.norm["scale"])[:, None]
  chosen = units.choose_inner_units((texts * pooled).T @ pooled, classifier[:-1], number)
  restored = sample.fit(activations.moments(states, last, sample.weights), sample.restoring(), has_bias)
  near = restored @ matrix[:-1, chosen]
  near[-1] += matrix[-1, chosen]
  dense = sample.fit(_moments(ours, wanted[:, chosen], texts), near, has_bias, _FEW_RIDGE)
  made = Head(as_part(dense, has_bias), None, None)
  if theirs.norm is not None:
    made = made._replace(norm=plain_norm(theirs.norm, number))
  if theirs.classifier is None:
    return made
  narrow = _activated(act, ours @ dense[:-1] + dense[-1], made.norm, sample)
  logits = pooled @ classifier[:-1] + classifier[-1]
  second = least_squares.fit(_moments(narrow, logits, texts), classifier[[*chosen, -1]], _FEW_RIDGE)
  return made._replace(classifier=as_part(second))


def _of_texts(states: States, sample: Sample) -> Float[np.ndarray, "N p"]:
  """Returns what a head reads of each text: the first token, or the mean of all."""
  if getattr(sample.teacher.settings, "classifier_pooling", "cls") != "mean":
    return np.concatenate([np.asarray(each[:, 0], np.float64) for each in states])
  return np.concatenate(
    [
      np.einsum("blp,bl->bp", np.asarray(each, np.float64), np.asarray(mask))
      / np.maximum(np.asarray(mask, np.float64).sum(1, keepdims=True), 1)
      for each, mask in zip(states, sample.masks, strict=True)
    ]
  )


def _of_tokens(states: States, sample: Sample) -> Float[np.ndarray, "N p"]:
  """Returns what a head reads of each token, padding too, whose weight is 0."""
  return np.concatenate([np.asarray(each, np.float64).reshape(-1, each.shape[-1]) for each in states])


def _activated(
  act: str, x: Float[np.ndarray, "N p"], norm: Mapping[str, Any] | None, sample: Sample
) -> Float[np.ndarray, "N p"]:
  """Returns the activation of a dense layer's output, normalised where the head has a LayerNorm."""
  active = activate(act, jnp.asarray(x), jnp.float32)
  if norm is not None:
    active = activations.normalised(active, sample.teacher.layer_norm_eps)
  return np.asarray(active, np.float64)


def _moments(x: Float[np.ndarray, "N p"], y: Float[np.ndarray, "N q"], weight: np.ndarray) -> least_squares.Moments:
  rows = np.concatenate([x, np.ones((len(x), 1))], 1)
  return least_squares.Moments((weight * rows).T @ rows, (weight * rows).T @ y)


def _feed_forward(
  theirs: Mapping[str, Any], between: States, before: States, states: States, sample: Sample
) -> tuple[Part, States, Float[np.ndarray, "p d"], States]:
  """Returns the first matrices; the inner units; the second matrix so far; and the teacher's residual sums.

  Args:
    theirs: the teacher's layer.
    between: what the teacher's feed-forward layer reads.
    before: what its output is added to.
    states: what the student's reads.
    sample: of texts.
  """
  branches = [name for name in ("intermediate", "gate") if name in theirs]
  first, second = [with_bias(theirs[name]) for name in branches], with_bias(theirs["output"])
  has_bias, act = "bias" in theirs["intermediate"], sample.student.hidden_act
  sums, squares = [], activations.Sums()
  for y, x, weight in zip(between, before, sample.weights, strict=True):
    inner = _inner(act, y, [single(each) for each in first])
    total = x + affine(inner, single(second))
    squares.add(activations.squares(inner, weight / jnp.maximum(jnp.var(total, -1), 1e-12)))
    sums.append(np.asarray(total))
  chosen = units.choose_inner_units(squares.total[0], second[:-1] @ sample.basis, sample.student.intermediate_size)
  moments = activations.moments(states, between, sample.weights)
  restored = sample.fit(moments, sample.restoring(), has_bias)
  narrow = [restored @ each[:-1, chosen] for each in first]
  for ours, each in zip(narrow, first, strict=True):
    ours[-1] += each[-1, chosen]
  inner = [_inner(act, y, [single(each) for each in narrow]) for y in states]
  made = {name: as_part(each, has_bias) for name, each in zip(branches, narrow, strict=True)}
  return made, inner, second[[*chosen, -1]] @ sample.basis, sums


def _residual(
  theirs: Mapping[str, Any], inner: States, states: States, near: Float[np.ndarray, "p d"], sums: States, sample: Sample
) -> tuple[Part, States]:
  """Returns the matrix whose output is added to `states`, and the sums.

  LayerNorm divides by the deviation of each token's units, so errors of the sums are counted in it.

  Args:
    theirs: the teacher's matrix.
    inner: what the matrix multiplies.
    states: what its output is added to.
    near: the matrix to stay near to, where the sample does not tell.
    sums: the teacher's.
    sample: of texts.
  """
  missing, weights = [], []
  for total, x, weight in zip(sums, states, sample.weights, strict=True):
    missing.append(_missing(total, x, single(sample.basis)))
    weights.append(weight / jnp.maximum(jnp.var(total, -1), 1e-12))
  has_bias = "bias" in theirs
  matrix = sample.fit(activations.moments(inner, missing, weights), near, has_bias)
  return as_part(matrix, has_bias), [x + affine(each, single(matrix)) for x, each in zip(states, inner, strict=True)]


@jax.jit
def _missing(total: Array, x: Array, basis: Array) -> Array:
  """Returns what the teacher's centred sums have of the student's units, and its states not yet."""
  return onto(total - total.mean(-1, keepdims=True), basis) - x


@functools.partial(jax.jit, static_argnums=0)
def _inner(act: str, x: Array, branches: list[Array]) -> Array:
  inner = activate(act, affine(x, branches[0]), jnp.float32)
  return inner * affine(x, branches[1]) if len(branches) > 1 else inner

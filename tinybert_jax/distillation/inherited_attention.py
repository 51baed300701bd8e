"""A student's attention, made from its teacher's: queries and keys, then values and outputs, head by head.

Each is the best product of lower rank on the sample: of queries and keys under the second moments of what they read, of
values and outputs under those of what the student's own heads attend to.

Shapes: B batch, L length, D and d hidden size of teacher and student, H heads, E and K head size of teacher and
student, S relative positions, p inputs, the last of which is always 1.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tinybert_jax.distillation import activations, least_squares
from tinybert_jax.distillation.activations import States
from tinybert_jax.distillation.inherited_sample import Part, Sample, as_part, normalised_fit, single
from tinybert_jax.models.family_settings import ModernBertSettings
from tinybert_jax.models.relative_positions import frequencies


class Place(NamedTuple):
  """Where a layer stands, from 0: the student's, and the teacher's that it is made from."""

  ours: int
  theirs: int


class RelativePositions(NamedTuple):
  """The embeddings of relative positions that queries and keys read beside the tokens, normalised: DeBERTa's.

  Attributes:
    ours: the student's, 1×S×d.
    theirs: the teacher's, 1×S×D.
    part: the student's parameters.
  """

  ours: Any
  theirs: Any
  part: Part


def relative_positions(theirs: Mapping[str, Any] | None, sample: Sample) -> RelativePositions | Part:
  """Returns what the student's layers read of the distances of tokens: its embeddings, or the teacher's biases.

  Args:
    theirs: the teacher's parameters; None in a family without.
    sample: of texts.
  """
  if theirs is None or "embeddings" not in theirs:
    return dict(theirs or {})
  table = jnp.asarray(theirs["embeddings"]["embedding"], jnp.float32)[None]
  narrow = activations.onto(table, single(sample.basis))
  part: Part = {"embeddings": {"embedding": np.asarray(narrow[0])}}
  if "layer_norm" not in theirs:
    return RelativePositions(narrow, table, part)
  norm = theirs["layer_norm"]
  table = activations.normalised(table, sample.teacher.layer_norm_eps) * norm["scale"] + norm["bias"]
  part["layer_norm"], (narrow,) = normalised_fit(norm, [narrow], [table], [jnp.ones(table.shape[:2])], sample)
  return RelativePositions(narrow, table, part)


def attention(
  theirs: Mapping[str, Any],
  place: Place,
  before: States,
  states: States,
  distances: RelativePositions | Part,
  sample: Sample,
) -> tuple[Part, States, Float[np.ndarray, "p d"]]:
  """Returns queries, keys and values; what the heads attend to; and the output matrix that goes with it so far.

  Args:
    theirs: the teacher's attention.
    place: of the layer.
    before: what the teacher's reads.
    states: what the student's reads.
    distances: what the student's layers read of the distances of tokens.
    sample: of texts.
  """
  student, has_bias = sample.student, "bias" in theirs["output"]
  size, used = student.head_size, slice(None) if has_bias else slice(-1)
  read, wanted, weights = states, before, sample.weights
  if isinstance(distances, RelativePositions):  # they go through the matrices of the tokens' queries and keys
    share = sum(float(weight.sum()) for weight in weights) / distances.ours.shape[1]
    read, wanted = [*states, distances.ours], [*before, distances.theirs]
    weights = [*weights, jnp.full(distances.ours.shape[:2], share)]
  seen = activations.moments(read, wanted, weights)
  restored = sample.fit(seen, sample.restoring(), has_bias)  # the teacher's input from the student's
  second_moment = seen.of_inputs[used, used] / seen.of_inputs[-1, -1]
  by_name = {name: _by_head(restored, theirs[name], sample)[:, used] for name in ("query", "key", "value")}
  scale = (size / sample.teacher.head_size) ** 0.25  # as scores are divided by the root of the head size
  groups = _frequency_groups(place, sample)
  pairs = [
    least_squares.low_rank_scores(query, key, size, least_squares.root(second_moment), groups)
    for query, key in zip(by_name["query"], by_name["key"], strict=True)
  ]
  query, key = (sample.with_last_row(scale * np.concatenate(each, 1), has_bias) for each in zip(*pairs, strict=True))
  made = {"query": as_part(query, has_bias), "key": as_part(key, has_bias)}
  positions = distances.part if isinstance(distances, RelativePositions) else distances
  probabilities = [
    activations.attention_probabilities(student, place.ours, positions, made, x, mask)
    for x, mask in zip(states, sample.masks, strict=True)
  ]
  sums = activations.Sums()
  for by_token, x, weight in zip(probabilities, states, sample.weights, strict=True):
    sums.add(activations.attended_moments(by_token, x, weight))
  roots = [least_squares.root(each[used, used] / each[-1, -1]) for each in sums.total[0]]
  outputs = np.asarray(theirs["output"]["kernel"], np.float64).reshape(
    sample.teacher.num_attention_heads, sample.teacher.head_size, -1
  )
  maps = [
    least_squares.low_rank_map(value, output, size, root)
    for value, output, root in zip(by_name["value"], outputs @ sample.basis, roots, strict=True)
  ]
  value = sample.with_last_row(np.concatenate([each for each, _ in maps], 1), has_bias)
  bias = np.asarray(theirs["output"]["bias"]) @ sample.basis if has_bias else np.zeros(student.hidden_size)
  inner = [activations.contexts(each, x, single(value)) for each, x in zip(probabilities, states, strict=True)]
  made["value"] = as_part(value, has_bias)
  return made, inner, np.concatenate([*(output for _, output in maps), bias[None]])


def _by_head(
  restored: Float[np.ndarray, "p D"], theirs: Mapping[str, Any], sample: Sample
) -> Float[np.ndarray, "H p E"]:
  """Returns each head's matrix from the student's input."""
  matrix = restored @ np.asarray(theirs["kernel"], np.float64)
  matrix[-1] += np.asarray(theirs.get("bias", 0.0))
  heads, size = sample.teacher.num_attention_heads, sample.teacher.head_size
  return matrix.reshape(len(matrix), heads, size).transpose(1, 0, 2)


def _frequency_groups(place: Place, sample: Sample) -> list[list[int]] | None:
  """Returns for each pair of the student's rotary components the teacher's whose frequencies are nearest to its own.

  None without rotary positions.
  """
  ours, theirs = sample.student.settings, sample.teacher.settings
  if not isinstance(ours, ModernBertSettings) or not isinstance(theirs, ModernBertSettings):
    return None
  wanted = np.log(frequencies(sample.student.head_size, ours.rope_theta(place.ours)))
  found = np.log(frequencies(sample.teacher.head_size, theirs.rope_theta(place.theirs)))
  nearest = np.abs(found[:, None] - wanted).argmin(1)
  return [np.flatnonzero(nearest == pair).tolist() for pair in range(len(wanted))]

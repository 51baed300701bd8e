"""The head of a sentence encoder that inherits its teacher's weights: dense layers that read the narrower vectors."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from tinybert_jax.distillation import activations, least_squares
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Batch, Encoder, apply
from tinybert_jax.models.pretrained import Pretrained


def with_head(
  teacher: Pretrained, student: EncoderConfig, encoder: dict[str, Any], batches: Sequence[Batch]
) -> dict[str, Any]:
  """Returns the parameters of a student with the teacher's head, fitted to the student's vectors.

  The fit is that of the last hidden states, with a bias, by least squares over the tokens of a sample. Means and first
  tokens of what it gives are those of the teacher then, as near as they can be.

  Args:
    teacher: a sentence encoder.
    student: the shape of another, whose head is `SentenceHead.of_student` of the teacher's.
    encoder: the student's parameters without its head.
    batches: a sample of texts as token batches.
  """
  params: dict[str, Any] = {"encoder": encoder}
  ours, theirs = student.sentence, teacher.config.sentence
  if ours is None or theirs is None or not ours.dense:
    return params
  kept = {name: value for name, value in teacher.params.items() if name.startswith("dense_")}
  if student.hidden_size == teacher.config.hidden_size:
    return {**params, **jax.tree.map(np.asarray, kept)}
  matrix = _last_states(teacher, student, encoder, batches)
  kernel = np.kron(np.eye(len(ours.pooling)), matrix[:-1])
  bias = np.tile(matrix[-1], len(ours.pooling))
  if kept:  # the teacher's first layer reads what the fit gives
    first = kept.pop("dense_0")
    kernel, bias = kernel @ first["kernel"], bias @ first["kernel"] + first.get("bias", 0)
  made = {"kernel": kernel.astype(np.float32)} | ({"bias": bias.astype(np.float32)} if ours.dense[0].bias else {})
  return {**params, "dense_0": made, **jax.tree.map(np.asarray, kept)}


@functools.partial(jax.jit, static_argnums=0)
def _last(model: Encoder, params: Mapping[str, Any], batch: Batch) -> Float[Array, "B L D"]:
  return apply(model, params, batch).hidden_states[-1]


def _last_states(
  teacher: Pretrained, student: EncoderConfig, encoder: dict[str, Any], batches: Sequence[Batch]
) -> Float[np.ndarray, "p D"]:
  """Returns the map from the student's last hidden states to the teacher's; its last row is the bias."""
  states = []
  for config, params in ((student, encoder), (teacher.config, teacher.params["encoder"])):
    states.append([_last(Encoder(config), params, batch) for batch in batches])
  weights = [activations.token_weights(batch) for batch in batches]
  moments = activations.moments(states[0], states[1], weights)
  near = np.zeros((student.hidden_size + 1, teacher.config.hidden_size))
  return least_squares.fit(moments, near)

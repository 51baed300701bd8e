"""How many passes fit into the time that a run may take, by how fast its models are on this machine."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.training.evaluate import logits, median_seconds

# Forward and backward pass and the optimizer, in forward passes of the same model; measured on BERT-base and MiniLM.
_TRAINING = 3.5


class Speed(NamedTuple):
  """Seconds of a forward pass of one batch; the teacher's are 0 where there is none."""

  teacher: float
  student: float


class Passes(NamedTuple):
  """Passes of each stage."""

  teacher: int
  intermediate: int
  prediction: int


def measure(teacher: SequenceClassifier | None, student: SequenceClassifier, batch_size: int, length: int) -> Speed:
  """Returns the models' speed on batches of that size, in turns, with random parameters."""
  ones = jnp.ones((batch_size, length), jnp.int32)
  batch = {"input_ids": ones, "attention_mask": ones}
  runs = {
    name: functools.partial(logits, model, initialize(model, jax.random.key(0)), batch, first_token=True)
    for name, model in (("teacher", teacher), ("student", student))
    if model is not None
  }
  seconds = median_seconds(runs, 3)
  return Speed(seconds.get("teacher", 0.0), seconds["student"])


def fit_passes(
  speed: Speed, minutes: float, *, labelled: int, transfer: int, most: Passes, trains_teacher: bool
) -> Passes:
  """Returns passes that take about `minutes`, at most those of `most`, and at least one of each.

  Args:
    speed: of the models.
    minutes: for all stages.
    labelled: batches in a pass of fine-tuning the teacher.
    transfer: batches in a pass of distillation.
    most: what nobody needs more than.
    trains_teacher: whether the teacher is fine-tuned in the run.
  """
  seconds = 60 * minutes
  teacher = 0
  if trains_teacher:
    of_pass = labelled * _TRAINING * speed.teacher
    teacher = max(1, min(most.teacher, math.floor(0.5 * seconds / max(of_pass, 1e-9))))
    seconds -= teacher * of_pass
  seconds = max(0.0, seconds - transfer * speed.teacher)  # its targets
  prediction = transfer * _TRAINING * speed.student
  intermediate = transfer * (speed.teacher + _TRAINING * speed.student)
  # What the prediction stage does not need is the intermediate stage's.
  of_prediction = max(1, min(most.prediction, math.floor(0.5 * seconds / max(prediction, 1e-9))))
  seconds -= of_prediction * prediction
  of_intermediate = max(1, min(most.intermediate, math.floor(seconds / max(intermediate, 1e-9))))
  return Passes(teacher, of_intermediate, of_prediction)


def estimate(speed: Speed, passes: Passes, *, labelled: int, transfer: int) -> dict[str, Any]:
  """Returns the minutes that each stage takes about."""
  by_stage = {
    "teacher": passes.teacher * labelled * _TRAINING * speed.teacher,
    "intermediate": passes.intermediate * transfer * (speed.teacher + _TRAINING * speed.student),
    "prediction": transfer * speed.teacher + passes.prediction * transfer * _TRAINING * speed.student,
  }
  return {name: seconds / 60 for name, seconds in by_stage.items()}

"""How many passes fit into the time that a run may take, by how fast its models are on this machine."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tinybert_jax.models.encoder import initialize
from tinybert_jax.models.heads import TaskModel
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


class Batches(NamedTuple):
  """What the passes are of.

  Attributes:
    labelled: batches in a pass of fine-tuning the teacher; 0 where it is not.
    transfer: batches in a pass of distillation.
    points: runs of prediction distillation, of which a sweep keeps the best.
    labels_alone: whether another student trains on the labels alone, for as many steps.
    layers: whether there is intermediate distillation.
  """

  labelled: int
  transfer: int
  points: int = 1
  labels_alone: bool = False
  layers: bool = True


def measure(teacher: TaskModel | None, student: TaskModel, batch_size: int, length: int) -> Speed:
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
  speed: Speed,
  minutes: float,
  batches: Batches,
  most: Passes,
  given: tuple[int | None, int | None, int | None] = (None, None, None),
) -> Passes:
  """Returns passes that take about `minutes`, at most those of `most`, and at least one of each that there is.

  Args:
    speed: of the models.
    minutes: for all stages.
    batches: in a pass.
    most: what nobody needs more than.
    given: passes of each stage that are decided already.
  """
  of_teacher, of_intermediate, of_prediction = _seconds_of_pass(speed, batches)
  seconds = 60 * minutes - batches.transfer * speed.teacher  # its targets
  teacher = 0
  if batches.labelled:
    teacher = given[0] or _fitting(0.5 * seconds, of_teacher, most.teacher)
    seconds -= teacher * of_teacher
  # What the prediction stage does not need is the intermediate stage's.
  half = 0.5 * seconds if batches.layers else 0.0
  left = seconds - (given[1] * of_intermediate if given[1] else half)
  prediction = given[2] or _fitting(left, of_prediction, most.prediction)
  if not batches.layers:
    return Passes(teacher, 0, prediction)
  intermediate = given[1] or _fitting(seconds - prediction * of_prediction, of_intermediate, most.intermediate)
  return Passes(teacher, intermediate, prediction)


def minutes(speed: Speed, passes: Passes, batches: Batches) -> float:
  """Returns the minutes that all stages take about."""
  seconds = sum(number * one for number, one in zip(passes, _seconds_of_pass(speed, batches), strict=True))
  return (seconds + batches.transfer * speed.teacher) / 60


def _seconds_of_pass(speed: Speed, batches: Batches) -> tuple[float, float, float]:
  """Returns the seconds of a pass of the teacher, of intermediate and of prediction distillation."""
  student = _TRAINING * speed.student
  return (
    batches.labelled * _TRAINING * speed.teacher,
    batches.layers * batches.transfer * (speed.teacher + (1 + batches.labels_alone) * student),
    batches.transfer * (batches.points + batches.labels_alone) * student,
  )


def _fitting(seconds: float, of_pass: float, most: int) -> int:
  return max(1, min(most, math.floor(max(0.0, seconds) / max(of_pass, 1e-9))))

"""How the stages of a run on one's own data train: what the options say, and else the paper's as far as time allows."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from tinybert_jax.data.batches import row_length
from tinybert_jax.models.heads import TaskModel
from tinybert_jax.pipeline import budget
from tinybert_jax.pipeline.budget import Batches, Passes, Speed
from tinybert_jax.pipeline.distil_settings import TrainingOptions
from tinybert_jax.pipeline.plan import planned
from tinybert_jax.pipeline.task_run import Recipes, TaskRows
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import say
from tinybert_jax.training.precision import as_inputs

SWEEP_BATCHES, SWEEP_RATES = (16, 32), (1 / 3, 2 / 3, 1)  # the paper's, as shares of the rate of this run
_EPS = 1e-8  # Adam's; BERT's damps the smallest gradients for most of a short run


@dataclasses.dataclass(frozen=True)
class Learners:
  """Who trains.

  Attributes:
    teacher: the module of the first teacher; None where targets came from elsewhere.
    trains_teacher: whether it is fine-tuned in the run.
    student: the module of the student.
    has_weights: whether the student begins with trained weights.
    labels_alone: whether another student trains on the labels alone, to compare with.
    layers: whether the teacher's layers are distilled; not between models of other tokens.
    inherits: whether the student's first weights are made from the teacher's.
  """

  teacher: TaskModel | None
  trains_teacher: bool
  student: TaskModel
  has_weights: bool
  labels_alone: bool = False
  layers: bool = True
  inherits: bool = False


def choose_recipes(options: TrainingOptions, learners: Learners, rows: TaskRows, out: Path) -> Recipes:
  """Returns how the stages train; passes that nobody gave are those of the paper that fit into `minutes`.

  Args:
    options: of the run.
    learners: who trains.
    rows: that they train on.
    out: folder of the run, which keeps what timings decided.
  """
  passes = _passes(options, learners, rows, out)
  teacher_rate, intermediate_rate, prediction_rate = _rates(options, learners)
  points = [(options.prediction_batch_size, prediction_rate)]
  if options.sweep:
    points = [(size, share * prediction_rate) for size in SWEEP_BATCHES for share in SWEEP_RATES]
  batches = math.ceil(len(rows.transfer) / options.intermediate_batch_size)
  # The labels alone train for as many steps as both stages of distillation together.
  steps = passes.intermediate * batches + passes.prediction * math.ceil(
    len(rows.transfer) / options.prediction_batch_size
  )
  return Recipes(
    teacher=Recipe(passes.teacher or 1, options.teacher_batch_size, teacher_rate, eps=_EPS),
    intermediate=Recipe(passes.intermediate, options.intermediate_batch_size, intermediate_rate, eps=_EPS),
    prediction=tuple(Recipe(passes.prediction, size, rate, eps=_EPS) for size, rate in points),
    labels=Recipe(1, options.prediction_batch_size, prediction_rate, steps, eps=_EPS),
    temperature=options.temperature,
  )


def _rates(options: TrainingOptions, learners: Learners) -> tuple[float, float, float]:
  """Returns the peak rates of teacher, intermediate and prediction distillation.

  Pretrained weights want the paper's small rates; a fresh student, and a narrow teacher, learn nothing by them. A
  student with weights made from its teacher's lies between. On a held-out part of STS-B's training split, students of
  a MiniLM kept: 2 layers x 144 (1,200 steps) 84.1% at 1e-3 and 86.8% at 5e-4; 3 layers x 384 (800 steps) 97.5% at
  5e-4, 97.7% at 2e-4, 96.5% at 1e-4.
  """
  width = learners.student.config.hidden_size
  inherited, random = (5e-4 if width <= 192 else 3e-4), (1e-3 if width <= 128 else 5e-4)
  fresh = inherited if learners.inherits else random
  teacher_width = learners.teacher.config.hidden_size if learners.teacher else width
  return (
    options.teacher_learning_rate or (3e-5 if teacher_width >= 512 else 1e-4),
    options.intermediate_learning_rate or (5e-5 if learners.has_weights else fresh),
    options.prediction_learning_rate or (3e-5 if learners.has_weights else fresh),
  )


def _passes(options: TrainingOptions, learners: Learners, rows: TaskRows, out: Path) -> Passes:
  """Returns the passes of the options, and where they give none those that fit into their minutes."""
  given = (options.teacher_epochs, options.intermediate_epochs, options.prediction_epochs)
  teacher, intermediate, prediction = given
  if teacher and intermediate and prediction:
    return Passes(teacher, intermediate if learners.layers else 0, prediction)
  labelled = 0 if rows.labelled is None else math.ceil(len(rows.labelled) / options.teacher_batch_size)
  transfer = math.ceil(len(rows.transfer) / options.prediction_batch_size)
  # Few rows need more passes: some 200 steps for the teacher, some 1,000 for the student.
  most = Passes(
    teacher=min(20, max(3, math.ceil(200 / labelled))) if labelled else 3,
    intermediate=min(50, max(20, math.ceil(1000 / transfer))),
    prediction=min(50, max(3 if learners.has_weights else 10, math.ceil(1000 / transfer))),
  )
  points = len(SWEEP_BATCHES) * len(SWEEP_RATES) if options.sweep else 1
  taught = labelled if learners.trains_teacher else 0
  batches = Batches(taught, transfer, points, learners.labels_alone, learners.layers)
  speed = _speed(learners, options.prediction_batch_size, rows, out)
  passes = budget.fit_passes(speed, options.minutes, batches, most, given)
  minutes = budget.minutes(speed, passes, batches)
  teaches = f"{passes.teacher} of the teacher, " if learners.trains_teacher else ""
  layers = f"{passes.intermediate} of intermediate and " if learners.teacher and learners.layers else ""
  say(
    f"passes   {teaches}{layers}{passes.prediction} of prediction distillation: "
    f"{_about(minutes)} (--minutes {options.minutes:g}), compiling apart"
  )
  return passes


def _about(minutes: float) -> str:
  """Returns minutes in words."""
  if minutes < 1:
    return "less than a minute"
  return "about a minute" if round(minutes) == 1 else f"about {minutes:.0f} minutes"


def _speed(learners: Learners, batch_size: int, rows: TaskRows, out: Path) -> Speed:
  """Returns the models' speed on batches of these rows; that of an earlier run in `out` where there was one."""
  length = int(np.quantile(row_length(rows.transfer), 0.7))
  length = max(8, -(-length // 8) * 8)
  teacher, student = learners.teacher, learners.student
  key = [
    "speed",
    repr(student.config),
    repr(teacher and teacher.config),
    batch_size,
    length,
    *as_inputs(student.dtype).values(),
  ]
  return Speed(**planned(out, key, lambda: budget.measure(teacher, student, batch_size, length)._asdict()))

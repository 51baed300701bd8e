"""What the options of `glue` leave to its recipe: the paper's, or for small data that of the command `distil`."""

import dataclasses
import itertools

from tinybert_jax.cli.glue_models import trains_student
from tinybert_jax.cli.glue_options import AUTO, PAPERS_EPOCHS, PAPERS_STUDENT, Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import load_config
from tinybert_jax.models.pretrained import local_directory
from tinybert_jax.pipeline import students
from tinybert_jax.pipeline.distil_settings import StudentOptions, TrainingOptions
from tinybert_jax.pipeline.recipes import Learners, choose_recipes
from tinybert_jax.pipeline.student_choice import choose_student
from tinybert_jax.pipeline.task_run import Recipes, TaskRows
from tinybert_jax.tasks.glue import GlueTask
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import say

SWEEP = tuple(itertools.product((16, 32), (1e-5, 2e-5, 3e-5)))  # batch sizes and rates that the paper chooses from
SHAPE = "student_shape.json"  # in a task's folder: the student that was chosen for its teacher
_RATE, _INTERMEDIATE_RATE = 3e-5, 5e-5  # the paper's


def settled(options: Options, row: GlueTask) -> Options:
  """Returns the options with those decided that the recipe decides before there is data: the student and its start.

  A shape that is chosen is written to the task's folder; options that are settled stay as they are.
  """
  if options.recipe == "paper":
    if options.student_width:
      raise InputError("--student-width goes with --recipe small-data; --student names a preset or a config.json")
    return dataclasses.replace(options, student=PAPERS_STUDENT if options.student == AUTO else options.student)
  options = dataclasses.replace(options, no_augment=not options.augment)
  if options.student != AUTO:
    if options.student_width:
      raise InputError(f"--student {options.student} has a width; leave out --student-width, or --student")
    is_shape = students.begins_with(options.student) is None
    return dataclasses.replace(options, student_from=options.student_from or ("teacher" if is_shape else None))
  if not trains_student(options):
    return dataclasses.replace(options, student=PAPERS_STUDENT)
  return _with_shape(options, row)


def _with_shape(options: Options, row: GlueTask) -> Options:
  """Returns the options with a student of the teacher's kind, as small and fast as `distil` has it by default."""
  teacher = load_config(local_directory(options.teacher or options.pretrained))
  folder = options.out / row.name
  chosen = choose_student(
    StudentOptions(
      student_layers=options.student_layers,
      student_width=options.student_width,
      student_dropout=options.student_dropout,
    ),
    teacher,
    None,
    options.max_length or row.max_length,
    out=folder,
    seed=options.seed,
    dtype=precision.choose(options.dtype).dtype,
    trimmed=dataclasses.replace(teacher, vocab_size=options.vocabulary) if options.vocabulary else None,
    may_trim=options.vocabulary is None,
  )
  say(f"{'':13} {chosen.reason}")
  path = folder / SHAPE
  hosts.on_first(lambda: students.write_shape(path, chosen.config))
  return dataclasses.replace(
    options,
    student=str(path),
    student_from=options.student_from or "teacher",
    student_layers=None,
    student_width=None,
    vocabulary=options.vocabulary or chosen.vocabulary,
  )


def choose(options: Options, row: GlueTask, learners: Learners, rows: TaskRows) -> Recipes:
  """Returns how the stages train.

  Args:
    options: of the run.
    row: the task's row of GLUE's table.
    learners: who trains.
    rows: that they train on.
  """
  trains = "teacher" in options.stages or trains_student(options)
  is_papers = options.recipe == "paper" or not trains
  recipes = _papers(options, row) if is_papers else _for_small_data(options, row, learners, rows)
  labels_steps = options.labels_steps
  if not options.labels_epochs and options.intermediate_steps and options.prediction_steps:
    labels_steps = labels_steps or options.intermediate_steps + options.prediction_steps
  return dataclasses.replace(
    recipes,
    intermediate=dataclasses.replace(recipes.intermediate, steps=options.intermediate_steps),
    prediction=tuple(dataclasses.replace(one, steps=options.prediction_steps) for one in recipes.prediction),
    labels=dataclasses.replace(
      recipes.labels,
      epochs=options.labels_epochs or recipes.labels.epochs,
      steps=labels_steps or (None if options.labels_epochs else recipes.labels.steps),
      learning_rate=options.labels_learning_rate or recipes.labels.learning_rate,
    ),
  )


def _papers(options: Options, row: GlueTask) -> Recipes:
  epochs, last = options.intermediate_epochs or row.intermediate_epochs, options.prediction_epochs or PAPERS_EPOCHS
  rate, batch_size = options.prediction_learning_rate or _RATE, options.prediction_batch_size
  points = SWEEP if options.sweep else ((batch_size, rate),)
  return Recipes(
    teacher=Recipe(
      options.teacher_epochs or PAPERS_EPOCHS, options.teacher_batch_size, options.teacher_learning_rate or _RATE
    ),
    intermediate=Recipe(
      epochs, options.intermediate_batch_size, options.intermediate_learning_rate or _INTERMEDIATE_RATE
    ),
    prediction=tuple(Recipe(last, *point) for point in points),
    labels=Recipe(epochs + last, batch_size, rate),
    temperature=options.temperature,
  )


def _for_small_data(options: Options, row: GlueTask, learners: Learners, rows: TaskRows) -> Recipes:
  names = (field.name for field in dataclasses.fields(TrainingOptions))
  given = {name: getattr(options, name) for name in names if hasattr(options, name)}
  return choose_recipes(TrainingOptions(**given), learners, rows, options.out / row.name)

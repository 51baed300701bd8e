"""What `experiments.glue` does where options say nothing: by the paper, and for small data."""

import json

import datasets
import pytest
from small_glue import STUDENT, TEACHER, changed

from tinybert_jax.cli import glue as program
from tinybert_jax.cli import glue_recipes
from tinybert_jax.cli.glue_options import AUTO, Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import load_config
from tinybert_jax.models.heads import SEQUENCES
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.recipes import Learners
from tinybert_jax.pipeline.task_run import TaskRows
from tinybert_jax.tasks.glue import find_task

RTE = find_task("rte")
ROWS = datasets.Dataset.from_dict({"text": ["hello"] * 7})  # of which only the number counts
ROWS = TaskRows(ROWS, ROWS, ROWS, {})


def learners(shape):
  return Learners(SEQUENCES.module(TEACHER), True, SEQUENCES.module(shape), False, inherits=True)


@pytest.fixture
def small(options):
  """The options with the recipe for small data, and none of what it decides but passes, whose choice takes timings."""
  return changed(
    options,
    recipe="small-data",
    student=AUTO,
    student_layers=1,
    student_width=8,
    no_augment=False,
    teacher_learning_rate=None,
    intermediate_learning_rate=None,
    prediction_learning_rate=None,
  )


def test_the_papers_recipe_is_the_default():
  options = glue_recipes.settled(Options("cola"), RTE)
  assert (options.student, options.student_from, options.no_augment) == ("tinybert-4l-312d", None, False)
  recipes = glue_recipes.choose(options, find_task("cola"), learners(STUDENT), ROWS)
  found = [(one.epochs, one.batch_size, one.learning_rate) for one in (recipes.teacher, recipes.intermediate)]
  assert found == [(3, 32, 3e-5), (50, 32, 5e-5)]
  assert [(one.epochs, one.batch_size, one.learning_rate) for one in recipes.prediction] == [(3, 32, 3e-5)]
  assert (recipes.labels.epochs, recipes.labels.learning_rate) == (53, 3e-5)


def test_small_data_get_a_student_of_the_teachers_kind_that_begins_with_its_weights(small):
  options = glue_recipes.settled(small, RTE)
  assert (options.student_from, options.no_augment, options.vocabulary) == ("teacher", True, None)
  shape = load_config(options.student)
  assert (shape.num_hidden_layers, shape.hidden_size, shape.vocab_size) == (1, 8, TEACHER.vocab_size)
  assert shape.hidden_dropout_prob == 0 and shape.num_attention_heads == TEACHER.num_attention_heads
  assert glue_recipes.settled(options, RTE) == options
  given = changed(options, labels_steps=7, prediction_steps=5)
  recipes = glue_recipes.choose(given, RTE, learners(shape), ROWS)
  assert (recipes.teacher.learning_rate, recipes.intermediate.learning_rate) == (1e-4, 5e-4)
  assert [(one.learning_rate, one.steps) for one in recipes.prediction] == [(5e-4, 5)]
  assert (recipes.intermediate.steps, recipes.labels.steps) == (None, 7)
  preset = glue_recipes.settled(changed(small, student="tinybert-4l-312d", student_width=None), RTE)
  assert preset.student_from == "teacher"


@pytest.mark.parametrize(
  ("changes", "problem"),
  [
    ({"recipe": "paper"}, "--student-width goes with --recipe small-data"),
    ({"student": "tinybert-4l-312d"}, "--student tinybert-4l-312d has a width; leave out"),
    ({"student_width": 7}, "--student-width 7: it must be a multiple of the teacher's 2 attention heads"),
  ],
)
def test_widths_that_say_nothing_are_refused(small, changes, problem):
  with pytest.raises(InputError, match=problem):
    program.main(changed(small, **changes))


def test_a_run_with_the_recipe_for_small_data(small, capsys):
  program.main(small)
  folder = small.out / RTE.name
  metrics = json.loads((folder / "metrics.json").read_text())
  assert (metrics["student"]["layers"], metrics["student"]["width"]) == (1, 8)
  assert metrics["options"]["recipe"] == "small-data" and metrics["data"]["augmented"] == 0
  assert stages.read_record(folder / "intermediate", "RTE")["inputs"]["student"]
  assert (folder / "inherited" / "stage.json").is_file()
  capsys.readouterr()
  program.main(small)
  assert " done " not in capsys.readouterr().out

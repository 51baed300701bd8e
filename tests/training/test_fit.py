"""What `fit` refuses before it compiles anything."""

import dataclasses

import datasets
import jax
import pytest

from tinybert_jax.distillation.objectives import fine_tuning, prediction_distillation
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.fit import Recipe, fit
from tinybert_jax.training.optim import adamw, schedule
from tinybert_jax.training.steps import random_key

CONFIG = EncoderConfig(
  vocab_size=9,
  hidden_size=4,
  num_hidden_layers=1,
  num_attention_heads=2,
  intermediate_size=4,
  max_position_embeddings=6,
)
MODEL = SequenceClassifier(CONFIG)
PARAMS = initialize(MODEL, jax.random.key(0))
RECIPE = Recipe(epochs=1, batch_size=4, learning_rate=1e-3)
pytestmark = pytest.mark.usefixtures("unchecked")


def rows(**columns):
  return datasets.Dataset.from_dict({"input_ids": [[2, 5, 3]] * 4, "labels": [0, 1, 0, 1]} | columns)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    *(("epochs", value) for value in (0, -1, 1.5)),
    *(("batch_size", value) for value in (0, -4, None)),
    *(("learning_rate", value) for value in (0, -1.0, float("nan"), float("inf"), "1e-3")),
    *(("steps", value) for value in (0, 2.0)),
    *(("warmup", value) for value in (-0.1, 1.1, float("nan"))),
    *(("eps", -1.0), ("accumulate", 0), ("buckets", 0), ("form", "x"), ("decay", "x")),
  ],
)
def test_a_recipe_out_of_bounds_is_named(tmp_path, name, value):
  with pytest.raises(InputError, match=f"{name} {value!r}: it must be"):
    fit(tmp_path, fine_tuning(MODEL), PARAMS, rows(), dataclasses.replace(RECIPE, **{name: value}))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, "a"])
def test_a_seed_is_a_whole_number_of_32_bits(tmp_path, seed):
  with pytest.raises(InputError, match=f"seed {seed!r}: it must be"):
    fit(tmp_path, fine_tuning(MODEL), PARAMS, rows(), RECIPE, seed=seed)
  with pytest.raises(InputError, match=f"seed {seed!r}: it must be"):
    random_key(seed)


@pytest.mark.parametrize(
  ("columns", "problem"),
  [
    ({"input_ids": [[2, 5, 3]] * 3 + [[2, 9]]}, "row 4: 9 among its input_ids, and the model has a vocab_size of 9"),
    ({"input_ids": [[2, 5, -1]] * 4}, "row 1: -1 among its input_ids"),
    ({"token_type_ids": [[0, 1, 2]] * 4}, "row 1: 2 among its token_type_ids"),
    ({"input_ids": [[2] * 7] * 4}, "row 1: 7 tokens, and the model has positions for 6 only"),
    ({"input_ids": [[]] * 4}, "no row has a token"),
    ({"labels": [0, 1, 2, 1]}, "row 3: the label is 2"),
  ],
)
def test_rows_that_the_model_cannot_read(tmp_path, columns, problem):
  with pytest.raises(InputError, match=problem):
    fit(tmp_path, fine_tuning(MODEL), PARAMS, rows(**columns), RECIPE)


def test_rows_that_cannot_be_predicted_name_the_model():
  with pytest.raises(InputError, match="row 1: 9 among its input_ids, and mine has a vocab_size of 9"):
    predict(MODEL, PARAMS, rows(input_ids=[[9]] * 4), name="mine")


def test_rows_are_padded_to_no_more_than_the_models_positions(tmp_path, monkeypatch):
  """Lengths are multiples of four, and the model has six positions."""

  def train(directory, update, state, teacher_params, source, **_):
    assert source.lengths == (6,)
    raise KeyboardInterrupt

  monkeypatch.setattr("tinybert_jax.training.fit.train", train)
  with pytest.raises(KeyboardInterrupt):
    fit(tmp_path, fine_tuning(MODEL), PARAMS, rows(input_ids=[[2] * 5] * 4), RECIPE)


@pytest.mark.parametrize(
  ("kind", "labels", "problem"),
  [
    (None, [[0, 1]] * 4, "labels of the shape 4x2: a model of the problem_type single_label_classification"),
    ("multi_label_classification", [0, 1, 0, 1], "labels of the shape 4: .* needs a 0 or 1 for each class a row"),
  ],
)
def test_labels_of_another_kind_of_task(kind, labels, problem):
  model = SequenceClassifier(dataclasses.replace(CONFIG, problem_type=kind))
  batch = {"input_ids": jax.numpy.full((4, 3), 2), "labels": jax.numpy.asarray(labels)}
  with pytest.raises(InputError, match=problem):
    jax.eval_shape(lambda: fine_tuning(model)(PARAMS, {}, batch, None))


def test_a_kind_of_task_without_a_loss():
  with pytest.raises(InputError, match="problem_type 'regression': 2 labels"):
    fine_tuning(SequenceClassifier(dataclasses.replace(CONFIG, problem_type="regression")))


@pytest.mark.parametrize(
  ("call", "problem"),
  [
    (lambda: predict(MODEL, PARAMS, rows(), batch_size=0), "batch_size 0: it must be a whole number at least 1"),
    (lambda: prediction_distillation(MODEL, temperature=0.0), "temperature 0.0: it must be a number above 0"),
    (lambda: prediction_distillation(MODEL, label_weight=2.0), "label_weight 2.0: it must be a number from 0 to 1"),
    (lambda: adamw(float("nan")), "learning_rate nan: it must be a number at least 0"),
    (lambda: adamw(1e-3, b1=1.0), "b1 1.0: it must be a number at least 0 and below 1"),
    (lambda: schedule(1e-3, 0), "steps 0: it must be a whole number at least 1"),
    (lambda: schedule(1e-3, 10, decay="exp"), "decay 'exp': it must be one of linear, cosine, constant"),
  ],
)
def test_arguments_out_of_bounds_are_named(call, problem):
  with pytest.raises(InputError, match=problem):
    call()

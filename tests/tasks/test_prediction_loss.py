"""What prediction distillation compares: probabilities, or the logits themselves."""

import numpy as np
import pytest
import scipy.special

from tinybert_jax.errors import InputError
from tinybert_jax.tasks.classification import Classification, MultiLabel
from tinybert_jax.tasks.own_task import with_loss
from tinybert_jax.tasks.regression import Regression
from tinybert_jax.tasks.tokens import Tokens

LABELS = ("a", "b", "c")
OURS, THEIRS = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
WEIGHT = np.array([1, 0, 2, 1], np.float32)


@pytest.mark.parametrize("kind", [Classification, MultiLabel])
def test_logits_are_compared_by_their_squared_error(kind):
  total, weight = with_loss(kind("x", LABELS), "logits").target_loss(OURS, THEIRS, {"example_weight": WEIGHT})
  error = ((OURS.astype(np.float64) - THEIRS) ** 2).mean(-1)
  np.testing.assert_allclose(total / weight, (error * WEIGHT).sum() / WEIGHT.sum(), rtol=1e-6)


def test_soft_is_the_papers_loss_and_the_default():
  expected = -(scipy.special.softmax(THEIRS, -1) * scipy.special.log_softmax(OURS, -1)).sum(-1).mean()
  for loss in ("soft", None):
    total, weight = with_loss(Classification("x", LABELS), loss).target_loss(OURS, THEIRS, {})
    np.testing.assert_allclose(total / weight, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [Classification, MultiLabel])
def test_a_stage_knows_by_which_loss_it_was_made(kind):
  soft, logits = (with_loss(kind("x", LABELS), loss).loss_settings for loss in ("soft", "logits"))
  assert soft == {} and logits == {"loss": "logits"}  # finished stages of before stay good


def test_squared_errors_have_no_temperature_and_other_tasks_no_choice():
  with pytest.raises(InputError, match="--temperature 2 is of --prediction-loss soft"):
    with_loss(Classification("x", LABELS), "logits", temperature=2.0)
  regression = Regression("x", ("score",))
  assert with_loss(regression, "logits") is regression
  for task in (regression, Tokens("x", LABELS)):
    with pytest.raises(InputError, match="--prediction-loss soft is of classes"):
      with_loss(task, "soft")

"""Metrics against cases computed by hand."""

import math
import warnings

import numpy as np
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.tasks.metrics import METRICS, multi_label_score, score

LABELS = np.array([1, 1, 1, 0, 0, 0, 0, 1])
PREDICTIONS = np.array([1, 1, 0, 0, 0, 1, 0, 0])  # 2 true positives, 1 false, 2 false negatives, 3 true


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("accuracy", 5 / 8),
    ("f1", 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)),
    ("matthews_correlation", (2 * 3 - 1 * 2) / math.sqrt(3 * 4 * 4 * 5)),
  ],
)
def test_classes(name, expected):
  assert METRICS[name](PREDICTIONS, LABELS) == pytest.approx(expected)


def test_correlations():
  values, scores = np.array([1.0, 2.0, 4.0, 4.0]), np.array([0.0, 1.0, 3.0, 2.0])
  # By hand: deviations (-1.75, -0.75, 1.25, 1.25) and (-1.5, -0.5, 1.5, 0.5).
  pearson = (2.625 + 0.375 + 1.875 + 0.625) / math.sqrt((3.0625 + 0.5625 + 1.5625 * 2) * 5)
  # Ranks (1, 2, 3.5, 3.5) and (1, 2, 4, 3).
  spearman = (2.25 + 0.25 + 1.5 + 0.5) / math.sqrt((2.25 + 0.25 + 1 + 1) * 5)
  assert METRICS["pearson"](values, scores) == pytest.approx(pearson)
  assert METRICS["spearman"](values, scores) == pytest.approx(spearman)


@pytest.mark.parametrize("constant", [0.0, 2.7, 1e-20])
def test_constant_predictions_have_no_correlation(constant):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for name in ("pearson", "spearman"):
      assert METRICS[name](np.full(4, np.float32(constant)), np.arange(4.0)) == 0
    for predicted in (0, 1):
      assert METRICS["matthews_correlation"](np.full(8, predicted), LABELS) == 0
    assert METRICS["f1"](np.zeros(8, int), LABELS) == 0
    assert METRICS["f1"](np.ones(8, int), LABELS) == pytest.approx(2 / 3)
    assert METRICS["accuracy"](np.zeros(8, int), LABELS) == 0.5


def test_score_takes_classes_or_values_from_logits():
  logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
  assert score(["accuracy"], logits, np.array([1, 0, 0, 1])) == {"accuracy": 0.5}
  values = np.array([[1.0], [2.0], [3.0]], np.float32)
  assert score(["pearson", "spearman"], values, np.array([2.0, 4.0, 6.0])) == pytest.approx(
    {"pearson": 1.0, "spearman": 1.0}
  )


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_no_metric_takes_a_number_that_is_not_finite(wrong):
  labels = np.array([0, 1, 1])
  logits = np.array([[1.0, 0.0], [0.0, wrong], [0.0, 1.0]])
  with pytest.raises(InputError, match=r"predictions: 1 of 3 rows are not finite .*the first is row 2"):
    score(["accuracy"], logits, labels)
  with pytest.raises(InputError, match="predictions: 1 of 3 rows"):
    multi_label_score(logits, logits > 0.5, np.eye(3, 2) > 0)
  for name in ("pearson", "spearman"):
    with pytest.raises(InputError, match="predictions: 1 of 3 rows"):
      METRICS[name](logits[:, 1], labels)
    with pytest.raises(InputError, match="labels: 1 of 3 rows"):
      score([name], np.zeros((3, 1)), logits[:, 1])

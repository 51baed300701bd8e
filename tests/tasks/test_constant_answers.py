"""The constant answer that each kind of task is compared with, by hand."""

import numpy as np
import pytest

from tinybert_jax.tasks.classification import Classification, MultiLabel
from tinybert_jax.tasks.regression import Regression


def test_a_classification_always_answers_its_most_frequent_class():
  majority = Classification("t", ("a", "b", "c")).details({}, np.array([1, 0, 1, 2]))["majority"]
  assert majority["label"] == "b" and majority["accuracy"] == 0.5
  # Class b has precision 2/4 and recall 1, so an F1 of 2/3; the others have 0.
  assert majority["macro_f1"] == pytest.approx(2 / 9)


def test_several_labels_are_always_the_most_frequent_set():
  labels = np.array([[1, 0, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]], float)
  majority = MultiLabel("t", ("a", "b", "c")).details({}, labels)["majority"]
  assert majority["label"] == ["a", "c"] and majority["exact_match"] == pytest.approx(2 / 5)
  # Of ten decisions for a and c six are right; no c is missed, nor an a, and the one b is.
  assert majority["micro_f1"] == pytest.approx(2 * 6 / (2 * 6 + 4 + 1))
  # A constant ranks nothing, so each class's average precision is its share of the rows.
  assert majority["average_precision"] == pytest.approx(np.mean([4 / 5, 1 / 5, 2 / 5]))


def test_no_label_may_be_the_most_frequent_set():
  majority = MultiLabel("t", ("a", "b"), (0.1, 0.9)).details({}, np.array([[0, 0], [0, 0], [1, 0]]))["majority"]
  assert majority["label"] == [] and majority["exact_match"] == pytest.approx(2 / 3)


def test_a_regression_always_answers_the_mean():
  majority = Regression("t").details({}, np.array([1.0, 2.0, 6.0]))["majority"]
  assert (majority["label"], majority["pearson"], majority["spearman"]) == ("the mean", 0, 0)
  assert majority["mse"] == pytest.approx((4 + 1 + 9) / 3)

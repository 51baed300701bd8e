"""Metrics of predictions against labels as GLUE defines them, from scikit-learn and scipy."""

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.stats
import sklearn.metrics
from jaxtyping import Float, Num


def accuracy(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns the share of rows whose class is the label's."""
  return float(sklearn.metrics.accuracy_score(labels, predictions))


def f1(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns the F1 of class 1; 0 where neither predictions nor labels have any."""
  return float(sklearn.metrics.f1_score(labels, predictions, zero_division=0))


def matthews_correlation(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns Matthews' correlation coefficient; 0 where one side is constant."""
  return float(sklearn.metrics.matthews_corrcoef(labels, predictions))


def pearson(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns Pearson's correlation; 0 where it is undefined, one side being constant."""
  return _defined(scipy.stats.pearsonr, predictions, labels)


def spearman(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns Spearman's rank correlation, ties with their mean rank; 0 where one side is constant."""
  return _defined(scipy.stats.spearmanr, predictions, labels)


METRICS = {metric.__name__: metric for metric in (accuracy, f1, matthews_correlation, pearson, spearman)}


def score(names: Sequence[str], logits: Float[np.ndarray, "N C"], labels: Num[np.ndarray, " N"]) -> dict[str, float]:
  """Returns the metrics `names` of a model's logits, by name.

  Args:
    names: of METRICS.
    logits: the predicted class is the largest's; with a single column, a regression, the value itself.
    labels: class numbers, or values.
  """
  predictions = logits[:, 0] if logits.shape[-1] == 1 else np.argmax(logits, axis=-1)
  return {name: METRICS[name](predictions, labels) for name in names}


def _defined(correlation, predictions: np.ndarray, labels: np.ndarray) -> float:
  # Within rounding of a constant, scipy would correlate the rounding and warn of it.
  if any(np.ptp(side) <= 1e-12 * np.max(np.abs(side)) for side in (predictions, labels)):
    return 0.0
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", scipy.stats.NearConstantInputWarning)
    return float(correlation(np.asarray(predictions, np.float64), np.asarray(labels, np.float64)).statistic)

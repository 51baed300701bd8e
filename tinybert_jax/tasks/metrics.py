"""Metrics of predictions against labels as GLUE defines them, from scikit-learn and scipy."""

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.stats
import sklearn.metrics
from jaxtyping import Bool, Float, Num, Shaped

from tinybert_jax.errors import InputError


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


def macro_f1(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns the mean of the classes' F1, over the classes that labels or predictions have."""
  return float(sklearn.metrics.f1_score(labels, predictions, average="macro", zero_division=0))


def micro_f1(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns the F1 of all classes' decisions together, which for one class a row is the accuracy."""
  return float(sklearn.metrics.f1_score(labels, predictions, average="micro", zero_division=0))


def mse(predictions: Num[np.ndarray, " N"], labels: Num[np.ndarray, " N"]) -> float:
  """Returns the mean squared error."""
  return float(sklearn.metrics.mean_squared_error(labels, predictions))


METRICS = {
  metric.__name__: metric for metric in (accuracy, f1, macro_f1, micro_f1, matthews_correlation, pearson, spearman, mse)
}


def multi_label_score(
  probabilities: Float[np.ndarray, "N C"], given: Bool[np.ndarray, "N C"], labels: Bool[np.ndarray, "N C"]
) -> dict[str, float]:
  """Returns average precision (mean over the classes that have a row), macro and micro F1, and exact match.

  Args:
    probabilities: of each class.
    given: the classes that the model gives.
    labels: the classes that each row has.

  Raises:
    InputError: probabilities that are not finite.
  """
  _check_finite("predictions", probabilities)
  columns = [average_precision(*both) for both in zip(labels.T, probabilities.T, strict=True)]
  by_class = [value for value in columns if value is not None]
  return {
    "average_precision": float(np.mean(by_class)) if by_class else 0.0,
    "macro_f1": float(sklearn.metrics.f1_score(labels, given, average="macro", zero_division=0)),
    "micro_f1": float(sklearn.metrics.f1_score(labels, given, average="micro", zero_division=0)),
    "exact_match": float(np.mean((given == labels).all(-1))),
  }


def per_class(
  names: Sequence[str], labels: Shaped[np.ndarray, "..."], given: Shaped[np.ndarray, "..."]
) -> dict[str, dict[str, float | None]]:
  """Returns precision, recall, F1 and the number of rows of each class.

  Args:
    names: of the classes.
    labels: class numbers, or N×C for several classes a row.
    given: likewise, what the model gives.
  """
  numbers = np.arange(len(names)) if labels.ndim == 1 else None
  measured = sklearn.metrics.precision_recall_fscore_support(
    labels, given, labels=numbers, average=None, zero_division=0
  )
  precision, recall, f1, support = measured
  return {
    name: {
      "precision": float(precision[number]),
      "recall": float(recall[number]),
      "f1": float(f1[number]),
      "support": int(support[number]),
    }
    for number, name in enumerate(names)
  }


def confusion(classes: int, labels: Num[np.ndarray, " N"], given: Num[np.ndarray, " N"]) -> list[list[int]]:
  """Returns the number of rows of each class, by the class that the model gives them."""
  return sklearn.metrics.confusion_matrix(labels, given, labels=np.arange(classes)).tolist()


def average_precision(labels: Bool[np.ndarray, " N"], probabilities: Float[np.ndarray, " N"]) -> float | None:
  """Returns the average precision of one class; None where no row has it."""
  return float(sklearn.metrics.average_precision_score(labels, probabilities)) if labels.any() else None


def best_threshold(labels: Bool[np.ndarray, " N"], probabilities: Float[np.ndarray, " N"]) -> float:
  """Returns the probability of the best F1 from which to give a class; one half where no row has it."""
  if not labels.any():
    return 0.5
  precision, recall, cuts = sklearn.metrics.precision_recall_curve(labels, probabilities)
  f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
  return float(cuts[f1[:-1].argmax()])


def score(names: Sequence[str], logits: Float[np.ndarray, "N C"], labels: Num[np.ndarray, " N"]) -> dict[str, float]:
  """Returns the metrics `names` of a model's logits, by name.

  Args:
    names: of METRICS.
    logits: the predicted class is the largest's; with a single column, a regression, the value itself.
    labels: class numbers, or values.

  Raises:
    InputError: logits or labels that are not finite.
  """
  _check_finite("predictions", logits)
  _check_finite("labels", labels)
  predictions = logits[:, 0] if logits.shape[-1] == 1 else np.argmax(logits, axis=-1)
  return {name: METRICS[name](predictions, labels) for name in names}


def _defined(correlation, predictions: np.ndarray, labels: np.ndarray) -> float:
  for name, values in (("predictions", predictions), ("labels", labels)):
    _check_finite(name, values)
  # Within rounding of a constant, scipy would correlate the rounding and warn of it.
  if any(np.ptp(side) <= 1e-12 * np.max(np.abs(side)) for side in (predictions, labels)):
    return 0.0
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", scipy.stats.NearConstantInputWarning)
    return float(correlation(np.asarray(predictions, np.float64), np.asarray(labels, np.float64)).statistic)


def _check_finite(name: str, values: Num[np.ndarray, "..."]) -> None:
  """Raises InputError for numbers of which the largest, or the mean, would be meaningless."""
  wrong = ~np.isfinite(np.asarray(values)).reshape(len(values), -1).all(-1)
  if wrong.any():
    raise InputError(
      f"{name}: {wrong.sum():,} of {len(wrong):,} rows are not finite (NaN or infinite); the first is row "
      f"{wrong.argmax() + 1:,}"
    )

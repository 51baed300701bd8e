"""Metrics of predictions against labels, from scikit-learn and scipy."""

from collections.abc import Mapping

import numpy as np
from sklearn import metrics


def accuracy(logits: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
  """Returns the share of rows whose largest logit is the label's."""
  return {"accuracy": float(metrics.accuracy_score(labels, np.argmax(logits, axis=-1)))}

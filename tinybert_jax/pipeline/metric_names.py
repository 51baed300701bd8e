"""Names of metrics, terms and stages as people write them, and the score among a model's metrics."""

import math
from collections.abc import Mapping
from typing import Any

_SPELLINGS = {"f1": "F1", "mse": "MSE", "rmse": "RMSE", "mae": "MAE", "ndcg": "nDCG", "mrr": "MRR"}
_SPELLINGS |= {name: name.capitalize() for name in ("pearson", "spearman", "matthews")}


def words(name: str) -> str:
  """Returns the name of a metric, term or stage as people write it: "macro F1" for "macro_f1"."""
  words = [_SPELLINGS.get(word, word) for word in str(name).split("_")]
  return " ".join(words)


def score_name(metrics: Mapping[str, Any]) -> str:
  """Returns what a run's score is: the main metric, or the mean of several."""
  names = [words(name) for name in metrics.get("ranked_by") or [metrics.get("main_metric", "score")]]
  return names[0] if len(names) == 1 else f"mean of {' and '.join(names)}"


def baseline_name(metrics: Mapping[str, Any]) -> str:
  """Returns what a run's constant answer is called."""
  return "mean baseline" if metrics.get("kind") == "regression" else "majority baseline"


def score_of(side: Mapping[str, Any] | None, main: str) -> float | None:
  """Returns a model's score by the main metric; None where it has none."""
  side = side or {}
  score = side.get("score", side.get(main))
  return None if score is None or math.isnan(score) else score

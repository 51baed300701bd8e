"""What a run's metrics hold: its models, the metrics that they have, and the cells of those in a table."""

import numbers
from collections.abc import Mapping
from typing import Any

from tinybert_jax.pipeline.metric_names import baseline_name, score_of
from tinybert_jax.pipeline.report.wording import is_known, scaled

_NOT_METRICS = {"parameters", "flops", "latency_ms", "throughput", "layers", "width", "heads", "score", "seconds"}
# What an agreement counts, of kinds of task in which it is not rows.
_COUNTED = {"multi_label": "labels", "ranking": "pairs of passages", "tokens": "words", "spans": "questions"}


def models_of(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
  """Returns the models' names, as rows of a table have them, and their metrics."""
  models = []
  for key, name in (
    ("teacher", "teacher"),
    ("student", "student"),
    ("prediction stage alone", "student, last stage alone"),
    ("labels alone", "student, labels alone"),
    ("majority", baseline_name(metrics)),
  ):
    if metrics.get(key):
      models.append((str(metrics[key].get("name", name)), metrics[key]))
  return models


def metric_names(metrics: Mapping[str, Any]) -> list[str]:
  """Returns the keys of the metrics that a model has, the main one first."""
  sides = [metrics.get("teacher", {}), metrics["student"]]
  main = metrics.get("main_metric", "score")
  keys = [main] if any(score_of(side, main) is not None for side in sides) else []
  keys += [
    key
    for side in sides
    for key, value in side.items()
    if key not in _NOT_METRICS and isinstance(value, numbers.Real) and not isinstance(value, bool)
  ]
  return list(dict.fromkeys(keys))


def score_cell(side: Mapping[str, Any], key: str, metrics: Mapping[str, Any]) -> str:
  """Returns a model's metric times 100, an error as it is; empty where it has none."""
  value = side.get(key, side.get("score") if key == metrics.get("main_metric", "score") else None)
  if not is_known(value):
    return ""
  if _is_error(key):
    return f"{value:.4g}"
  # One row of a small test set is more than a hundredth of a point.
  return f"{100 * value:.{2 if (measured_rows(metrics) or 0) >= 1000 else 1}f}"


def class_cell(value: Any, key: str) -> str:
  """Returns a score of a class times 100, a threshold as it is."""
  return scaled(value, 1, ".2f") if key == "threshold" else scaled(value, 100, ".1f")


def _is_error(key: str) -> bool:
  return key in {"mse", "rmse", "mae"} or key.endswith(("_error", "_loss"))


def measured_rows(metrics: Mapping[str, Any]) -> int | None:
  """Returns the number of rows that the metrics were measured on, where it is known."""
  return metrics["data"].get(metrics.get("split", "test"))


def agrees_by(metrics: Mapping[str, Any]) -> str:
  """Returns what an agreement is: a "share" of rows, a "correlation", or of embeddings their mean "cosine"."""
  if metrics["kind"] == "embeddings":
    return "cosine" if score_of(metrics["student"], metrics["main_metric"]) is None else "correlation"
  return "correlation" if metrics["kind"] == "regression" else "share"


def what_agrees(metrics: Mapping[str, Any]) -> str:
  """Returns what an agreement counts: rows, or what a kind of task has in their place."""
  return _COUNTED.get(metrics["kind"], "rows")

"""Regression: a number a row."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import datasets
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Float

from tinybert_jax.data.batches import tokenize_rows
from tinybert_jax.distillation.losses import WeightedSum, logit_loss, weighted_sum
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.heads import SEQUENCES
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.tasks.task import as_they_are, labels_of


@dataclasses.dataclass(frozen=True)
class Regression:
  """A number a row; the student learns from the teacher's output, as in the paper.

  Attributes:
    name: of the data set.
    labels: the name of the number.
    metrics: names from `metrics.METRICS`.
    ranked_by: the metrics whose mean is the score.
  """

  name: str
  labels: tuple[str, ...] = ("score",)
  metrics: tuple[str, ...] = ("pearson", "spearman", "mse")
  ranked_by: tuple[str, ...] = ("pearson",)
  kind = "regression"
  head = SEQUENCES
  problem_type = "regression"
  label_columns = ("labels",)

  @property
  def main_metric(self) -> str:
    return self.ranked_by[0]

  joined, truth = staticmethod(as_they_are), staticmethod(labels_of)

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    return tokenize_rows(tokenizer, rows, max_length)

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    return weighted_sum(jnp.square(logits[:, 0] - batch["labels"]), batch.get("example_weight"))

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float = 1.0
  ) -> WeightedSum:
    return logit_loss(logits, targets, batch.get("example_weight"))

  def combine_targets(
    self, logits: list[Float[np.ndarray, "N C"]], weights: tuple[float, ...]
  ) -> Float[np.ndarray, "N C"]:
    """Returns the weighted mean; one teacher's output as it is."""
    return logits[0] if len(logits) == 1 else np.average(logits, axis=0, weights=weights).astype(np.float32)

  def score(self, logits: Float[np.ndarray, "N C"], labels: Any) -> dict[str, float]:
    from tinybert_jax.tasks import metrics  # loads scikit-learn, for which the first line of a run need not wait

    return metrics.score(self.metrics, logits, np.asarray(labels))

  def agreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> float:
    from tinybert_jax.tasks import metrics

    return metrics.pearson(logits[:, 0], others[:, 0])

  def details(self, logits: Mapping[str, Float[np.ndarray, "N C"]], labels: Any) -> dict[str, Any]:
    labels = np.asarray(labels, np.float64)
    mean = np.full((len(labels), 1), labels.mean())
    shown = np.linspace(0, len(labels) - 1, min(len(labels), 1000)).astype(int)  # a picture of more is a blot
    return {
      "majority": {**self.score(mean, labels), "label": "the mean"},
      "predictions": {
        "label": labels[shown].tolist(),
        **{name: np.asarray(values[shown, 0], np.float64).tolist() for name, values in logits.items()},
      },
    }

  def probabilities(self, logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Returns the numbers as they are."""
    return logits

  def answers(self, logits: Float[np.ndarray, "N C"]) -> list[dict[str, Any]]:
    return [{"answer": float(value)} for value in logits[:, 0]]

  def columns(self, logits: Float[np.ndarray, "N C"], rows: datasets.Dataset) -> dict[str, pa.Array]:
    return {"prediction": pa.array([answer["answer"] for answer in self.answers(logits)], pa.float32())}

  def written(self, text: Mapping[str, Any]) -> float:
    return float(text["label"])

  def disagreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> Float[np.ndarray, " N"]:
    return np.abs(logits[:, 0] - others[:, 0])

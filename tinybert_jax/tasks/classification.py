"""Classification: one label a row, or several."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import optax
import pyarrow as pa
import scipy.special
from jaxtyping import Array, Float

from tinybert_jax.data.batches import tokenize_rows
from tinybert_jax.distillation.losses import (
  WeightedSum,
  binary_prediction_loss,
  logit_loss,
  prediction_loss,
  weighted_sum,
)
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.heads import SEQUENCES
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.tasks.task import as_they_are, labels_of


@dataclasses.dataclass(frozen=True)
class Classification:
  """One class a row, by a softmax over the logits.

  Attributes:
    name: of the data set.
    labels: class names in the order of the logits.
    metrics: names from `metrics.METRICS`.
    ranked_by: the metrics whose mean is the score.
    match_logits: whether the student's loss is the squared error of the logits, in place of the paper's soft
      cross-entropy.
  """

  name: str
  labels: tuple[str, ...]
  metrics: tuple[str, ...] = ("accuracy", "macro_f1", "micro_f1")
  ranked_by: tuple[str, ...] = ("accuracy",)
  match_logits: bool = False
  kind = "classification"
  head = SEQUENCES
  problem_type = "single_label_classification"
  label_columns = ("labels",)

  @property
  def main_metric(self) -> str:
    return self.ranked_by[0]

  @property
  def loss_settings(self) -> dict[str, Any]:
    """Returns what else the loss on targets depends on."""
    return _loss_settings(self.match_logits)

  joined, truth = staticmethod(as_they_are), staticmethod(labels_of)

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    return tokenize_rows(tokenizer, rows, max_length)

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    error = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
    return weighted_sum(error, batch.get("example_weight"))

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float = 1.0
  ) -> WeightedSum:
    if self.match_logits:
      return logit_loss(logits, targets, batch.get("example_weight"))
    return prediction_loss(logits, targets, batch.get("example_weight"), temperature=temperature)

  def combine_targets(
    self, logits: list[Float[np.ndarray, "N C"]], weights: tuple[float, ...]
  ) -> Float[np.ndarray, "N C"]:
    """Returns the logarithm of the weighted mean of the probabilities; one teacher's logits as they are."""
    if len(logits) == 1:
      return logits[0]
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    parts = [np.log(share) + scipy.special.log_softmax(each, -1) for each, share in zip(logits, shares, strict=True)]
    return scipy.special.logsumexp(parts, axis=0).astype(np.float32)

  def score(self, logits: Float[np.ndarray, "N C"], labels: Any) -> dict[str, float]:
    from tinybert_jax.tasks import metrics  # loads scikit-learn, for which the first line of a run need not wait

    return metrics.score(self.metrics, logits, np.asarray(labels))

  def agreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> float:
    return float(np.mean(logits.argmax(-1) == others.argmax(-1)))

  def details(self, logits: Mapping[str, Float[np.ndarray, "N C"]], labels: Any) -> dict[str, Any]:
    from tinybert_jax.tasks import metrics

    labels = np.asarray(labels)
    chosen = {name: values.argmax(-1) for name, values in logits.items()}
    most = int(np.bincount(labels, minlength=len(self.labels)).argmax())
    constant = np.eye(len(self.labels), dtype=np.float32)[np.full(len(labels), most)]
    return {
      "majority": {**self.score(constant, labels), "label": self.labels[most]},
      "per_class": {name: metrics.per_class(self.labels, labels, values) for name, values in chosen.items()},
      "confusion": {
        "labels": list(self.labels),
        **{name: metrics.confusion(len(self.labels), labels, values) for name, values in chosen.items()},
      },
    }

  def probabilities(self, logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Returns the softmax."""
    return scipy.special.softmax(logits, axis=-1)

  def answers(self, logits: Float[np.ndarray, "N C"]) -> list[dict[str, Any]]:
    probabilities = self.probabilities(logits)
    return [{"answer": self.labels[row.argmax()], "probability": float(row.max())} for row in probabilities]

  def columns(self, logits: Float[np.ndarray, "N C"], rows: datasets.Dataset) -> dict[str, pa.Array]:
    return _columns(self.labels, self.probabilities(logits), self.answers(logits))

  def written(self, text: Mapping[str, Any]) -> str:
    return self.labels[text["label"]]

  def disagreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> Float[np.ndarray, " N"]:
    ours, theirs = scipy.special.softmax(logits, -1), scipy.special.softmax(others, -1)
    return np.where(ours.argmax(-1) == theirs.argmax(-1), 0, np.abs(ours - theirs).sum(-1) / 2)


@dataclasses.dataclass(frozen=True)
class MultiLabel:
  """Any number of classes a row, each by a sigmoid of its logit.

  Attributes:
    name: of the data set.
    labels: class names in the order of the logits.
    thresholds: the probability from which each class is given; one for all, or one a class.
    match_logits: whether the student's loss is the squared error of the logits, in place of the binary cross-entropy.
  """

  name: str
  labels: tuple[str, ...]
  thresholds: tuple[float, ...] = (0.5,)
  match_logits: bool = False
  kind = "multi_label"
  head = SEQUENCES
  problem_type = "multi_label_classification"
  label_columns = ("labels",)
  main_metric = "average_precision"
  ranked_by = ("average_precision",)

  @property
  def loss_settings(self) -> dict[str, Any]:
    """Returns what else the loss on targets depends on."""
    return _loss_settings(self.match_logits)

  joined, truth = staticmethod(as_they_are), staticmethod(labels_of)

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    return tokenize_rows(tokenizer, rows, max_length)

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    error = optax.sigmoid_binary_cross_entropy(logits, batch["labels"]).mean(-1)
    return weighted_sum(error, batch.get("example_weight"))

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float = 1.0
  ) -> WeightedSum:
    if self.match_logits:
      return logit_loss(logits, targets, batch.get("example_weight"))
    return binary_prediction_loss(logits, targets, batch.get("example_weight"), temperature=temperature)

  def combine_targets(
    self, logits: list[Float[np.ndarray, "N C"]], weights: tuple[float, ...]
  ) -> Float[np.ndarray, "N C"]:
    """Returns the logit of the weighted mean of the probabilities; one teacher's logits as they are."""
    if len(logits) == 1:
      return logits[0]
    mean = np.average([scipy.special.expit(each.astype(np.float64)) for each in logits], axis=0, weights=weights)
    return scipy.special.logit(np.clip(mean, 1e-7, 1 - 1e-7)).astype(np.float32)

  def given(self, logits: Float[np.ndarray, "N C"]) -> np.ndarray:
    """Returns which classes are given to each row."""
    return scipy.special.expit(logits) >= np.asarray(self.thresholds)

  def score(self, logits: Float[np.ndarray, "N C"], labels: Any) -> dict[str, float]:
    from tinybert_jax.tasks import metrics

    return metrics.multi_label_score(scipy.special.expit(logits), self.given(logits), np.asarray(labels) > 0.5)

  def tuned(self, logits: Float[np.ndarray, "N C"], labels: Any) -> "MultiLabel":
    """Returns this task with the threshold of each class that gives it the best F1 on these rows."""
    from tinybert_jax.tasks import metrics

    truth, probabilities = np.asarray(labels) > 0.5, scipy.special.expit(logits)
    best = [metrics.best_threshold(*both) for both in zip(truth.T, probabilities.T, strict=True)]
    return dataclasses.replace(self, thresholds=tuple(best))

  def agreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> float:
    return float(np.mean(self.given(logits) == self.given(others)))

  def details(self, logits: Mapping[str, Float[np.ndarray, "N C"]], labels: Any) -> dict[str, Any]:
    from tinybert_jax.tasks import metrics

    truth = np.asarray(labels) > 0.5
    thresholds = np.broadcast_to(self.thresholds, len(self.labels))
    per_class = {}
    for name, values in logits.items():
      given, probabilities = self.given(values), scipy.special.expit(values)
      per_class[name] = metrics.per_class(self.labels, truth, given)
      for number, label in enumerate(self.labels):
        precision = metrics.average_precision(truth[:, number], probabilities[:, number])
        per_class[name][label] |= {"average_precision": precision, "threshold": float(thresholds[number])}
    sets, counts = np.unique(truth, axis=0, return_counts=True)
    most = sets[counts.argmax()]
    constant = np.broadcast_to(np.where(most, 30.0, -30.0), truth.shape)
    names = [label for label, is_given in zip(self.labels, most, strict=True) if is_given]
    return {"majority": {**self.score(constant, truth), "label": names}, "per_class": per_class}

  def probabilities(self, logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Returns the sigmoid of each logit."""
    return scipy.special.expit(logits)

  def answers(self, logits: Float[np.ndarray, "N C"]) -> list[dict[str, Any]]:
    probabilities, given = scipy.special.expit(logits), self.given(logits)
    return [
      {
        "answer": [label for label, is_given in zip(self.labels, row, strict=True) if is_given],
        "probability": float(values[row].min()) if row.any() else float(values.max()),
      }
      for values, row in zip(probabilities, given, strict=True)
    ]

  def columns(self, logits: Float[np.ndarray, "N C"], rows: datasets.Dataset) -> dict[str, pa.Array]:
    answers = [{**answer, "answer": "|".join(answer["answer"])} for answer in self.answers(logits)]
    return _columns(self.labels, self.probabilities(logits), answers)

  def written(self, text: Mapping[str, Any]) -> list[str]:
    return [name for name, has in zip(self.labels, text["label"], strict=True) if has > 0.5]

  def disagreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> Float[np.ndarray, " N"]:
    differ = self.given(logits) != self.given(others)
    return (np.abs(scipy.special.expit(logits) - scipy.special.expit(others)) * differ).sum(-1)


def _loss_settings(match_logits: bool) -> dict[str, Any]:
  return {"loss": "logits"} if match_logits else {}


def _columns(
  labels: Sequence[str], probabilities: Float[np.ndarray, "N C"], answers: Sequence[Mapping[str, Any]]
) -> dict[str, pa.Array]:
  """Returns the answer of each text, its probability, and the probability of each class."""
  return {
    "prediction": pa.array([answer["answer"] for answer in answers], pa.string()),
    "probability": pa.array([answer["probability"] for answer in answers], pa.float32()),
    **{
      f"probability_{label}": pa.array(probabilities[:, number].tolist(), pa.float32())
      for number, label in enumerate(labels)
    },
  }

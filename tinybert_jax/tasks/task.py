"""What the pipeline needs of a kind of task; a new kind is a class of these, in a file of its own."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import datasets
import numpy as np
from jaxtyping import Array, Float

from tinybert_jax.distillation.losses import WeightedSum
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.tokenizer_type import Tokenizer


@runtime_checkable
class Task(Protocol):
  """A kind of task on a data set.

  Attributes:
    name: of the data set; of a word or two.
    kind: "classification", "multi_label" or "regression".
    problem_type: what Hugging Face calls it in `config.json`.
    labels: class names in the order of the logits; a regression has one.
    main_metric: the metric that stands for the others in a table.
    ranked_by: the metrics whose mean is the score.
  """

  @property
  def name(self) -> str: ...

  @property
  def labels(self) -> tuple[str, ...]: ...

  @property
  def kind(self) -> str: ...

  @property
  def problem_type(self) -> str: ...

  @property
  def main_metric(self) -> str: ...

  @property
  def ranked_by(self) -> tuple[str, ...]: ...

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    """Returns the token rows of `rows`, whose columns are `text` and any of `pair` and `label`."""
    ...

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    """Returns the loss on the labels."""
    ...

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float
  ) -> WeightedSum:
    """Returns the loss on the teacher's targets, which are logits."""
    ...

  def combine_targets(
    self, logits: list[Float[np.ndarray, "N C"]], weights: tuple[float, ...]
  ) -> Float[np.ndarray, "N C"]:
    """Returns the targets that several teachers' logits make together."""
    ...

  def score(self, logits: Float[np.ndarray, "N C"], labels: Any) -> dict[str, float]:
    """Returns the metrics by name; the mean of those in `ranked_by` is the score."""
    ...

  def agreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> float:
    """Returns how far two models' answers are the same: a share of rows, or a correlation."""
    ...

  def details(self, logits: Mapping[str, Float[np.ndarray, "N C"]], labels: Any) -> dict[str, Any]:
    """Returns what a report shows beside the metrics: per class, confusion, the majority's answer, values."""
    ...

  def probabilities(self, logits: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    """Returns each class's probability; of a regression the numbers as they are."""
    ...

  def answers(self, logits: Float[np.ndarray, "N C"]) -> list[dict[str, Any]]:
    """Returns each row's `answer`, and `probability` where there is one."""
    ...

  def disagreement(self, logits: Float[np.ndarray, "N C"], others: Float[np.ndarray, "N C"]) -> Float[np.ndarray, " N"]:
    """Returns how far two models are apart on each row; 0 where they answer alike."""
    ...

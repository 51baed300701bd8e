"""What the pipeline needs of a kind of task; a new kind is a class of these, in a file of its own.

The pipeline reads a task's models as follows. `tokenize` cuts texts into token rows, one or several a text. The head's
module gives logits of each row, or of each token; for distillation, the teacher's are cached. `joined` makes of them
the outputs, what is said of each text; `outputs[[3, 5]]` are those of some texts. `score`, `agreement`, `answers` and
the like compare outputs with each other, and with what `truth` takes from the token rows.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import datasets
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Float

from tinybert_jax.data.ragged import Ragged
from tinybert_jax.distillation.losses import WeightedSum
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.heads import Head
from tinybert_jax.models.tokenizer_type import Tokenizer

# What a model gives for token rows: numbers of each row, N×C; or of each token of each row.
Logits = Float[np.ndarray, "N C"] | Ragged


def labels_of(rows: datasets.Dataset) -> Any:
  """Returns the column `labels` of token rows, the truth of tasks that have one label a row; None without."""
  return rows["labels"][:] if "labels" in rows.column_names else None


def as_they_are(logits: Any, rows: datasets.Dataset) -> Any:
  """Returns the logits, which are the outputs of tasks that have one row a text."""
  return logits


@runtime_checkable
class Task(Protocol):
  """A kind of task on a data set.

  Attributes:
    name: of the data set; of a word or two.
    kind: its name in reports and options, such as "classification" or "regression".
    head: what its models have on the encoder, and how their directories are read and written.
    problem_type: what Hugging Face calls it in `config.json`; None where it has no name for it.
    labels: class names in the order of the logits; a regression has one.
    label_columns: the columns of token rows that come from labels; distillation does not read them.
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
  def head(self) -> Head: ...

  @property
  def problem_type(self) -> str | None: ...

  @property
  def label_columns(self) -> tuple[str, ...]: ...

  @property
  def main_metric(self) -> str: ...

  @property
  def ranked_by(self) -> tuple[str, ...]: ...

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    """Returns the token rows of `rows`, whose columns are `text` and any of `pair` and `label`.

    A batch gets of them `input_ids`, `labels`, and the columns called `token_…`, which have a whole number for each
    token, see `BatchSource`. A text may have several rows.
    """
    ...

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    """Returns the loss on the labels."""
    ...

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float
  ) -> WeightedSum:
    """Returns the loss on the teacher's targets, which are logits."""
    ...

  def combine_targets(self, logits: list[Any], weights: tuple[float, ...]) -> Any:
    """Returns the targets that several teachers' logits make together; `Logits` as a model gives them."""
    ...

  def joined(self, logits: Any, rows: datasets.Dataset) -> Any:
    """Returns the outputs, one a text, that the logits of token rows make; `as_they_are` where a text has one row."""
    ...

  def truth(self, rows: datasets.Dataset) -> Any:
    """Returns what outputs are measured by, taken from token rows; None where they have no labels."""
    ...

  def score(self, outputs: Any, truth: Any) -> dict[str, float]:
    """Returns the metrics by name; the mean of those in `ranked_by` is the score."""
    ...

  def agreement(self, outputs: Any, others: Any) -> float:
    """Returns how far two models' answers are the same: a share of rows, or a correlation."""
    ...

  def details(self, outputs: Mapping[str, Any], truth: Any) -> dict[str, Any]:
    """Returns what a report shows beside the metrics: per class, confusion, the majority's answer, values."""
    ...

  def answers(self, outputs: Any) -> list[dict[str, Any]]:
    """Returns each text's `answer`, and `probability` where there is one."""
    ...

  def columns(self, logits: Any, rows: datasets.Dataset) -> dict[str, pa.Array]:
    """Returns what `predict` writes for each text of token rows, by names of columns; `prediction` is the first."""
    ...

  def written(self, text: Mapping[str, Any]) -> Any:
    """Returns the label of a text, a row as `tokenize` reads it, in the words of `answers`."""
    ...

  def disagreement(self, outputs: Any, others: Any) -> Float[np.ndarray, " N"]:
    """Returns how far two models are apart on each text; 0 where they answer alike."""
    ...

"""Sentence embeddings: a vector a text, learnt from a teacher's without any label."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import datasets
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Float

from tinybert_jax.choices import EMBEDDING_LOSSES, SIMILARITY_TEMPERATURE, EmbeddingLoss
from tinybert_jax.data.batches import tokenize
from tinybert_jax.distillation.losses import WeightedSum, logit_loss
from tinybert_jax.distillation.similarities import embedding_cosine_loss, similarity_loss
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.heads import SENTENCES, SentencesHead
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.training.parallel import mapped_axis

_SIDE = "side"  # a column of token rows that are two for each pair of texts: 0 and 1
_SHOWN = 3  # numbers of an embedding, where an answer is shown


@dataclasses.dataclass(frozen=True)
class Embeddings:
  """A vector a text; of a pair of texts the cosine of their two vectors.

  A pair is two token rows, one behind the other, and its label, a score, is on both. So the logits are vectors in any
  case. The outputs are vectors N×E of single texts, and cosines of pairs.

  Attributes:
    name: of the data set.
    head: of the models; its width is that of the teacher's embeddings.
    losses: how the student's vectors are compared with the teacher's, see `target_loss`.
    loss_weights: of each of them; by default 1.
    temperature: of the similarities of a batch.
    prompts: what is put before a text; of several the texts get one in turn, and those of pairs the first.
  """

  name: str
  head: SentencesHead = SENTENCES
  losses: tuple[EmbeddingLoss, ...] = EMBEDDING_LOSSES
  loss_weights: tuple[float, ...] = ()
  temperature: float = SIMILARITY_TEMPERATURE
  prompts: tuple[str, ...] = ("",)
  labels: tuple[str, ...] = ()
  kind = "embeddings"
  problem_type = None
  label_columns = ("labels",)
  main_metric = "spearman"
  ranked_by = ("spearman",)

  def __post_init__(self):
    if not self.losses or any(name not in get_args(EmbeddingLoss) for name in self.losses):
      raise InputError(f"losses {list(self.losses)}: there are {', '.join(get_args(EmbeddingLoss))}")
    if self.loss_weights and len(self.loss_weights) != len(self.losses):
      raise InputError(f"{len(self.loss_weights)} weights for {len(self.losses)} losses of embeddings")

  @property
  def loss_settings(self) -> dict[str, Any]:
    """What a student depends on besides its teacher and its rows."""
    weights = list(self.loss_weights) or [1.0] * len(self.losses)
    return {"losses": list(self.losses), "loss_weights": weights, "similarity_temperature": self.temperature}

  def without_prompts(self) -> "Embeddings":
    """Returns the task for texts that have their prompts already."""
    return dataclasses.replace(self, prompts=("",))

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    """Returns a token row for each text, of a pair two."""
    columns = [rows[name][:] for name in ("text", "pair") if name in rows.column_names]
    several = self.prompts[: 1 if len(columns) == 2 else None]
    texts = [
      several[number % len(several)] + text for number, row in enumerate(zip(*columns, strict=True)) for text in row
    ]
    labels = list(np.repeat(rows["label"][:], len(columns))) if "label" in rows.column_names else None
    found = tokenize(tokenizer, texts, max_length=max_length, labels=labels)
    if len(columns) == 1:
      return found
    return found.add_column(_SIDE, np.tile([0, 1], len(rows)))

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    raise InputError("embeddings are learnt from a teacher; there is no loss on labels")

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float = 1.0
  ) -> WeightedSum:
    """Returns the weighted sum of the losses, each a mean over texts.

    They are the squared error of the numbers ("mse"), 1 − cos of both vectors ("cosine"), and the divergence of the
    similarities of the batch's texts ("similarity"). The first two compare vectors of one width, so a student of
    fewer numbers than its teacher learns the teacher's first ones, as a Matryoshka model has them. Those two lengths
    are then equal where the teacher's vectors have the norm 1. Similarities are those of the teacher's whole vectors.

    Args:
      logits: the student's vectors, B×S.
      targets: the teacher's, B×T.
      batch: whose `example_weight` counts.
      temperature: not read; the task has its own.
    """
    weight = batch.get("example_weight")
    first = _truncated(jnp.asarray(targets), logits.shape[-1], self._normalizes)
    found = {
      "mse": lambda: logit_loss(logits, first, weight),
      "cosine": lambda: embedding_cosine_loss(logits, first, weight),
      "similarity": lambda: similarity_loss(
        logits, targets, weight, temperature=self.temperature, axis_name=mapped_axis()
      ),
    }
    weights = self.loss_weights or (1.0,) * len(self.losses)
    texts = jnp.sum(weight) if weight is not None else jnp.float32(len(logits))
    total = jnp.float32(0)
    for name, share in zip(self.losses, weights, strict=True):
      loss = found[name]()
      # In units of one text, so that all have the same weight.
      total = total + share * loss.total / (logits.shape[-1] if name == "mse" else 1)
    return WeightedSum(total, texts)

  @property
  def _normalizes(self) -> bool:
    return self.head.like.normalizes

  def combine_targets(
    self, logits: list[Float[np.ndarray, "N E"]], weights: tuple[float, ...]
  ) -> Float[np.ndarray, "N E"]:
    """Returns the teacher's vectors, of which there can be one alone."""
    if len(logits) > 1:
      raise InputError(f"{len(logits)} teachers of embeddings, whose spaces have nothing in common; give one")
    return logits[0]

  def joined(self, logits: Float[np.ndarray, "N E"], rows: datasets.Dataset) -> Float[np.ndarray, "..."]:
    if _SIDE not in rows.column_names:
      return logits
    sides = np.asarray(rows[_SIDE][:])
    return np.sum(_unit(logits[sides == 0]) * _unit(logits[sides == 1]), axis=-1)

  def truth(self, rows: datasets.Dataset) -> Any:
    """Returns the scores of pairs; None where there are none."""
    if not {_SIDE, "labels"} <= set(rows.column_names):
      return None
    return np.asarray(rows["labels"][:])[np.asarray(rows[_SIDE][:]) == 0]

  def score(self, outputs: Float[np.ndarray, " N"], truth: Any) -> dict[str, float]:
    from tinybert_jax.tasks import metrics  # loads scikit-learn, for which the first line of a run need not wait

    return {name: metrics.METRICS[name](outputs, np.asarray(truth)) for name in ("spearman", "pearson")}

  def agreement(self, outputs: Float[np.ndarray, "..."], others: Float[np.ndarray, "..."]) -> float:
    """Returns the mean cosine of two models' vectors; of cosines of pairs their rank correlation."""
    from tinybert_jax.tasks import metrics

    return metrics.spearman(outputs, others) if outputs.ndim == 1 else float(np.mean(_cosines(outputs, others)))

  def details(self, outputs: Mapping[str, Float[np.ndarray, "..."]], truth: Any) -> dict[str, Any]:
    return {}

  def answers(self, outputs: Float[np.ndarray, "..."]) -> list[dict[str, Any]]:
    """Returns the cosine of each pair; of a vector its first numbers."""
    if outputs.ndim == 1:
      return [{"answer": float(value)} for value in outputs]
    return [{"answer": [f"{value:.3f}" for value in row[:_SHOWN]] + ["…"]} for row in outputs]

  def columns(self, logits: Float[np.ndarray, "N E"], rows: datasets.Dataset) -> dict[str, pa.Array]:
    """Returns vectors as lists of float32 numbers in `embedding`; cosines of pairs in `prediction`."""
    outputs = self.joined(logits, rows)
    if outputs.ndim == 1:
      return {"prediction": pa.array(outputs, pa.float32())}
    flat = pa.array(np.ascontiguousarray(outputs, np.float32).reshape(-1))
    return {"embedding": pa.FixedSizeListArray.from_arrays(flat, outputs.shape[-1])}

  def written(self, text: Mapping[str, Any]) -> float:
    return float(text["label"])

  def disagreement(
    self, outputs: Float[np.ndarray, "..."], others: Float[np.ndarray, "..."]
  ) -> Float[np.ndarray, " N"]:
    return np.abs(outputs - others) if outputs.ndim == 1 else 1 - _cosines(outputs, others)


def _cosines(ours: Float[np.ndarray, "N S"], theirs: Float[np.ndarray, "N T"]) -> Float[np.ndarray, " N"]:
  """Returns the cosine of each two vectors, the longer of which is cut to the other's numbers."""
  width = min(ours.shape[-1], theirs.shape[-1])
  return np.sum(_unit(ours[:, :width]) * _unit(theirs[:, :width]), axis=-1)


def _unit(vectors: Float[np.ndarray, "N E"]) -> Float[np.ndarray, "N E"]:
  wide = np.asarray(vectors, np.float64)
  return wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)


def _truncated(targets: Array, width: int, normalizes: bool) -> Array:
  """Returns the first numbers of vectors, of norm 1 again where the whole ones have it."""
  if targets.shape[-1] == width:
    return targets
  first = targets[:, :width]
  return first / jnp.maximum(jnp.linalg.norm(first, axis=-1, keepdims=True), 1e-12) if normalizes else first

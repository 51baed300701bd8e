"""Rerankers: a score for a passage and a query, learnt from a teacher's scores of the same pairs."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

import datasets
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Float

from tinybert_jax.choices import RANKING_LOSSES, RankingLoss
from tinybert_jax.data.batches import tokenize_rows
from tinybert_jax.distillation.losses import WeightedSum, logit_loss
from tinybert_jax.distillation.ranking_losses import listwise_loss, margin_loss
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.heads import SEQUENCES
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.tasks import rankings
from tinybert_jax.training.parallel import mapped_axis


class Relevance(NamedTuple):
  """How relevant passages are, and the number of each one's query."""

  gains: Float[np.ndarray, " N"]
  groups: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ranking:
  """A score for each pair of a query and a passage, by a cross-encoder of one logit.

  Token rows have the number of their query in the column `group`. Outputs are N×2: a score, and that number.

  Attributes:
    name: of the data set.
    losses: how the student's scores are compared with the teacher's: "mse" of the scores, "margin" of the differences
      between two passages of a query, "listwise" by a softmax over the passages of a query.
    loss_weights: of each of them; by default 1.
  """

  name: str
  losses: tuple[RankingLoss, ...] = RANKING_LOSSES
  loss_weights: tuple[float, ...] = ()
  labels: tuple[str, ...] = ("score",)
  kind = "ranking"
  head = SEQUENCES
  problem_type = "regression"
  label_columns = ("labels",)
  main_metric = "ndcg_at_10"
  ranked_by = ("ndcg_at_10",)

  def __post_init__(self):
    if not self.losses or any(name not in get_args(RankingLoss) for name in self.losses):
      raise InputError(f"losses {list(self.losses)}: there are {', '.join(get_args(RankingLoss))}")
    if self.loss_weights and len(self.loss_weights) != len(self.losses):
      raise InputError(f"{len(self.loss_weights)} weights for {len(self.losses)} losses of rankings")

  @property
  def loss_settings(self) -> dict[str, Any]:
    """What a student depends on besides its teacher and its rows."""
    return {"losses": list(self.losses), "loss_weights": list(self.loss_weights) or [1.0] * len(self.losses)}

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    """Returns the token rows of `rows`, whose columns are `text` (the query), `pair`, `group` and perhaps `label`."""
    found = tokenize_rows(tokenizer, rows, max_length)
    return found.add_column("group", np.asarray(rows["group"][:])) if "group" in rows.column_names else found

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    raise InputError("rerankers are learnt from a teacher's scores; there is no loss on labels")

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float = 1.0
  ) -> WeightedSum:
    """Returns the weighted sum of the losses, each a mean over passages.

    Args:
      logits: the student's scores, B×1.
      targets: the teacher's, B×1.
      batch: with `group`.
      temperature: of the softmax of "listwise".
    """
    ours, theirs = jnp.asarray(logits)[:, 0], jnp.asarray(targets)[:, 0]
    weight, axis, groups = batch.get("example_weight"), mapped_axis(), batch["group"]
    found = {
      "mse": lambda: logit_loss(logits, targets, weight),
      "margin": lambda: margin_loss(ours, theirs, groups, weight, axis_name=axis),
      "listwise": lambda: listwise_loss(ours, theirs, groups, weight, temperature=temperature, axis_name=axis),
    }
    shares = self.loss_weights or (1.0,) * len(self.losses)
    losses = [found[name]() for name in self.losses]  # all of the same weight
    total = sum((share * loss.total for share, loss in zip(shares, losses, strict=True)), jnp.float32(0))
    return WeightedSum(total, losses[0].weight)

  def combine_targets(
    self, logits: list[Float[np.ndarray, "N 1"]], weights: tuple[float, ...]
  ) -> Float[np.ndarray, "N 1"]:
    """Returns the weighted mean of the scores; one teacher's as they are."""
    return logits[0] if len(logits) == 1 else np.average(logits, axis=0, weights=weights).astype(np.float32)

  def joined(self, logits: Float[np.ndarray, "N 1"], rows: datasets.Dataset) -> Float[np.ndarray, "N 2"]:
    return np.column_stack([logits[:, 0].astype(np.float64), np.asarray(rows["group"][:], np.float64)])

  def truth(self, rows: datasets.Dataset) -> Relevance | None:
    """Returns how relevant the passages are; None where that is not known."""
    if "labels" not in rows.column_names:
      return None
    return Relevance(np.asarray(rows["labels"][:], np.float64), np.asarray(rows["group"][:]))

  def score(self, outputs: Float[np.ndarray, "N 2"], truth: Relevance) -> dict[str, float]:
    """Returns nDCG@10 and MRR@10 over the queries that have a relevant passage."""
    return rankings.score(_by_query(outputs[:, 0], truth.groups), _by_query(truth.gains, truth.groups))

  def agreement(self, outputs: Float[np.ndarray, "N 2"], others: Float[np.ndarray, "N 2"]) -> float:
    """Returns the share of the pairs of passages of a query that two models put in the same order."""
    both = zip(*(_by_query(each[:, 0], outputs[:, 1]) for each in (outputs, others)), strict=True)
    same = pairs = 0
    for ours, theirs in both:
      first, second = np.triu_indices(len(ours), 1)
      same += int(np.sum(np.sign(ours[first] - ours[second]) == np.sign(theirs[first] - theirs[second])))
      pairs += len(first)
    return same / pairs if pairs else 1.0

  def details(self, outputs: Mapping[str, Float[np.ndarray, "N 2"]], truth: Any) -> dict[str, Any]:
    return {}

  def answers(self, outputs: Float[np.ndarray, "N 2"]) -> list[dict[str, Any]]:
    return [{"answer": float(value)} for value in outputs[:, 0]]

  def columns(self, logits: Float[np.ndarray, "N 1"], rows: datasets.Dataset) -> dict[str, pa.Array]:
    return {"prediction": pa.array(logits[:, 0], pa.float32())}

  def written(self, text: Mapping[str, Any]) -> float:
    return float(text["label"])

  def disagreement(
    self, outputs: Float[np.ndarray, "N 2"], others: Float[np.ndarray, "N 2"]
  ) -> Float[np.ndarray, " N"]:
    return np.abs(outputs[:, 0] - others[:, 0])


def _by_query(values: Float[np.ndarray, " N"], groups: np.ndarray) -> list[rankings.Values]:
  """Returns the values of each query's passages, queries by their number."""
  order = np.argsort(groups, kind="stable")
  _, starts = np.unique(groups[order], return_index=True)
  return np.split(np.asarray(values, np.float64)[order], starts[1:])

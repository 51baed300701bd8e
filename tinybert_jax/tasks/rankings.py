"""Metrics of passages in the order of their scores for a query: nDCG, reciprocal rank, recall, and two rankings alike.

They are those of trec_eval, with linear gains. Passages of equal scores have no order: a metric is then its mean over
all orders that they could have, as in scikit-learn's `ndcg_score`. So the order of a file, in which relevant passages
often come first, helps no model.
"""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.special
from jaxtyping import Float, Num

from tinybert_jax.errors import InputError

DEPTH = 10  # ranks that count
Values = Num[np.ndarray, "..."]  # one for each passage of a query, whose number differs


def ndcg(scores: Num[np.ndarray, " P"], gains: Num[np.ndarray, " P"], depth: int = DEPTH) -> float | None:
  """Returns nDCG at `depth` of a query: Σ gain/log₂(rank + 1) over the first ranks, as a share of the best order's.

  Args:
    scores: of the passages; the highest stands first.
    gains: how relevant each passage is, none negative.
    depth: ranks that count.

  Returns None for a query without a relevant passage.
  """
  discounts = 1 / np.log2(np.arange(2, 2 + min(depth, len(gains))))
  best = np.sort(np.asarray(gains, np.float64))[::-1][: len(discounts)] @ discounts
  if best <= 0:
    return None
  return float(_in_order(scores, gains)[: len(discounts)] @ discounts / best)


def reciprocal_rank(scores: Num[np.ndarray, " P"], gains: Num[np.ndarray, " P"], depth: int = DEPTH) -> float | None:
  """Returns 1/rank of the first relevant passage, and 0 where that stands below `depth`; as `ndcg`."""
  if not np.any(np.asarray(gains) > 0):
    return None
  order, block = _order(scores)
  relevant = np.asarray(gains)[order] > 0
  alike = block == block[relevant.argmax()]  # the ranks that share the score of the first relevant passage
  rank, number, right = int(alike.argmax()), int(alike.sum()), int(np.sum(relevant & alike))
  above = np.arange(min(number - right + 1, max(0, depth - rank)))  # of these passages, before a relevant one
  chances = scipy.special.comb(number - 1 - above, right - 1) / scipy.special.comb(number, right)
  return float(np.sum(chances / (rank + 1 + above)))


def recall(scores: Num[np.ndarray, " P"], gains: Num[np.ndarray, " P"], depth: int = DEPTH) -> float | None:
  """Returns the share of the relevant passages that stand among the first `depth`; as `ndcg`."""
  relevant = int(np.sum(np.asarray(gains) > 0))
  return float(np.sum(_in_order(scores, np.asarray(gains) > 0)[:depth]) / relevant) if relevant else None


def gains_of_ranking(scores: Num[np.ndarray, " P"], depth: int = DEPTH) -> Float[np.ndarray, " P"]:
  """Returns gains that a ranking gives its passages: `depth` for the first, one less for each next, and at last 0.

  Passages of equal scores have the mean of theirs.
  With them `ndcg` tells how far another ranking is the same, and `recall` how many of its first passages are.
  """
  gains, (order, block) = np.zeros(len(scores)), _order(scores)
  gains[order] = _means(np.maximum(depth - np.arange(len(gains)), 0), block)
  return gains


def mean_of(
  metric: Callable[..., float | None],
  scores: Sequence[Values],
  gains: Sequence[Values],
  depth: int = DEPTH,
) -> float:
  """Returns the mean of a metric over all queries that have a relevant passage; 0 where none has.

  Raises:
    InputError: scores that are not finite.
  """
  for number, each in enumerate(scores):
    if not np.isfinite(each).all():
      raise InputError(f"query {number + 1}: scores that are not finite (NaN or infinite)")
  found = [metric(*both, depth) for both in zip(scores, gains, strict=True)]
  kept = [value for value in found if value is not None]
  return float(np.mean(kept)) if kept else 0.0


def score(scores: Sequence[Values], gains: Sequence[Values]) -> dict[str, float]:
  """Returns nDCG@10 and MRR@10 of queries with gains."""
  return {"ndcg_at_10": mean_of(ndcg, scores, gains), "mrr_at_10": mean_of(reciprocal_rank, scores, gains)}


def agreement(scores: Sequence[Values], others: Sequence[Values]) -> dict[str, float]:
  """Returns how far rankings are those of another model: nDCG@10 with its ranks as gains, and recall of its first 10.

  Args:
    scores: of the passages of each query.
    others: by the other model.
  """
  gains = [gains_of_ranking(each) for each in others]
  return {
    "ndcg_at_10_of_teacher": mean_of(ndcg, scores, gains),
    "recall_at_10_of_teacher": mean_of(recall, scores, gains),
  }


def _order(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the passages by rank, the highest score first; and for each rank a number, the same for equal scores."""
  values = -np.asarray(scores, np.float64)
  order = np.argsort(values, kind="stable")
  return order, np.cumsum(np.diff(values[order], prepend=values[order[:1]]) > 0)


def _in_order(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Returns the values of the passages by rank; those of equal scores have their mean."""
  order, block = _order(scores)
  return _means(np.asarray(values, np.float64)[order], block)


def _means(values: np.ndarray, block: np.ndarray) -> np.ndarray:
  """Returns the values, and where several have one number of `block`, the mean of those."""
  return (np.bincount(block, values) / np.bincount(block))[block]

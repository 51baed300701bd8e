"""Metrics of rankings against scikit-learn, and by hand."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from tinybert_jax.errors import InputError
from tinybert_jax.tasks import rankings


def test_ndcg_is_that_of_scikit_learn():
  rng = np.random.default_rng(0)
  for passages in (2, 7, 40):
    for scores in (rng.permutation(passages), rng.integers(0, 3, passages)):  # the second with many equal ones
      gains = rng.integers(0, 4, passages)
      gains[0] = 1
      assert rankings.ndcg(scores, gains) == pytest.approx(ndcg_score([gains], [scores], k=10))


def test_equal_scores_give_the_mean_over_all_orders():
  rng = np.random.default_rng(0)
  for passages, depth in ((2, 1), (5, 2), (6, 10), (6, 4)):
    scores, gains = rng.integers(0, 2, passages), rng.integers(0, 2, passages)
    gains[0] = 1
    ranks, shares = [], []
    for order in itertools.permutations(range(passages)):
      by_score = [gains[place] > 0 for place in sorted(order, key=lambda place: -scores[place])]
      ranks.append(1 / (1 + by_score.index(True)) if any(by_score[:depth]) else 0)
      shares.append(sum(by_score[:depth]) / sum(by_score))
    assert rankings.reciprocal_rank(scores, gains, depth) == pytest.approx(np.mean(ranks))
    assert rankings.recall(scores, gains, depth) == pytest.approx(np.mean(shares))
  # A model that says the same of everything gains nothing by a file in which the relevant passages come first.
  same, gains = np.zeros(3), np.array([1, 0, 0])
  assert rankings.score([same], [gains])["mrr_at_10"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_ranks_by_hand():
  scores = np.array([0.1, 0.9, 0.5, 0.4])  # the order is 1, 2, 3, 0
  assert rankings.reciprocal_rank(scores, np.array([1, 0, 0, 1])) == 1 / 3
  assert rankings.reciprocal_rank(scores, np.array([1, 0, 0, 0]), 3) == 0
  assert rankings.recall(scores, np.array([1, 1, 0, 1]), 2) == 1 / 3
  assert rankings.ndcg(scores, np.array([2, 0, 1, 0])) == pytest.approx(
    (1 / math.log2(3) + 2 / math.log2(5)) / (2 + 1 / math.log2(3))
  )
  nothing = np.zeros(4)
  assert [metric(scores, nothing) for metric in (rankings.ndcg, rankings.reciprocal_rank, rankings.recall)] == [
    None
  ] * 3
  # The query without a relevant passage does not count.
  assert rankings.score([scores, scores], [np.array([0, 1, 0, 0]), nothing]) == {"ndcg_at_10": 1, "mrr_at_10": 1}
  with pytest.raises(InputError, match="query 2"):
    rankings.score([scores, scores * np.nan], [nothing, nothing])


def test_rankings_agree_with_themselves_and_less_with_others():
  scores = [np.arange(20.0), np.arange(20.0)[::-1]]
  assert rankings.agreement(scores, scores) == {"ndcg_at_10_of_teacher": 1, "recall_at_10_of_teacher": 1}
  swapped = [-each for each in scores]
  assert rankings.agreement(swapped, scores) == {"ndcg_at_10_of_teacher": 0, "recall_at_10_of_teacher": 0}
  gains = rankings.gains_of_ranking(np.array([3.0, 1.0, 2.0]), 2)
  np.testing.assert_array_equal(gains, [2, 0, 1])
  equal = [np.array([1.0, 2.0, 1.0, 2.0])]
  assert rankings.agreement(equal, equal)["ndcg_at_10_of_teacher"] == 1

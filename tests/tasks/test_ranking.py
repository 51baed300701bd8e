"""The task of rerankers: passages by query, in batches, in its losses and in its metrics."""

import dataclasses

import datasets
import jax
import numpy as np
import pytest
from small_glue import STUDENT
from small_tokenizer import word_tokenizer

from tinybert_jax.data.batches import BatchSource
from tinybert_jax.distillation.objectives import prediction_distillation, total_loss
from tinybert_jax.distillation.ranking_losses import listwise_loss, margin_loss
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.tasks.ranking import Ranking

PAIRS = {
  "text": ["hello", "hello", "world", "world", "world"],
  "pair": ["world", "hello", "hello", "world", "world hello"],
  "group": [4, 4, 2, 2, 2],
  "label": [1.0, 0.0, 0.0, 0.0, 2.0],
}


def test_passages_are_measured_by_query():
  task = Ranking("passages")
  rows = task.tokenize(word_tokenizer(), datasets.Dataset.from_dict(PAIRS), 9)
  scores = np.array([[0.5], [0.9], [3.0], [1.0], [2.0]], np.float32)
  outputs, truth = task.joined(scores, rows), task.truth(rows)
  # The relevant passage is the second of both queries.
  assert task.score(outputs, truth) == pytest.approx({"ndcg_at_10": 1 / np.log2(3), "mrr_at_10": 0.5})
  other = task.joined(np.array([[0.9], [0.5], [3.0], [2.5], [2.0]], np.float32), rows)
  assert task.agreement(outputs, outputs) == 1 and task.agreement(outputs, other) == 2 / 4
  assert task.truth(rows.remove_columns("labels")) is None


def test_loss_is_the_weighted_sum_of_those_of_the_scores_of_each_query():
  rng = np.random.default_rng(0)
  student, teacher = rng.normal(size=(2, 5, 1)).astype(np.float32)
  batch = {"example_weight": np.array([1, 1, 1, 1, 0], np.float32), "group": np.array(PAIRS["group"], np.int32)}
  task = Ranking("passages", ("mse", "margin", "listwise"), (1.0, 2.0, 3.0))

  @jax.jit
  def run():
    compared = student[:, 0], teacher[:, 0], batch["group"], batch["example_weight"]
    parts = margin_loss(*compared).total, listwise_loss(*compared, temperature=2.0).total
    return task.target_loss(student, teacher, batch, 2.0), parts

  loss, (margin, listwise) = run()
  mse = np.square(student - teacher)[:4].sum()
  np.testing.assert_allclose(loss.total, mse + 2 * margin + 3 * listwise, rtol=1e-5)
  assert loss.weight == 4
  with pytest.raises(InputError, match="1 weights for 2"):
    Ranking("passages", loss_weights=(1.0,))


def test_batches_keep_the_passages_of_a_query_together():
  rng = np.random.default_rng(0)
  groups = np.repeat(np.arange(12), 4)
  rows = datasets.Dataset.from_dict(
    {"input_ids": [[2] * int(length) for length in rng.integers(1, 9, 48)], "group": rng.permutation(12)[groups]}
  )
  source = BatchSource(rows, batch_size=8, lengths=(4, 8), epochs=2, seed=0)
  seen = [np.sort(np.concatenate([source.indices(step) for step in epoch])) for epoch in (range(6), range(6, 12))]
  assert all(np.array_equal(each, np.arange(48)) for each in seen)
  orders = set()
  for step in range(12):
    batch = source[step]
    assert batch["group"].dtype == np.int32
    for number in np.unique(batch["group"]):
      assert np.sum(batch["group"] == number) == 4
    orders.add(tuple(source.indices(step)))
  assert len(orders) == 12  # other passages and another order in every epoch


def test_padding_changes_neither_loss_nor_gradient():
  config = dataclasses.replace(STUDENT, labels=("score",), hidden_dropout_prob=0.0, initializer_range=0.5)
  model, task = SequenceClassifier(config), Ranking("passages", ("mse", "margin", "listwise"))
  params, rng = initialize(model, jax.random.key(0)), np.random.default_rng(0)
  loss_fn = prediction_distillation(model, target_loss=task.target_loss)
  ids = rng.integers(1, 7, (5, 6)).astype(np.int32)
  batch = {
    "input_ids": ids,
    "attention_mask": np.ones_like(ids),
    "teacher_targets": rng.normal(size=(5, 1)).astype(np.float32),
    "group": np.array([0, 0, 2, 2, 2], np.int32),
    "example_weight": np.ones(5, np.float32),
  }
  # Three more tokens in each row, and two rows that fill up the batch, of the number 0 as that of a query.
  tokens = ("input_ids", "attention_mask")
  padded = {name: np.pad(value, ((0, 2), (0, 3 * (name in tokens)))[: value.ndim]) for name, value in batch.items()}
  gradient = jax.jit(jax.value_and_grad(lambda params, batch: total_loss(loss_fn(params, {}, batch, None))))
  (plain, of_plain), (filled, of_filled) = (gradient(params, each) for each in (batch, padded))
  np.testing.assert_allclose(filled, plain, rtol=1e-5)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-5), of_filled, of_plain)

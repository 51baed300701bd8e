import datasets
import jax
import numpy as np
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.training.evaluate import compare_costs, predict

CONFIG = EncoderConfig(vocab_size=50, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=20)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_predict_gives_each_row_its_logits_in_the_order_of_the_rows(batch_size):
  rng = np.random.default_rng(0)
  rows = datasets.Dataset.from_dict({"input_ids": [rng.integers(1, 50, n).tolist() for n in (5, 30, 1, 30, 5, 40, 1)]})
  model, params = SequenceClassifier(CONFIG), initialize(SequenceClassifier(CONFIG), jax.random.key(0))
  logits = predict(model, params, rows, batch_size=batch_size)
  apply = jax.jit(model.apply)
  for row, ids in enumerate(rows["input_ids"]):  # each alone and unpadded
    alone = apply({"params": params}, {"input_ids": np.array([ids])}).logits[0]
    np.testing.assert_allclose(logits[row], alone, atol=1e-5)


def test_costs_tell_a_large_model_from_a_small_one():
  large = EncoderConfig(
    vocab_size=50, hidden_size=96, num_hidden_layers=4, num_attention_heads=4, intermediate_size=384
  )
  models = {}
  for name, config in (("large", large), ("small", CONFIG)):
    model = SequenceClassifier(config)
    models[name] = (model, initialize(model, jax.random.key(0)))
  costs = compare_costs(models, length=64, repeats=5)
  # Multiply-adds of the matrix products of one sequence, counted twice, by hand: three layers of all tokens, and one
  # that computes keys and values of all and the rest of the first.
  of_token = 4 * 96 * 96 + 2 * 96 * 384 + 2 * 64 * 96
  by_hand = 2 * (3 * 64 * of_token + 63 * 2 * 96 * 96 + of_token)
  assert by_hand < costs["large"].flops < 1.2 * by_hand
  assert costs["large"].flops > 10 * costs["small"].flops
  assert all(cost.latency_ms > 0 and cost.throughput > 0 for cost in costs.values())


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused_by_the_models_name(wrong):
  params = initialize(SequenceClassifier(CONFIG), jax.random.key(0))
  words = params["encoder"]["embeddings"]["word_embeddings"]
  words["embedding"] = words["embedding"].at[7].set(wrong)
  rows = datasets.Dataset.from_dict({"input_ids": [[1, 2], [1, 7, 2], [3], [7]]})
  with pytest.raises(InputError, match=r"^my teacher: the logits of 2 of 4 rows are not finite .*first in row 2"):
    predict(SequenceClassifier(CONFIG), params, rows, name="my teacher")
  assert np.isfinite(predict(SequenceClassifier(CONFIG), params, rows.select([0, 2]))).all()

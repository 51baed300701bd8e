"""The task of embeddings: pairs as two rows, and its loss on the teacher's vectors."""

import datasets
import jax
import numpy as np
import pytest
from scipy.stats import spearmanr
from small_sentences import CONFIG
from small_tokenizer import word_tokenizer

from tinybert_jax.distillation.objectives import prediction_distillation, total_loss
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import initialize
from tinybert_jax.models.heads import SentencesHead
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.tasks.embeddings import Embeddings


def test_a_pair_is_two_rows_and_measured_by_the_cosine_of_their_vectors():
  task, tokenizer = Embeddings("sts", prompts=("hello ", "world ")), word_tokenizer()
  pairs = {"text": ["hello", "world"], "pair": ["world", "hello hello"], "label": [2.5, 0.5]}
  rows = task.tokenize(tokenizer, datasets.Dataset.from_dict(pairs), 9)
  # [CLS] 2, [SEP] 3, hello 5, world 6; each text with the first prompt.
  assert rows["input_ids"][:] == [[2, 5, 5, 3], [2, 5, 6, 3], [2, 5, 6, 3], [2, 5, 5, 5, 3]]
  vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
  cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in (vectors[:2], vectors[2:])]
  outputs = task.joined(vectors, rows)
  np.testing.assert_allclose(outputs, cosines, rtol=1e-6)
  assert task.truth(rows).tolist() == [2.5, 0.5]
  assert task.score(outputs, task.truth(rows))["spearman"] == pytest.approx(spearmanr(cosines, [2.5, 0.5]).statistic)

  single = task.tokenize(tokenizer, datasets.Dataset.from_dict({"text": ["hello", "world", "hello"]}), 9)
  assert [row[1] for row in single["input_ids"][:]] == [5, 6, 5]  # the prompts in turn
  assert task.truth(single) is None and task.joined(vectors[:3], single) is not None
  assert task.agreement(vectors, 2 * vectors) == pytest.approx(1) == task.agreement(vectors[:, :2], vectors)
  assert task.columns(vectors[:3], single)["embedding"].to_pylist() == vectors[:3].tolist()


def test_losses_are_weighted_means_over_texts_and_a_narrow_student_learns_the_first_numbers():
  rng = np.random.default_rng(0)
  student, teacher = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
  teacher /= np.linalg.norm(teacher, axis=-1, keepdims=True)
  weight = np.array([1, 1, 0, 1, 1], np.float32)
  task = Embeddings("texts", SentencesHead(), ("mse", "cosine", "similarity"), (2.0, 3.0, 0.5), 0.2)
  loss = jax.jit(lambda: task.target_loss(student, teacher, {"example_weight": weight}))()

  kept = weight > 0
  x, t = student[kept].astype(np.float64), teacher[kept].astype(np.float64)
  first = t[:, :3] / np.linalg.norm(t[:, :3], axis=-1, keepdims=True)
  unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
  expected = 2 * ((x - first) ** 2).mean(-1).sum() + 3 * (1 - (unit * first).sum(-1)).sum()

  def log_softmax(vectors, row):
    scores = np.delete(vectors @ vectors[row], row) / 0.2
    return scores - np.log(np.exp(scores).sum())

  for row in range(len(x)):
    ours, theirs = log_softmax(unit, row), log_softmax(t, row)
    expected += 0.5 * (np.exp(theirs) * (theirs - ours)).sum()
  np.testing.assert_allclose(loss.total, expected, rtol=1e-5)
  assert loss.weight == 4
  assert task.loss_settings == {
    "losses": ["mse", "cosine", "similarity"], "loss_weights": [2.0, 3.0, 0.5], "similarity_temperature": 0.2
  }  # fmt: skip
  for wrong in ({"losses": ()}, {"loss_weights": (1.0,)}):
    with pytest.raises(InputError):
      Embeddings("texts", **wrong)


def test_padding_changes_neither_loss_nor_gradient():
  model, task = SentenceEncoder(CONFIG), Embeddings("texts", losses=("mse", "cosine", "similarity"))
  params, rng = initialize(model, jax.random.key(0)), np.random.default_rng(0)
  loss_fn = prediction_distillation(model, target_loss=task.target_loss)
  ids = rng.integers(1, 7, (3, 5))
  batch = {
    "input_ids": ids,
    "attention_mask": np.ones_like(ids),
    "teacher_targets": rng.normal(size=(3, 24)).astype(np.float32),
    "example_weight": np.ones(3, np.float32),
  }
  # Three more tokens in each row, and two rows that fill up the batch.
  padded = {
    name: np.pad(value, ((0, 2), (0, 3 if name in ("input_ids", "attention_mask") else 0))[: value.ndim])
    for name, value in batch.items()
  }
  gradient = jax.jit(jax.value_and_grad(lambda params, batch: total_loss(loss_fn(params, {}, batch, None))))
  (plain, of_plain), (filled, of_filled) = (gradient(params, each) for each in (batch, padded))
  np.testing.assert_allclose(filled, plain, rtol=1e-5)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), of_filled, of_plain)

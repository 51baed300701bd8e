"""A regression's numbers: learnt standardised, and given as they were."""

import dataclasses

import datasets
import jax
import numpy as np
import pytest
from small_distil import texts
from small_glue import TEACHER
from small_tokenizer import word_tokenizer

from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.pipeline import task
from tinybert_jax.pipeline.scale import UNSCALED, scale_of
from tinybert_jax.pipeline.targets import Targets
from tinybert_jax.pipeline.task_run import TaskRows, TaskRun
from tinybert_jax.pipeline.teachers import with_new_classifier
from tinybert_jax.tasks.regression import Regression
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.fit import Recipe


def test_the_head_gives_numbers_on_the_scale_of_the_data():
  labels = np.array([1e5, 2e5, 4e5])
  scale = scale_of(labels)
  np.testing.assert_allclose(scale.standardized(labels), (labels - labels.mean()) / labels.std(), rtol=1e-6)
  model = SequenceClassifier(dataclasses.replace(TEACHER, labels=("score",)))
  params = initialize(model, jax.random.key(0), kernels="glorot")
  batch = {"input_ids": np.array([[2, 5, 6, 3]])}
  plain = np.asarray(model.apply({"params": params}, batch).logits)
  folded = np.asarray(model.apply({"params": scale.folded(params)}, batch).logits)
  np.testing.assert_allclose(folded, scale.raw(plain), rtol=1e-5)
  np.testing.assert_allclose(folded, plain * labels.std() + labels.mean(), rtol=1e-5)
  back = scale.unfolded(scale.folded(params))
  jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6), back, params)


def test_without_a_scale_nothing_changes():
  rows = datasets.Dataset.from_dict({"input_ids": [[1]], "labels": [3.0]})
  params = {"classifier": {}}
  assert UNSCALED.with_labels(rows) is rows and UNSCALED.folded(params) is params
  assert scale_of([7.0, 7.0]) == (7.0, 1.0)


def test_prices_are_learnt_as_well_as_small_numbers(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  errors = []
  for name, size, offset in (("small", 1.0, 0.5), ("prices", 1e5, 3e5)):
    run = regression(tmp_path / name, lambda text, size=size, offset=offset: size * text.count("hello") + offset)
    start = with_new_classifier(TEACHER, None, run.task, 0)
    recipe = Recipe(12, 8, 1e-2, eps=1e-8)
    teacher = task.make_teacher(run, start, recipe, "")
    student = task.make_prediction(run, Targets(run, [teacher]), start, (recipe,), "")
    labels = np.array(run.rows.dev["dev"]["labels"][:])
    answers = [predict(model.model, model.params, run.rows.dev["dev"])[:, 0] for model in (teacher, student)]
    errors.append([np.mean((answer - labels) ** 2) / labels.var() for answer in answers])
    assert student.record["mse"] == pytest.approx(np.mean((answers[1] - labels) ** 2), rel=1e-3)
  assert max(errors[0]) < 0.3
  np.testing.assert_allclose(errors[1], errors[0], rtol=0.05)


def regression(folder, label):
  """A run on texts with such labels, all of them to choose by too."""
  rows = datasets.Dataset.from_dict({"text": texts(60), "label": [label(text) for text in texts(60)]})
  kind, tokenizer = Regression("numbers"), word_tokenizer()
  tokens = kind.tokenize(tokenizer, rows, 16)
  split = TaskRows(rows, tokens, tokens, {"dev": tokens})
  return TaskRun(kind, split, tokenizer, 16, folder, evaluations=2, standardizes=True)

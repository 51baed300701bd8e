"""A regression's numbers: learnt standardised, and given as they were."""

import json

import datasets
import jax
import numpy as np
import pytest
from small_distil import SHAPE, SHORT, texts, write
from small_glue import TEACHER, write_encoder

from tinybert_jax import distil_task, predict_table
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.pipeline.scale import UNSCALED, scale_of


def test_the_head_gives_numbers_on_the_scale_of_the_data():
  labels = np.array([1e5, 2e5, 4e5])
  scale = scale_of(labels)
  np.testing.assert_allclose(scale.standardized(labels), (labels - labels.mean()) / labels.std(), rtol=1e-6)
  model = SequenceClassifier(TEACHER.__class__(**{**vars(TEACHER), "labels": ("score",)}))
  params = initialize(model, jax.random.key(0), kernels="glorot")
  batch = {"input_ids": np.array([[2, 5, 6, 3]])}
  plain = np.asarray(model.apply({"params": params}, batch).logits)
  folded = np.asarray(model.apply({"params": scale.folded(params)}, batch).logits)
  np.testing.assert_allclose(folded, scale.raw(plain), rtol=1e-5)
  np.testing.assert_allclose(folded, plain * labels.std() + labels.mean(), rtol=1e-5)


def test_without_a_scale_nothing_changes():
  rows = datasets.Dataset.from_dict({"input_ids": [[1]], "labels": [3.0]})
  params = {"classifier": {}}
  assert UNSCALED.with_labels(rows) is rows and UNSCALED.folded(params) is params
  assert scale_of([7.0, 7.0]) == (7.0, 1.0)


def test_prices_are_learnt_as_well_as_small_numbers(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  encoder = write_encoder(tmp_path / "encoder", TEACHER)
  scores = []
  for name, size, offset in (("small", 1.0, 0.5), ("prices", 1e5, 3e5)):
    rows = [(text, size * text.count("hello") + offset) for text in texts(60)]
    train = write(tmp_path / f"{name}.csv", rows)
    epochs = SHORT | {"teacher_epochs": 12, "prediction_epochs": 12}
    metrics = distil_task(
      tmp_path / name, pretrained=encoder, train=train, kind="regression", stages=("teacher", "intermediate",
      "prediction", "labels", "evaluate"), **epochs, **SHAPE,
    )  # fmt: skip
    scores.append({who: metrics[who]["mse"] / size**2 for who in ("teacher", "student", "labels alone")})
    predict_table(tmp_path / name / "student", train, tmp_path / f"{name}.jsonl")
    answers = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
    error = np.mean([(float(row["topic"]) - row["prediction"]) ** 2 for row in answers]) / size**2
    assert error < 0.5  # the variance is about 1.4
  assert scores[1] == pytest.approx(scores[0], rel=0.05)

"""What a run's models cost in ONNX Runtime: measured on small models, told on the page and in the terminal."""

import dataclasses
import importlib.util

import datasets
import jax
import numpy as np
import pytest
from small_glue import STUDENT, TEACHER

from tinybert_jax.errors import InputError
from tinybert_jax.export import installed
from tinybert_jax.models.encoder import SequenceClassifier, TokenClassifier
from tinybert_jax.models.parameters import parameter_shapes
from tinybert_jax.pipeline import deployed
from tinybert_jax.pipeline.measurement import Models
from tinybert_jax.pipeline.report import deployed as told
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.tasks.classification import Classification
from tinybert_jax.tasks.tokens import Tokens
from tinybert_jax.training.evaluate import predict

LABELS = ("a", "b", "c")


def finished(model_class, config, seed):
  rng = np.random.default_rng(seed)
  model = model_class(dataclasses.replace(config, labels=LABELS))
  params = jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), parameter_shapes(model))
  return Finished(model, params, "", {})


def rows(number):
  rng = np.random.default_rng(0)
  return datasets.Dataset.from_dict(
    {"input_ids": [[2, *rng.integers(4, 7, rng.integers(1, 9)), 3] for _ in range(number)]}
  )


def test_files_and_times_are_those_of_each_model_and_integers_are_compared(monkeypatch):
  teachers = [finished(SequenceClassifier, TEACHER, seed) for seed in (0, 1)]
  models = Models(teachers, finished(SequenceClassifier, STUDENT, 2))
  task, read = Classification("", LABELS), rows(12)
  answers = predict(models.student.model, models.student.params, read)
  found = deployed.measure(task, models, answers, read, 16)
  assert found["engine"].startswith("ONNX Runtime 1.") and found["tokens"] == 16 and "note" not in found
  sides = found["sides"]
  assert list(sides) == ["teacher", "student", "int8"]
  assert all(0 < side["latency_ms"] < 1000 for side in sides.values())
  parameters = [sum(leaf.size for leaf in jax.tree.leaves(one.params)) for one in (*teachers, models.student)]
  assert 4 * sum(parameters[:2]) < sides["teacher"]["bytes"] and 4 * parameters[2] < sides["student"]["bytes"]
  assert sides["int8"]["bytes"] < sides["student"]["bytes"]
  assert sides["int8"]["rows"] == 12 and 0.8 <= sides["int8"]["agreement"] <= 1
  # Answers of another model are not the student's: the comparison is one.
  shuffled = deployed.measure(task, models, np.roll(answers, 1, axis=1), read, 16)
  assert shuffled["sides"]["int8"]["agreement"] < 0.5

  monkeypatch.setattr(deployed, "_LARGEST", parameters[2])  # a teacher that is too large for the end of a run
  monkeypatch.setattr(deployed, "_MOST", 6)
  monkeypatch.setattr(deployed, "_FEWEST", 1)
  some = deployed.measure(task, models, answers, read, 16)["sides"]
  assert list(some) == ["student", "int8"] and some["int8"]["rows"] == 6 and some["int8"]["agreement"] >= 0.8


def test_integers_of_taggers_are_not_checked_and_a_sentence_says_so():
  models = Models([], finished(TokenClassifier, STUDENT, 0))
  task = Tokens("", LABELS)
  found = deployed.measure(task, models, None, rows(6), 16)["sides"]
  assert list(found) == ["student", "int8"] and "agreement" not in found["int8"]
  metrics = {"kind": "tokens", "deployed": {"engine": "ONNX Runtime 1", "cores": 1, "tokens": 16, "sides": found}}
  assert "was not checked; export --int8 --calibrate does that" in told.sentence(metrics)


def test_without_onnxruntime_a_line_says_how_to_get_it(monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as error:
      installed.check_installed()

  def missing(*_):
    raise error.value

  monkeypatch.setattr(deployed, "_measure", missing)
  models = Models([], finished(SequenceClassifier, STUDENT, 0))
  found = deployed.measure(Classification("", LABELS), models, None, rows(1), 8)
  assert found["note"].startswith("Not measured as deployed: ") and "pip install 'tinybert_jax[onnx]'" in found["note"]
  metrics = {"deployed": found}
  assert told.sentence(metrics) == found["note"] and "tinybert_jax[onnx]" in told.section(metrics)


def test_a_fault_of_the_engine_is_told_and_ends_no_run(monkeypatch):
  def fails(*_):
    raise RuntimeError("no kernel\nfor Gelu")

  monkeypatch.setattr(deployed, "_measure", fails)
  models = Models([], finished(SequenceClassifier, STUDENT, 0))
  found = deployed.measure(Classification("", LABELS), models, None, rows(1), 8)
  assert found == {"note": "Not measured as deployed: RuntimeError: no kernel for Gelu"}


def test_page_and_terminal_tell_engine_times_sizes_and_agreement():
  sides = {
    "teacher": {"latency_ms": 2.855, "bytes": 90_900_000},
    "student": {"latency_ms": 0.104, "bytes": 3_900_000},
    "int8": {"latency_ms": 0.14, "bytes": 1_050_000, "agreement": 0.9951, "rows": 2000},
  }
  metrics = {
    "kind": "classification",
    "deployed": {"engine": "ONNX Runtime 1.32.0", "cores": 2, "tokens": 64, "sides": sides},
  }
  assert told.sentence(metrics) == (
    "As deployed, in ONNX Runtime 1.32.0 on the CPU, 2 cores, one text of 64 tokens: teacher 2.85 ms, 90.9 MB; student "
    "0.10 ms, 3.9 MB; student, 8-bit integers 0.14 ms, 1.1 MB. The integers give the student's answer for 99.5% of "
    "2,000 rows."
  )
  page = told.section(metrics)
  assert all(f"<td>{cell}</td>" in page for cell in ("2.85", "0.10", "0.14", "90.9", "3.9", "1.1")) and "JAX" in page
  assert told.sentence({}) == told.section({}) == ""  # of a run before there was that

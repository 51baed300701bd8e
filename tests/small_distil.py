"""Small tables, options and a finished classifier for `tinybert-jax distil` and `predict`."""

import csv
import dataclasses

import jax
import numpy as np
import pytest
from small_glue import TEACHER
from small_tokenizer import word_tokenizer

from tinybert_jax.cli import command_line, distil
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.pipeline.distil_settings import Settings
from tinybert_jax.settings import from_flat

SHAPE = {"student_layers": 1, "student_width": 12}
SHORT = {
  "teacher_epochs": 1, "intermediate_epochs": 1, "prediction_epochs": 1, "teacher_batch_size": 8,
  "intermediate_batch_size": 8, "prediction_batch_size": 8, "teacher_learning_rate": 1e-2,
  "intermediate_learning_rate": 1e-2, "prediction_learning_rate": 1e-2, "dtype": "float32",
}  # fmt: skip


def write(path, rows, header=("review", "topic")):
  with open(path, "w", newline="") as file:
    csv.writer(file).writerows([header, *rows])
  return str(path)


def texts(number, seed=0):
  rng = np.random.default_rng(seed)
  return [" ".join(rng.choice(["hello", "world"], rng.integers(2, 6))) for _ in range(number)]


def greets(text):
  return "greets" if text.startswith("hello") else "not"


def greetings(number, seed=0):
  return [(text, greets(text)) for text in texts(number, seed)]


def write_teacher(directory, labels=("greets", "not"), **changes):
  """Writes a classifier with random weights, whose file says that it is finished, and returns its name."""
  config = dataclasses.replace(TEACHER, labels=labels, **changes)
  params = initialize(SequenceClassifier(config), jax.random.key(0), kernels="glorot")
  save_pretrained(directory, config, params, tokenizer=word_tokenizer())
  return str(directory)


def options(**flat):
  """Returns the options of a run; of a new student from random weights, which takes less time."""
  start = {} if "student" in flat or "student_from" in flat else {"student_from": "random"}
  return distil.Options(from_flat(Settings, {**flat, **start}))


def refused(capsys, *arguments, program=distil):
  """Returns the one sentence on stderr with which the program ends, with exit code 2."""
  capsys.readouterr()
  with pytest.raises(SystemExit) as ended:
    command_line.run(program.main, program.Options, "tinybert-jax", [str(word) for word in arguments])
  error = capsys.readouterr().err
  assert ended.value.code == 2 and error.count("\n") == 1 and "Traceback" not in error, error
  return error.strip()

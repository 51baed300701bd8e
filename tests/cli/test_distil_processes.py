"""`tinybert-jax distil` in two processes on one machine, as on two hosts: the run of one, and one report."""

import json
import socket

import jax
import numpy as np
import pytest
from processes import Started
from small_distil import SHAPE, SHORT, greetings, options, write
from small_glue import TEACHER, write_encoder

from tinybert_jax import predict_table
from tinybert_jax.cli import distil


@pytest.mark.drill
def test_two_processes_give_the_student_of_one(tmp_path, monkeypatch):
  given = {
    "pretrained": write_encoder(tmp_path / "encoder", TEACHER),
    "train": write(tmp_path / "train.csv", greetings(40)),
    **SHORT,
    **SHAPE,
  }
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  words = [f"--{name.replace('_', '-')}={value}" for name, value in {**given, "out": tmp_path / "two"}.items()]
  together = ["--cpu", f"--coordinator=127.0.0.1:{port}", "--num-processes=2"]
  started = [
    Started("tinybert_jax.cli.main", "distil", *words, *together, f"--process-id={number}", devices=1)
    for number in range(2)
  ]
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  distil.main(options(**given, out=tmp_path / "one"))
  (first, second), errors = zip(*[process.communicate() for process in started], strict=True)
  assert [process.returncode for process in started] == [0, 0], errors
  assert "(cpu, 2 processes)" in first and "The student is in" in first and "The student is in" not in second
  answers = []
  for name in ("one", "two"):
    predict_table(tmp_path / name / "student", given["train"], tmp_path / f"{name}.jsonl")
    answers.append([json.loads(line)["probability_not"] for line in (tmp_path / f"{name}.jsonl").open()])
  # Not the weights: those of no effect, such as the keys' biases, follow the rounding of their gradient.
  np.testing.assert_allclose(*answers, atol=5e-3)

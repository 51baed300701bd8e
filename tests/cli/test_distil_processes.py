"""`tinybert-jax distil` in two processes on one machine, as on two hosts: the run of one, and one report."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file
from small_distil import SHAPE, SHORT, greetings, options, write
from small_glue import TEACHER, write_encoder

from tinybert_jax.cli import distil

ROOT = str(Path(__file__).parents[2])


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
  environment = os.environ | {
    "XLA_FLAGS": "--xla_force_host_platform_device_count=1 --xla_backend_optimization_level=0", "PYTHONPATH": ROOT,
  }  # fmt: skip
  started = [
    subprocess.Popen(
      [sys.executable, "-m", "tinybert_jax.cli.main", "distil", *words, *together, f"--process-id={number}"],
      env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    for number in range(2)
  ]  # fmt: skip
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  distil.main(options(**given, out=tmp_path / "one"))
  (first, second), errors = zip(*[process.communicate(timeout=300) for process in started], strict=True)
  assert [process.returncode for process in started] == [0, 0], errors
  assert "(cpu, 2 processes)" in first and "The student is in" in first and "The student is in" not in second
  one, two = (load_file(tmp_path / name / "student" / "model.safetensors") for name in ("one", "two"))
  for name, value in one.items():
    np.testing.assert_allclose(two[name], value, atol=1e-4 * max(np.abs(value).max(), 1e-6), err_msg=name)

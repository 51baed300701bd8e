"""`experiments.general` on two processes of two devices, against one process of one device."""

import json
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from processes import Started
from safetensors.numpy import load_file
from small_general import write_inputs

HERE = Path(__file__).parents[1]
STEPS = 50


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("processes")
  write_inputs(root)
  return root


@pytest.fixture(scope="module")
def alone(root):
  """The folder of a run on one device."""
  (process,) = start(root, root / "alone", processes=1, devices=1)
  assert finish(process)[0] == 0
  return root / "alone"


def start(root, out, *more, processes, devices, signals=(), caches=("cache", "cache")):
  """Starts the processes of a run with `more` options; `signals` gives what number n gets, and at what step."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  options = [
    "--cpu", "--corpus", "text.txt", "--held-out", "0.1", "--pretrained", "teacher",
    "--student", "student.json", "--out", out, "--max-length", "32", "--batch-size", "16", "--steps", STEPS,
    "--learning-rate", "1e-2", "--dtype", "float32", "--log-every", "5",
    "--evaluate-every", "25", "--checkpoint-every", "20", *more,
  ]  # fmt: skip
  started = []
  for number in range(processes):
    together = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", processes, "--process-id", number]
    sent = dict(signals).get(number, ("SIGTERM", 0))
    command = [*sent, *options, "--cache", caches[number], *(together if processes > 1 else [])]
    started.append(Started(HERE / "general_process.py", *command, cwd=root, devices=devices))
  return started


def finish(process):
  out, error = process.communicate()
  return process.returncode, out, error


def history(out):
  return [json.loads(line) for line in (out / "model" / "training" / "log.jsonl").read_text().splitlines()]


def assert_same_student(ours, theirs):
  ours_weights, weights = (load_file(each / "model" / "model.safetensors") for each in (ours, theirs))
  for name, value in weights.items():
    np.testing.assert_allclose(ours_weights[name], value, atol=1e-5 * max(np.abs(value).max(), 1e-6), err_msg=name)


def assert_same_losses(ours, theirs):
  losses = [name for name in theirs if name not in ("seconds", "grad_norm")]
  assert [ours[name] for name in losses] == pytest.approx([theirs[name] for name in losses], rel=1e-5)


def test_two_processes_give_the_run_of_one(root, alone):
  processes = start(root, root / "two", "--parallel", "pmap", processes=2, devices=2)
  results = [finish(process) for process in processes]
  assert [code for code, _, _ in results] == [0, 0], results
  assert "4 cpu devices (cpu, 2 processes)" in results[0][1]
  assert "student" in results[0][1] and "student" not in results[1][1]  # the first alone reports
  assert_same_student(root / "two", alone)
  for row, reference in zip(history(root / "two"), history(alone), strict=True):
    assert_same_losses(row, reference)


@pytest.mark.drill
def test_where_one_process_is_told_to_stop_all_do_and_another_number_of_them_goes_on(root, alone):
  out = root / "stopped"
  processes = start(root, out, "--shard-params", processes=2, devices=2, signals={1: ("SIGTERM", 30)})
  results = [finish(process) for process in processes]
  for code, _, error in results:
    assert code == 2
    assert "general: stopped at step 3" in error and "of 50, which is saved in" in error
    assert "Traceback" not in error
  assert not (out / "model").exists()
  (process,) = start(root, out, processes=1, devices=1)
  assert finish(process)[0] == 0
  assert_same_student(out, alone)
  assert_same_losses(history(out)[-1], history(alone)[-1])


@pytest.mark.drill
def test_a_process_that_is_killed_ends_the_others_and_the_run_goes_on(root, alone):
  out = root / "killed"
  killed, other = reversed(start(root, out, processes=2, devices=2, signals={1: ("SIGKILL", 30)}))
  assert finish(killed)[0] == -signal.SIGKILL
  code, _, error = finish(other)
  assert code, error
  assert not (out / "model").exists()
  (process,) = start(root, out, processes=1, devices=1)
  assert finish(process)[0] == 0
  assert_same_student(out, alone)
  assert_same_losses(history(out)[-1], history(alone)[-1])


def test_folders_that_not_all_processes_see(root):
  processes = start(root, root / "apart", processes=2, devices=1, caches=("cache", "elsewhere"))
  for code, _, error in [finish(process) for process in processes]:
    assert code == 2
    assert "process 1 does not see what process 0 writes there; all must share it" in error
    assert "Traceback" not in error

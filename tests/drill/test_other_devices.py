"""General distillation on other numbers of devices and processes than it began with: the student of one device."""

import contextlib
import random
import shlex
import signal
import socket
from pathlib import Path

import pytest
from drill_programs import GENERAL, finish
from drill_size import CHANGES, SEED
from processes import Started
from same_results import assert_nothing_left, assert_same_weights

pytestmark = pytest.mark.drill
_PROGRAM = Path(__file__).parents[1] / "general_process.py"  # which waits less long for a process that is gone
_NO_SIGNAL = ("SIGTERM", 0)


def start(folder, processes, devices):
  """Starts as many processes of as many devices each."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  started = []
  for number in range(processes):
    several = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", processes, "--process-id", number]
    words = [*_NO_SIGNAL, *shlex.split(GENERAL.options), "--cpu", "--out", "out", *(several if processes > 1 else [])]
    started.append(Started(_PROGRAM, *words, cwd=folder, devices=devices))
  return started


def test_eight_devices_give_the_student_of_one(undisturbed, tally):
  reference, _ = undisturbed.of(GENERAL)
  folder = undisturbed.fresh(GENERAL)
  tally.tried("comparison of devices")
  finish(GENERAL.start(folder, devices=8))
  assert_same_weights(folder, reference)
  tally.survived("comparison of devices")


@pytest.mark.parametrize("number", range(CHANGES))
def test_a_process_is_killed_and_other_numbers_of_them_go_on(number, undisturbed, tally):
  """Two processes of four devices, killed on either side, and then one of eight, one of one, or two of two."""
  drawn, (reference, seconds) = random.Random(f"{SEED} change {number}"), undisturbed.of(GENERAL)
  folder = undisturbed.fresh(GENERAL)
  processes = start(folder, processes=2, devices=4)
  killed, other = processes if number % 2 else reversed(processes)
  with contextlib.suppress(AssertionError):  # it is still at work
    killed.wait(drawn.random() * seconds)
  if killed.poll() is None:
    killed.send_signal(signal.SIGKILL)
  for process in (killed, other):
    _, error = process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0) or "Traceback" not in error, error
  tally.tried("change of processes")
  for process in start(folder, *((1, 8), (1, 1), (2, 2))[number % 3]):
    finish(process)
  assert_same_weights(folder, reference)
  assert_nothing_left(folder)
  tally.survived("change of processes")

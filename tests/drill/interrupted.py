"""Runs that a signal ends at random moments, and that the same command goes on with."""

import contextlib
import random
import signal

from drill_programs import finish
from drill_size import SEED
from same_results import assert_nothing_left, assert_same_results

_AT_A_STRETCH = 3  # interruptions of one run before it is left to end
_TO_STOP = 120  # seconds that a run may take to end when it is told to
_SENTENCES = ("stopped", "the same command goes on")


def interrupt_and_go_on(program, number, signal_, kind, undisturbed, tally):
  """Interrupts runs of a program `number` times; each goes on to the results of a run that nothing interrupted.

  Args:
    program: that is run.
    number: of interruptions.
    signal_: that ends it.
    kind: what the tally calls that.
    undisturbed: the runs to compare with.
    tally: of the test.
  """
  drawn, (reference, seconds) = random.Random(f"{SEED} {kind} {program.name}"), undisturbed.of(program)
  done = 0
  while done < number:
    folder, hits = undisturbed.fresh(program), 0
    while hits < min(_AT_A_STRETCH, number - done):
      process = program.start(folder)
      if not _ends_by(process, signal_, drawn.random() * seconds):
        seconds *= 0.9  # the undisturbed run compiled, and took longer
        break
      tally.tried(kind)
      hits += 1
    finish(program.start(folder))
    assert_same_results(folder, reference)
    assert_nothing_left(folder)
    tally.survived(kind, hits)
    done += hits


def _ends_by(process, signal_, seconds):
  """Returns whether a process is still at work after so many seconds, and ends by the signal that it gets then."""
  with contextlib.suppress(AssertionError):  # it is still at work
    process.wait(seconds)
  if process.poll() is None:
    process.send_signal(signal_)
  _, error = process.communicate(_TO_STOP)
  if process.returncode == 0:
    return False
  if process.returncode == 2 and signal_ == signal.SIGTERM:
    last = error.splitlines()[-1]
    assert any(words in last for words in _SENTENCES) and "Traceback" not in error, error
  else:
    assert process.returncode == -signal_, error
  return True

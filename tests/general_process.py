"""`experiments.general` in a process that gets a signal at a step: `python general_process.py SIGNAL STEP OPTIONS…`."""

import os
import signal
import sys

from tinybert_jax.cli import command_line
from tinybert_jax.cli.general import Options, main
from tinybert_jax.training import hosts
from tinybert_jax.training.run_log import RunLog

name, step = sys.argv.pop(1), int(sys.argv.pop(1))
hosts._SILENT_SECONDS = 7  # so that a test need not wait
add, steps = RunLog.add, []


def add_and_signal(self, metrics):
  add(self, metrics)
  steps.append(metrics)
  if len(steps) == step:
    os.kill(os.getpid(), getattr(signal, name))


if __name__ == "__main__":
  RunLog.add = add_and_signal
  command_line.run(main, Options, "python -m experiments.general")

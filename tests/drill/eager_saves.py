"""A command in a process of its own that saves at every evaluation: `python eager_saves.py COMMAND OPTIONS…`."""

import sys

from tinybert_jax.cli import command_line
from tinybert_jax.pipeline import stage_fit

if __name__ == "__main__":
  stage_fit.SAVE_SECONDS = 0
  name = sys.argv.pop(1)
  command_line.run_command(name, f"tinybert-jax {name}")

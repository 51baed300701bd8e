"""`python -m experiments.general --tpu`: the paper's general distillation; see `tinybert_jax.cli.general`."""

from tinybert_jax.cli import command_line
from tinybert_jax.cli.general import Options, main

if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.general")

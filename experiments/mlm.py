"""`python -m experiments.mlm --text FILE`: a masked language model; see `tinybert_jax.cli.mlm`."""

from tinybert_jax.cli import command_line
from tinybert_jax.cli.mlm import Options, main

if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.mlm")

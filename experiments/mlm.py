"""`python -m experiments.mlm --text FILE`: a masked language model; see `tinybert_jax.cli.mlm`."""

from tinybert_jax.cli import command_line

if __name__ == "__main__":
  command_line.run_command("mlm", "python -m experiments.mlm")

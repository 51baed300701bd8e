"""`python -m experiments.distil`: a student of your own classifier, on your own data; see `tinybert_jax.cli.distil`."""

from tinybert_jax.cli import command_line

if __name__ == "__main__":
  command_line.run_command("distil", "python -m experiments.distil")

"""`python -m experiments.squad`: SQuAD v1.1 or v2.0 with the paper's settings; see `tinybert_jax.cli.squad`."""

from tinybert_jax.cli import command_line

if __name__ == "__main__":
  command_line.run_command("squad", "python -m experiments.squad")

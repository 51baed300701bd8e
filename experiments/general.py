"""`python -m experiments.general --tpu`: the paper's general distillation; see `tinybert_jax.cli.general`."""

from tinybert_jax.cli import command_line

if __name__ == "__main__":
  command_line.run_command("general", "python -m experiments.general")

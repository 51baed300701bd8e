"""`python -m experiments.glue --task qqp`: the paper's task distillation; see `tinybert_jax.cli.glue`."""

from tinybert_jax.cli import command_line

if __name__ == "__main__":
  command_line.run_command("glue", "python -m experiments.glue")

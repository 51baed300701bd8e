"""`python -m experiments.glue --task qqp`: the paper's task distillation; see `tinybert_jax.cli.glue`."""

from tinybert_jax.cli import command_line
from tinybert_jax.cli.glue import main
from tinybert_jax.cli.glue_options import Options

if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.glue")

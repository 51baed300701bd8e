"""`python -m experiments.ablations`: the paper's Tables 2, 3 and 4, and ours; see `tinybert_jax.cli.ablations`."""

from tinybert_jax.cli import command_line

if __name__ == "__main__":
  command_line.run_command("ablations", "python -m experiments.ablations")

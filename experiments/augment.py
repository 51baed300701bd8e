"""`python -m experiments.augment --task cola`: data augmentation; see `tinybert_jax.cli.augment`."""

from tinybert_jax.cli import command_line

if __name__ == "__main__":
  command_line.run_command("augment", "python -m experiments.augment")

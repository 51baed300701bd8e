"""`python -m experiments.augment --task cola`: data augmentation; see `tinybert_jax.cli.augment`."""

from tinybert_jax.cli import command_line
from tinybert_jax.cli.augment import Options, main

if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.augment")

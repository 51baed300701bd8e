"""Speed, as ratios of alternatives that run in turns: `python -m experiments.benchmark --suite task`."""

from experiments import lengths
from experiments.benchmark import augment, deploy, dropout, feeding, general, inference, memory, task
from experiments.benchmark.options import Options
from tinybert_jax.cli import command_line
from tinybert_jax.errors import InputError
from tinybert_jax.training.hosts import keep_programs

SUITES = {
  "dropout": dropout.measure,
  "task": task.measure,
  "augment": augment.measure,
  "general": general.measure,
  "inference": inference.measure,
  "deploy": deploy.measure,
  "feeding": feeding.measure,
  "memory": memory.measure,
  "lengths": lambda options: lengths.draw(options.out),
}


def main(options: Options) -> None:
  """Runs the suite and prints what it found."""
  for name in (
    "batch_size",
    "repeats",
    "length",
    "hidden_size",
    "max_length",
    "sequences",
    "original_batches",
    "sentences",
    "original_sentences",
    "steps",
  ):
    value = getattr(options, name)
    if value is not None and value < 1:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be at least 1")
  SUITES[options.suite](options)


def run(options: Options) -> None:
  """Does as `main`, with compiled programs kept for the next time."""
  # One that a profile is of must have the names that its operations are told by, which another's copy may not have.
  if not options.profile:
    keep_programs()
  main(options)


if __name__ == "__main__":
  command_line.run(run, Options, "python -m experiments.benchmark")

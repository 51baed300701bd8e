"""`tinybert-jax trim --model DIR --text FILE --vocabulary 8000 --out DIR`: a model of fewer tokens."""

from tinybert_jax.cli.trim_options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import trimming
from tinybert_jax.settings import check


def main(options: Options) -> None:
  """Trims, and prints what became of texts and parameters."""
  check(options)
  if not options.text:
    raise InputError("--text: no file is given")
  if (options.vocabulary is None) == (options.min_count is None):
    raise InputError("give either --vocabulary, the most tokens to keep, or --min-count")
  done = trimming.trim_directory(
    options.model,
    options.text,
    options.out,
    size=options.vocabulary,
    min_count=options.min_count,
    held_out=options.held_out,
  )
  print(f"{done.parameters:,} parameters, {done.parameters_before:,} before. The model is in {options.out}.")

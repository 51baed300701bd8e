"""`tinybert-jax predict --model DIR --data FILE --out FILE`: labels and probabilities for a table of texts."""

import jax

from tinybert_jax.cli.predict_options import Options
from tinybert_jax.pipeline import predictions
from tinybert_jax.settings import check
from tinybert_jax.training import hosts


def main(options: Options) -> None:
  """Predicts, and prints where the result is."""
  check(options)
  hosts.join(options.hosts)
  if jax.process_index() > 0:  # the first does it all
    hosts.wait_for_all()
    return
  done = predictions.predict_table(
    options.model,
    options.data,
    options.out,
    text=options.text,
    pair=options.pair,
    reading=options.reading,
    max_length=options.max_length,
    batch_size=options.batch_size,
    dtype=options.dtype,
  )
  print(f"{done.rows:,} rows in {done.seconds:.1f} s ({done.rows / done.seconds:,.0f} a second) are in {options.out}")
  for note in done.notes:
    print(note)
  hosts.wait_for_all()

"""`tinybert-jax search --teacher DIR --train FILE --latency-ms 2`: the best student in a budget of time and size."""

import json

import datasets

from tinybert_jax.cli import command_line
from tinybert_jax.cli.search_options import Options
from tinybert_jax.pipeline import report, search
from tinybert_jax.pipeline.evaluation import METRICS
from tinybert_jax.settings import as_flat
from tinybert_jax.training import hosts
from tinybert_jax.training.hosts import say


def main(options: Options) -> None:
  """Searches, distils the best, and prints what was found."""
  settings = options.run
  search.check(settings, options.search)
  hosts.join(options.hosts)
  datasets.disable_progress_bars()
  flat = {name: value for name, value in as_flat(settings).items() if name != "out"} | as_flat(options.search)
  given = json.loads(json.dumps(flat, default=str))
  found = search.run(settings, options.search, command=command_line.command(), given=given)
  best = settings.out / search.BEST
  say("\n" + report.table(json.loads((best / METRICS).read_text(encoding="utf-8"))))
  say("\n" + search.table(found))
  say(
    f"\nThe rounds' scores are of dev, after short distillations. The student is in {best / 'student'}, a page about "
    f"it in {best / report.PAGE}, the picture of the search in {settings.out / search.PICTURE}."
  )

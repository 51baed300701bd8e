"""`tinybert-jax distil`, `python -m experiments.distil`: a student of your own classifier, on your own data."""

import json
from typing import Any

import datasets

from tinybert_jax.cli import command_line
from tinybert_jax.cli.distil_options import Options
from tinybert_jax.pipeline import distil, report
from tinybert_jax.pipeline.distil_settings import Settings
from tinybert_jax.pipeline.evaluation import METRICS
from tinybert_jax.pipeline.kinds import check
from tinybert_jax.settings import as_flat
from tinybert_jax.training import hosts
from tinybert_jax.training.hosts import say

_CHANGES_NO_RESULT = ("out",)


def main(options: Options) -> None:
  """Distils, and prints the results, where they are, and what to do next."""
  settings = options.run
  check(settings)
  hosts.join(options.hosts)
  hosts.check_shared(settings.out)
  datasets.disable_progress_bars()
  metrics = distil.run(settings, command=command_line.command(), options=_as_json(settings))
  if "evaluate" not in settings.stages:
    say(command_line.what_is_next(settings.stages, Settings.stages, settings.out))
  if metrics:
    student = settings.out / "student"
    say("\n" + report.table(metrics))
    say(
      f"\nThe student is in {student}, all figures in {settings.out / METRICS}, a page about them in "
      f"{settings.out / report.PAGE}.\nUse it: tinybert-jax predict --model {student} --data FILE --out FILE"
    )
  hosts.wait_for_all()


def _as_json(settings: Settings) -> dict[str, Any]:
  """Returns the options by name, as JSON values, without those that change no result."""
  flat = {name: value for name, value in as_flat(settings).items() if name not in _CHANGES_NO_RESULT}
  return json.loads(json.dumps(flat, default=str))

"""A run's results as lines for the terminal."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tinybert_jax.pipeline.metric_names import words
from tinybert_jax.pipeline.report import deployed
from tinybert_jax.pipeline.report.claims import summary
from tinybert_jax.pipeline.report.results import metric_names, models_of, score_cell
from tinybert_jax.pipeline.report.wording import counted, shortened, with_unit

_COLUMNS = 100  # of the terminal


def table(metrics: Mapping[str, Any]) -> str:
  """Returns the results as lines of at most 100 columns: a row for each model, then what the student keeps.

  Args:
    metrics: see `write`.
  """
  models = models_of(metrics)
  name_width = max([len("student, labels alone"), *(len(shortened(name, 26)) for name, _ in models)])
  columns: list[tuple[str, list[str]]] = []
  room = _COLUMNS - name_width
  costs = [("parameters", [counted(side.get("parameters")) for _, side in models])]
  costs += [("latency", [with_unit(side.get("latency_ms"), "ms") for _, side in models])]
  costs = [(title, cells) for title, cells in costs if any(cells)]
  room -= sum(_width(*cost) for cost in costs)
  for key in metric_names(metrics):
    column = (shortened(words(key), 20), [score_cell(side, key, metrics) for _, side in models])
    if _width(*column) <= room:
      columns.append(column)
      room -= _width(*column)
  columns += costs
  lines = [" " * name_width + "".join(f"{title:>{_width(title, cells)}}" for title, cells in columns)]
  for index, (name, _) in enumerate(models):
    cells = "".join(f"{cells[index]:>{_width(title, cells)}}" for title, cells in columns)
    lines.append(f"{shortened(name, 26):{name_width}}{cells}".rstrip())
  parts = [summary(metrics), _retrieval(metrics), deployed.sentence(metrics)]
  said = textwrap.wrap(" ".join(filter(None, parts)), _COLUMNS, break_on_hyphens=False)
  return "\n".join([*lines, "", *said] if said else lines)


def _retrieval(metrics: Mapping[str, Any]) -> str:
  """Returns how teacher and student rank passages, in a sentence; empty where that was not measured."""
  found = metrics.get("retrieval") or {}
  said = [
    f"{name} {', '.join(f'{words(key)} {100 * value:.1f}' for key, value in values.items())}"
    for name, values in found.items()
    if isinstance(values, Mapping) and values
  ]
  return f"Retrieval, {found['queries']:,} queries: {'; '.join(said)}." if said else ""


def _width(title: str, cells: Sequence[str]) -> int:
  return 2 + max(len(text) for text in (title, *cells))

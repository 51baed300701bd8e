"""Tables of ablations: means and spreads over seeds, the change against the base, and the paper's numbers beside."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# Scores on dev by variant, task and seed.
Scores = Mapping[tuple[str, str, int], float]


class Row(NamedTuple):
  """A row of a table.

  Attributes:
    name: of the variant.
    words: what the row is called.
    tasks: that the variant is of; of others it is left out.
    paper: the paper's average; None where it has none.
  """

  name: str
  words: str
  tasks: tuple[str, ...]
  paper: float | None = None


class Spread(NamedTuple):
  """Mean and sample standard deviation over seeds, the latter None of one seed; and how many seeds lack.

  The mean is None where all lack.
  """

  mean: float | None
  deviation: float | None = None
  seeds: int = 0
  missing: int = 0

  def __str__(self) -> str:
    if self.mean is None:
      return "–"
    deviation = "" if self.deviation is None else f" ± {self.deviation:.2f}"
    return f"{self.mean:.2f}{deviation}" + (f" ({self.seeds} of {self.seeds + self.missing})" if self.missing else "")

  @property
  def signed(self) -> str:
    """The same with a sign, as differences have."""
    return f"+{self}" if self.mean is not None and self.mean >= 0 else str(self)


def spread(values: Sequence[float | None]) -> Spread:
  """Returns mean and spread of the values that are there, times 100."""
  there = 100 * np.asarray([value for value in values if value is not None], np.float64)
  missing = len(values) - len(there)
  if not len(there):
    return Spread(None, missing=missing)
  return Spread(float(there.mean()), float(there.std(ddof=1)) if len(there) > 1 else None, len(there), missing)


def summarize(
  rows: Sequence[Row], scores: Scores, base: Row, tasks: Sequence[str], seeds: Sequence[int]
) -> list[dict[str, Any]]:
  """Returns a JSON value for each row: the spread in each task, on average, and of the change against the base.

  A seed counts in average and change where it has a score in each of the row's tasks. The change is that of the average
  over the same tasks, seed by seed, so that what seeds have in common does not widen its spread.

  Args:
    rows: of the table.
    scores: that there are.
    base: that is compared with.
    tasks: in the order of columns.
    seeds: of each variant.
  """
  made = []
  for row in rows:
    known = [task for task in tasks if task in row.tasks]
    means = [_mean([scores.get((row.name, task, seed)) for task in known]) for seed in seeds]
    bases = [_mean([scores.get((base.name, task, seed)) for task in known]) for seed in seeds]
    changes = [
      None if ours is None or theirs is None else ours - theirs for ours, theirs in zip(means, bases, strict=True)
    ]
    made.append(
      {
        "name": row.name,
        "words": row.words,
        "tasks": {
          task: {
            **spread([scores.get((row.name, task, seed)) for seed in seeds])._asdict(),
            "scores": {str(seed): scores.get((row.name, task, seed)) for seed in seeds},
          }
          for task in known
        },
        "average": spread(means)._asdict(),
        "change": None if row.name == base.name else {**spread(changes)._asdict(), "by_seed": changes},
        "paper": row.paper,
        "paper_change": None if row.paper is None or base.paper is None else round(row.paper - base.paper, 2),
      }
    )
  return made


def markdown(table: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> str:
  """Returns a table of `summarize` as Markdown."""
  heads = ["dev, × 100", *tasks, "average", "change", "paper's average", "paper's change"]
  lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
  for row in table:
    partial = f" of {', '.join(row['tasks'])}" if len(row["tasks"]) < len(tasks) else ""
    cells = [str(_spread(row["tasks"][task])) if task in row["tasks"] else "" for task in tasks]
    change = _spread(row["change"]).signed if row["change"] else ""
    paper = ["" if row["paper"] is None else f"{row['paper']:.1f}"]
    paper.append(f"{row['paper_change']:+.1f}" if row["change"] and row["paper_change"] is not None else "")
    average = f"{_spread(row['average'])}{partial}"
    lines.append(f"| {' | '.join([row['words'], *cells, average, change, *paper])} |")
  return "\n".join(lines)


def _spread(values: Mapping[str, Any]) -> Spread:
  return Spread(*(values[name] for name in Spread._fields))


def _mean(values: Sequence[float | None]) -> float | None:
  """Returns the mean; None where a value lacks, or there is none."""
  there = [value for value in values if value is not None]
  return sum(there) / len(there) if there and len(there) == len(values) else None

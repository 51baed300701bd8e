"""The picture of a search: what shapes of students score, and the time that they take."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinybert_jax.pipeline.figures.picture import PLAIN, STUDENT, TEACHER, named, picture


def scores_by_latency(path: Path, found: Mapping[str, Any]) -> None:
  """Draws the shapes' scores after the first round against their time for one text, and those that went on.

  Args:
    path: of the PNG.
    found: what `search.json` holds.
  """
  rows = sorted(found["shapes"], key=lambda row: row["latency_ms"])
  front, best = [], float("-inf")
  for row in rows:
    if row["scores"][0] > best:
      best = row["scores"][0]
      front.append(row)
  with picture(path, 1, 1, (6.4, 4.2)) as (figure, axes):
    axis = axes[0]
    axis.plot([row["latency_ms"] for row in front], [100 * row["scores"][0] for row in front], color=PLAIN, ls=":")
    for number in range(max(len(row["scores"]) for row in rows)):
      there = [row for row in rows if len(row["scores"]) > number]
      axis.plot(
        [row["latency_ms"] for row in there],
        [100 * row["scores"][number] for row in there],
        "o",
        color=STUDENT if number else PLAIN,
        alpha=min(1, 0.4 + 0.3 * number),
        ms=7 + 2 * number,
        label=f"round {number + 1}, {len(there)} shapes" if len(there) > 1 else f"round {number + 1}",
      )
    for row in rows:
      axis.annotate(
        row["name"],
        (row["latency_ms"], 100 * row["scores"][-1]),
        textcoords="offset points",
        xytext=(0, 9),
        ha="center",
        fontsize="x-small",
      )
    if found.get("teacher_score") is not None:
      label = f"teacher on {found['split']}, {found['teacher_ms']:.2f} ms"
      axis.axhline(100 * found["teacher_score"], color=TEACHER, ls=":", label=label)
    axis.set(xlabel="one text, ms", ylabel=f"{named(found['score_name'])} × 100", xlim=(0, None))
    axis.margins(y=0.12)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, markerscale=0.7)

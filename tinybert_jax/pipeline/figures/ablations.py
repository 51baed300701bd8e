"""The picture of ablations: what each variant changes against the base, beside the paper's change."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.pipeline.figures.picture import PLAIN, STUDENT, TEACHER, picture, plain


def changes(path: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
  """Draws the change of each variant against the base, in points; returns whether there was any to draw.

  Bars are means, whiskers standard deviations, dots the seeds, and diamonds the paper's changes.

  Args:
    path: of the PNG.
    tables: rows as `ablation_table.summarize` gives them, by title.
  """
  drawn = {title: [row for row in table if _mean(row) is not None] for title, table in tables.items()}
  lines: list[tuple[str, Mapping[str, Any] | None]] = []
  for title, rows in drawn.items():
    if rows:
      lines += [(title, None), *((row["words"], row) for row in rows)]
  if not lines:
    return False
  with picture(path, 1, 1, (7.2, 1.2 + 0.33 * len(lines))) as (figure, (axis,)):
    for place, (_, row) in enumerate(lines):
      if row is not None:
        _draw(axis, place, row)
    axis.axvline(0, color="black", lw=0.8)
    axis.use_sticky_edges = False
    axis.margins(x=0.06)
    axis.set_yticks(range(len(lines)), [plain(words, 60) for words, _ in lines])
    for label, (_, row) in zip(axis.get_yticklabels(), lines, strict=True):
      label.set_fontweight("bold" if row is None else "normal")
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("change against the base, points, on average over tasks")
    shown = {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", frameon=False, ncols=len(shown))
  return True


def _draw(axis: Any, place: int, row: Mapping[str, Any]) -> None:
  change = row["change"]
  axis.barh(place, change["mean"], height=0.6, color=STUDENT, alpha=0.5, label="mean", zorder=2)
  if change["deviation"] is not None:
    axis.errorbar(change["mean"], place, xerr=change["deviation"], color="black", capsize=3, lw=1, zorder=3)
    seeds = [100 * value for value in change["by_seed"] if value is not None]
    axis.plot(seeds, [place] * len(seeds), "o", color=PLAIN, ms=4, label="seeds", zorder=4)
  if row["paper_change"] is not None:
    axis.plot(row["paper_change"], place, "D", mfc="white", mec=TEACHER, mew=1.5, ms=7, label="the paper's", zorder=5)


def _mean(row: Mapping[str, Any]) -> float | None:
  return row["change"] and row["change"]["mean"]

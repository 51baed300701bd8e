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
  drawn = {title: rows for title, rows in drawn.items() if rows}
  if not drawn:
    return False
  most = max(len(rows) for rows in drawn.values())
  with picture(path, len(drawn), 1, (7.2, 0.9 + 0.42 * most), sharex=True) as (figure, axes):
    for axis, (title, rows) in zip(axes, drawn.items(), strict=True):
      for place, row in enumerate(rows):
        change = row["change"]
        axis.barh(place, change["mean"], height=0.6, color=STUDENT, alpha=0.55, label="mean", zorder=2)
        if change["deviation"] is not None:
          axis.errorbar(change["mean"], place, xerr=change["deviation"], color="black", capsize=3, lw=1, zorder=3)
          seeds = [100 * value for value in change["by_seed"] if value is not None]
          axis.plot(seeds, [place] * len(seeds), "o", color=PLAIN, ms=4, label="seeds", zorder=4)
        if row["paper_change"] is not None:
          axis.plot(
            row["paper_change"], place, "D", mfc="white", mec=TEACHER, mew=1.5, ms=7, label="the paper's", zorder=5
          )
      axis.axvline(0, color="black", lw=0.8)
      axis.set_title(title, loc="left")
      axis.set_yticks(range(len(rows)), [plain(row["words"]) for row in rows])
      axis.set_ylim(len(rows) - 0.4, -0.6)
      axis.grid(visible=False, axis="y")
      axis.tick_params(axis="x", labelbottom=True)
    axes[len(drawn) - 1].set_xlabel("points more or less than the base, on average over tasks (dev, × 100)")
    shown = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", frameon=False, ncols=len(shown))
  return True


def _mean(row: Mapping[str, Any]) -> float | None:
  return row["change"] and row["change"]["mean"]

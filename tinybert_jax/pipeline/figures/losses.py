"""Pictures of losses against steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinybert_jax.distillation.terms import HELD_OUT, NOT_TERMS, in_words, keys_by_term
from tinybert_jax.pipeline.figures.picture import PLAIN, STUDENT, named, picture, plain

if TYPE_CHECKING:
  from matplotlib.axes import Axes

History = Sequence[Mapping[str, int | float]]

_LINES = ("#2f7f6f", "#7d55a0", "#b08a1e", "#4063a8", "#b0413e", "#5f6b73", "#d0709f", "#4aa3c4")


def stage_losses(path: Path, histories: Mapping[str, History]) -> None:
  """Draws each stage's training loss by term against its steps, and its score on dev as dots where measured.

  Args:
    path: of the PNG.
    histories: rows of the stages' logs, by stage; a term's layers (`hidden_1`, `hidden_2`), or other parts, are summed.
  """
  columns = min(2, len(histories))
  width = 3.5 if columns > 1 else 4.4
  with picture(path, -(-len(histories) // columns), columns, (width, 3.3)) as (_, axes):
    for axis, (name, history) in zip(axes, histories.items(), strict=False):
      _stage(axis, name, history)


def _stage(axis: "Axes", name: str, history: History) -> None:
  losses = [row for row in history if "loss" in row]
  groups = loss_terms(losses)
  if len(groups) < 2:  # a single term is the loss itself
    groups = {next(iter(groups), "loss"): ["loss"]}
  for (term, keys), color in zip(groups.items(), _cycle(_LINES, len(groups)), strict=True):
    values = [sum(row.get(key, 0) for key in keys) for row in losses]
    points = _thinned([row["step"] for row in losses], values)
    axis.plot(*points, _style(points), color=color, label=plain(in_words(term)))
    held_out = [row for row in history if any(HELD_OUT + key in row for key in keys)]
    sums = [sum(row.get(HELD_OUT + key, 0) for key in keys) for row in held_out]
    axis.plot([row["step"] for row in held_out], sums, "o", color=color, ms=4)
  _losses_axis(axis, named(name), "loss (dots: held out)" if _held_out(history) else "loss", len(groups))
  scores = [row for row in history if row.get("score") is not None]
  if scores and not _held_out(history):  # the score of such a stage is its held-out loss, which is drawn
    right = axis.twinx()
    values = [100 * row["score"] for row in scores]
    right.plot([row["step"] for row in scores], values, "o", color=STUDENT, ms=4.5, clip_on=False)
    right.set_ylabel(f"dev {_score_name(scores[-1])} × 100", color=STUDENT)
    right.tick_params(axis="y", labelcolor=STUDENT)
    right.spines["top"].set_visible(False)
    right.margins(y=0.12)


def masked_losses(path: Path, history: History, steps_per_epoch: int) -> None:
  """Draws a masked language model's loss, in training and on held-out text, against the epochs.

  Args:
    path: of the PNG.
    history: rows of the log.
    steps_per_epoch: steps of one pass over the text.
  """
  with picture(path, 1, 1, (5.4, 3.4)) as (_, (axis,)):
    for key, label, style, color in (
      ("loss", "training, mean over batches", "-", PLAIN),
      ("held_out_loss", "held out, mean over tokens", "o-", STUDENT),
    ):
      rows = [row for row in history if key in row]
      epochs = [row["step"] / steps_per_epoch for row in rows]
      axis.plot(epochs, [row[key] for row in rows], style, color=color, label=label)
    axis.set(xlabel="epoch", ylabel="cross-entropy, nats a masked token")
    axis.legend(frameon=False)


def general_losses(path: Path, history: History) -> None:
  """Draws the losses of each term and part, such as a layer, against the steps: lines in training, dots held out.

  Args:
    path: of the PNG.
    history: rows of the log; one panel for each of its terms.
  """
  from matplotlib import colormaps

  groups = loss_terms(history) or {"loss": ["loss"]}
  columns = min(2, len(groups))
  with picture(path, -(-len(groups) // columns), columns, (3.5, 3.3)) as (_, axes):
    for axis, (term, keys) in zip(axes, groups.items(), strict=False):
      for key, color in zip(keys, colormaps["viridis"](np.linspace(0, 0.8, len(keys))), strict=True):
        rows = [row for row in history if key in row]
        held_out = [row for row in history if HELD_OUT + key in row]
        label = key.removeprefix(f"{term}_") if key != term else None
        points = _thinned([row["step"] for row in rows], [row[key] for row in rows])
        axis.plot(*points, _style(points), color=color, label=label)
        values = [row[HELD_OUT + key] for row in held_out]
        axis.plot([row["step"] for row in held_out], values, "o", color=color, ms=3.5)
      _losses_axis(axis, plain(in_words(term)), "loss (dots: held out)" if _held_out(history) else "loss", 1)
      if len(keys) > 1:
        title = "layer" if all(key.removeprefix(f"{term}_").isdigit() for key in keys) else None
        axis.legend(frameon=False, fontsize="small", title=title, title_fontsize="small", ncols=-(-len(keys) // 6))


def loss_terms(history: History) -> dict[str, list[str]]:
  """Returns the keys of each term of the loss in a log, by the term's name."""
  return keys_by_term(key for row in history if "loss" in row and "step" in row for key in row)


def _losses_axis(axis: "Axes", title: str, label: str, terms: int) -> None:
  """Labels a panel of losses; with several terms, their names stand between title and panel."""
  from matplotlib.ticker import LogLocator, NullFormatter

  values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axis.get_lines()] or [np.zeros(0)])
  values = values[np.isfinite(values)]
  if values.size and values.min() > 0 and values.max() > 3 * values.min():
    axis.set_yscale("log")
    few = values.max() / values.min() > 100
    axis.yaxis.set_major_locator(LogLocator(subs=(1,) if few else (1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
  axis.set_xlabel("step")
  axis.set_ylabel(label)
  axis.locator_params(axis="x", nbins=4)
  rows = 1 if terms <= 3 else -(-terms // 2)
  if terms > 1:
    columns = terms if terms <= 3 else 2
    axis.legend(
      loc="lower left", bbox_to_anchor=(-0.1, 0.98), ncols=columns, frameon=False, handlelength=1, columnspacing=1
    )
  axis.set_title(title, loc="left", pad=6 + (17 * rows if terms > 1 else 0))


def _style(points: tuple[np.ndarray, np.ndarray]) -> str:
  """Returns how a line is drawn; one of a single point has no length, and would not be seen."""
  return "_" if len(points[0]) == 1 else "-"


def _thinned(
  steps: Sequence[int | float], values: Sequence[int | float], most: int = 200
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the points, or the means of `most` runs of them where there are more."""
  if len(steps) <= most:
    return np.asarray(steps), np.asarray(values)
  thin_steps, thin_values = (
    np.array([part.mean() for part in np.array_split(np.asarray(side), most)]) for side in (steps, values)
  )
  return thin_steps, thin_values


def _cycle(colors: Sequence[str], number: int) -> list[str]:
  return [colors[index % len(colors)] for index in range(number)]


def _held_out(history: History) -> bool:
  return any(key.startswith(HELD_OUT) for row in history for key in row)


def _score_name(row: Mapping[str, int | float]) -> str:
  """Returns the name of the metric that the score of a row of the log is."""
  return named(next((key for key in row if key not in NOT_TERMS and row[key] == row["score"]), "score"))

"""Pictures of runs, as PNG files that stay legible on a phone."""

import contextlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

TEACHER, STUDENT, PLAIN = "#4063a8", "#d9742b", "#8a8a8a"
GOAL = 0.968  # the share of the teacher's score that the paper's 4-layer student keeps on GLUE
MOST_CLASSES = 25  # in a picture
COUNTS_UP_TO = 12  # classes: above that, the numbers would not fit in the cells

History = Sequence[Mapping[str, float]]
AttentionRow = tuple[str, Float[np.ndarray, "heads query key"], int]

_LINES = ("#2f7f6f", "#7d55a0", "#b08a1e", "#4063a8", "#b0413e", "#5f6b73")
NOT_TERMS = {"step", "epoch", "loss", "grad_norm", "learning_rate", "skipped", "skipped_in_a_row", "seconds", "score"}
_HELD_OUT = "held_out_"
_SPELLINGS = {"f1": "F1", "mse": "MSE", "rmse": "RMSE", "mae": "MAE"}
_SPELLINGS |= {name: name.capitalize() for name in ("pearson", "spearman", "matthews")}
# Tried in this order after DejaVu, which has no Chinese, Japanese, Korean, Devanagari or Thai.
_MORE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS")


def stage_losses(path: Path, histories: Mapping[str, History]) -> None:
  """Draws each stage's training loss by term against its steps, and its score on dev as dots where measured.

  Args:
    path: of the PNG.
    histories: rows of the stages' logs, by stage; a term's layers (`hidden_1`, `hidden_2`) are summed.
  """
  columns = min(2, len(histories))
  width = 3.5 if columns > 1 else 4.4
  with _picture(path, -(-len(histories) // columns), columns, (width, 3.3)) as (_, axes):
    for axis, (name, history) in zip(axes, histories.items(), strict=False):
      _stage(axis, name, history)


def _stage(axis: "Axes", name: str, history: History) -> None:
  losses = [row for row in history if "loss" in row]
  groups = loss_terms(losses)
  if len(groups) < 2:  # a single term is the loss itself
    groups = {next(iter(groups), "loss"): ["loss"]}
  for (term, keys), color in zip(groups.items(), _cycle(_LINES, len(groups)), strict=True):
    values = [sum(row.get(key, 0) for key in keys) for row in losses]
    axis.plot(*_thinned([row["step"] for row in losses], values), color=color, label=_named(term))
    held_out = [row for row in history if any(_HELD_OUT + key in row for key in keys)]
    sums = [sum(row.get(_HELD_OUT + key, 0) for key in keys) for row in held_out]
    axis.plot([row["step"] for row in held_out], sums, "o", color=color, ms=4)
  _losses_axis(axis, _named(name), "loss (dots: held out)" if _held_out(history) else "loss", len(groups))
  scores = [row for row in history if row.get("score") is not None]
  if scores and not _held_out(history):  # the score of such a stage is its held-out loss, which is drawn
    right = axis.twinx()
    values = [100 * row["score"] for row in scores]
    right.plot([row["step"] for row in scores], values, "o", color=STUDENT, ms=4.5, clip_on=False)
    right.set_ylabel(f"dev {_score_name(scores[-1])} × 100", color=STUDENT)
    right.tick_params(axis="y", labelcolor=STUDENT)
    right.spines["top"].set_visible(False)
    right.margins(y=0.12)


def score_against_cost(path: Path, metrics: Mapping[str, Any]) -> None:
  """Draws the score against parameters and latency: teacher, student, and the baselines that `metrics` holds.

  Args:
    path: of the PNG.
    metrics: with a score of teacher and student; see `report.write`.
  """
  main = metrics.get("main_metric", "score")
  teacher, student = metrics["teacher"], metrics["student"]
  points = [("teacher", teacher, TEACHER, "o"), ("student", student, STUDENT, "o")]
  if score_of(metrics.get("labels alone"), main) is not None:
    alone = metrics["labels alone"]
    points.insert(1, (alone.get("name", "student, labels alone"), {**student, **alone}, PLAIN, "D"))
  majority = score_of(metrics.get("majority"), main)
  costs = [
    (key, scale, label)
    for key, scale, label in (
      ("parameters", 1e-6, "parameters, millions"),
      ("latency_ms", 1, "latency of one text, ms"),
    )
    if teacher.get(key) and student.get(key)
  ]
  with _picture(path, len(costs) or 1, 1, (4.0, 2.8), sharey=True) as (figure, axes):
    for axis, (key, scale, label) in zip(axes, costs, strict=False):
      for name, side, color, marker in points:
        score = 100 * score_of(side, main)
        axis.plot(scale * side[key], score, marker, color=color, ms=10, label=f"{_plain(name)}: {score:.1f}", zorder=3)
      best = 100 * score_of(teacher, main)
      if best > 0:
        axis.axhline(GOAL * best, color=TEACHER, ls=":", label=f"{GOAL:.1%} of the teacher's: {GOAL * best:.1f}")
      if majority is not None:
        axis.axhline(100 * majority, color=PLAIN, ls=":", label=f"majority baseline: {100 * majority:.1f}")
      axis.set(xlim=(0, 1.12 * scale * max(teacher[key], student[key])), xlabel=label, ylabel=f"{_named(main)} × 100")
      axis.margins(y=0.15)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False, markerscale=0.7)


def confusion(path: Path, metrics: Mapping[str, Any], models: Sequence[str] = ("teacher", "student")) -> None:
  """Draws the confusion matrices of the models side by side: true classes down, answers across.

  Colours are shares of a class's rows. Of more than MOST_CLASSES classes, those with most errors are drawn.

  Args:
    path: of the PNG.
    metrics: with `confusion`; see `report.write`.
    models: whose matrices.
  """
  matrices = {name: np.asarray(metrics["confusion"][name], float) for name in models}
  shown = confused_classes(metrics)
  labels, total = (
    [_squeezed(metrics["confusion"]["labels"][index]) for index in shown],
    len(metrics["confusion"]["labels"]),
  )
  note = f": the {len(shown)} of {total} classes with most errors" if len(shown) < total else ""
  counts = len(shown) <= COUNTS_UP_TO
  side = max(2.6, (0.52 if counts else 0.25) * len(shown))
  with _picture(path, 1, len(models), (side + 0.9, side + 1.0), sharey=True, grid=False) as (figure, axes):
    for axis, (name, matrix) in zip(axes, matrices.items(), strict=True):
      # Shares of the whole row, also where some columns are left out.
      shares = (matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))[np.ix_(shown, shown)]
      image = axis.imshow(shares, cmap="Blues" if name == "teacher" else "Oranges", vmin=0, vmax=1)
      axis.set_title(name + note)
      axis.set_xticks(range(len(shown)), labels, rotation=90)
      axis.set_yticks(range(len(shown)), labels)
      axis.set_xlabel("answer")
      axis.spines[:].set_visible(False)
      if not counts:
        figure.colorbar(image, ax=axis, shrink=0.6, label="share of the class's rows")
      for (row, column), share in np.ndenumerate(shares if counts else np.empty((0, 0))):
        count = int(matrix[shown[row], shown[column]])
        color = "white" if share > 0.55 else "black"
        axis.text(column, row, f"{count:,}" if count else "", ha="center", va="center", color=color, fontsize="small")
    axes[0].set_ylabel("label")


def confused_classes(metrics: Mapping[str, Any]) -> list[int]:
  """Returns the numbers of the classes that `confusion` draws: all, or those with most errors of the two models."""
  matrices = [np.asarray(metrics["confusion"][name], float) for name in ("teacher", "student")]
  errors = sum(matrix.sum(axis=1) - np.diag(matrix) for matrix in matrices)
  return sorted(np.argsort(-errors, kind="stable")[:MOST_CLASSES].tolist())


def predicted_values(path: Path, metrics: Mapping[str, Any], models: Sequence[str] = ("teacher", "student")) -> None:
  """Draws a regression's predictions against the labels, or the student's against the teacher's without labels.

  Args:
    path: of the PNG.
    metrics: with `predictions`; see `report.write`.
    models: whose predictions, where there are labels.
  """
  values = {name: np.asarray(column, float) for name, column in metrics["predictions"].items() if column is not None}
  pairs = [("label", model) for model in models] if "label" in values else [("teacher", "student")]
  low = min(column.min() for column in values.values())
  high = max(column.max() for column in values.values())
  with _picture(path, 1, len(pairs), (3.3, 3.4), sharey=True) as (_, axes):
    for axis, (across, up) in zip(axes, pairs, strict=True):
      color = TEACHER if up == "teacher" else STUDENT
      axis.plot([low, high], [low, high], ":", color=PLAIN)
      axis.scatter(values[across], values[up], s=9, alpha=0.4, color=color, linewidths=0)
      axis.set(title=up, xlabel="the teacher's value" if across == "teacher" else across, aspect="equal")
    axes[0].set_ylabel("predicted value")


def attention_maps(path: Path, rows: Sequence[AttentionRow], tokens: Sequence[str]) -> None:
  """Draws attention probabilities of the first four heads, a row of maps for each model.

  Args:
    path: of the PNG.
    rows: of each model its name, its probabilities of one text, and the number of the layer that they are from.
    tokens: of the text.
  """
  heads = min(4, *(len(probabilities) for _, probabilities, _ in rows))
  names = [_plain(token, 12) for token in tokens]
  side = max(2.2, 0.17 * len(tokens))
  size = (side, side + 0.2)
  with _picture(path, len(rows), heads, size, sharex=True, sharey=True, grid=False) as (_, axes):
    for row, (name, probabilities, layer) in enumerate(rows):
      shown = np.asarray(probabilities, np.float32)[:heads]
      for head in range(heads):
        axis = axes[row * heads + head]
        axis.imshow(shown[head], cmap="magma", vmin=0, vmax=shown.max())
        axis.set_title(f"{_plain(name)}, layer {layer}, head {head + 1}", fontsize="small")
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
        axis.set_yticks(range(len(names)), names, fontsize="x-small")
        axis.tick_params(length=0)


def masked_losses(path: Path, history: History, steps_per_epoch: int) -> None:
  """Draws a masked language model's loss, in training and on held-out text, against the epochs.

  Args:
    path: of the PNG.
    history: rows of the log.
    steps_per_epoch: steps of one pass over the text.
  """
  with _picture(path, 1, 1, (5.4, 3.4)) as (_, (axis,)):
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
  """Draws the losses of each term and layer against the steps: lines in training, dots on held-out text.

  Args:
    path: of the PNG.
    history: rows of the log; one panel for each of its terms.
  """
  from matplotlib import colormaps

  groups = loss_terms(history) or {"loss": ["loss"]}
  columns = min(2, len(groups))
  with _picture(path, -(-len(groups) // columns), columns, (3.5, 3.3)) as (_, axes):
    for axis, (term, keys) in zip(axes, groups.items(), strict=False):
      for key, color in zip(keys, colormaps["viridis"](np.linspace(0, 0.8, len(keys))), strict=True):
        rows = [row for row in history if key in row]
        held_out = [row for row in history if _HELD_OUT + key in row]
        label = key.removeprefix(f"{term}_") if key != term else None
        axis.plot(*_thinned([row["step"] for row in rows], [row[key] for row in rows]), color=color, label=label)
        values = [row[_HELD_OUT + key] for row in held_out]
        axis.plot([row["step"] for row in held_out], values, "o", color=color, ms=3.5)
      _losses_axis(axis, _named(term), "loss (dots: held out)" if _held_out(history) else "loss", 1)
      if len(keys) > 1:
        axis.legend(frameon=False, fontsize="small", title="layer", title_fontsize="small", ncols=-(-len(keys) // 6))


def loss_terms(history: History) -> dict[str, list[str]]:
  """Returns the keys of each term of the loss, by the term's name: `hidden` has `hidden_1`, `hidden_2`, ..."""
  keys = dict.fromkeys(key for row in history if "loss" in row and "step" in row for key in row)
  terms: dict[str, list[str]] = {}
  for key in keys:
    if key not in NOT_TERMS and not key.startswith(_HELD_OUT):
      terms.setdefault(re.sub(r"_\d+$", "", key), []).append(key)
  return {term: sorted(keys, key=lambda key: (len(key), key)) for term, keys in terms.items()}


def score_of(side: Mapping[str, Any] | None, main: str) -> float | None:
  """Returns a model's score by the main metric; None where it has none."""
  side = side or {}
  score = side.get("score", side.get(main))
  return None if score is None or math.isnan(score) else score


def words(name: str) -> str:
  """Returns the name of a metric, term or stage as people write it: "macro F1" for "macro_f1"."""
  words = [_SPELLINGS.get(word, word) for word in str(name).split("_")]
  return " ".join(words)


@contextlib.contextmanager
def _picture(
  path: Path, rows: int, columns: int, size: tuple[float, float], *, grid: bool = True, **shared: bool
) -> Iterator[tuple["Figure", list["Axes"]]]:
  """Gives a figure and its axes in reading order, and saves it; `size` is of one panel, in inches."""
  import matplotlib
  from matplotlib import font_manager
  from matplotlib.figure import Figure  # not pyplot, which would choose a screen and keep state

  installed = set(font_manager.get_font_names())
  settings = {
    "font.family": ["DejaVu Sans", *(name for name in _MORE_FONTS if name in installed)],
    "font.size": 11,
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": grid,
    "grid.alpha": 0.3,
    "legend.fontsize": "small",
  }
  with matplotlib.rc_context(settings), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box in its place is enough
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel().tolist()
    yield figure, axes
    for axis in axes:
      if not axis.has_data():
        axis.remove()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white", bbox_inches="tight", pad_inches=0.06)


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


def _thinned(steps: Sequence[float], values: Sequence[float], most: int = 200) -> tuple[np.ndarray, np.ndarray]:
  """Returns the points, or the means of `most` runs of them where there are more."""
  if len(steps) <= most:
    return np.asarray(steps), np.asarray(values)
  steps, values = (np.array([part.mean() for part in np.array_split(side, most)]) for side in (steps, values))
  return steps, values


def _cycle(colors: Sequence[str], number: int) -> list[str]:
  return [colors[index % len(colors)] for index in range(number)]


def _held_out(history: History) -> bool:
  return any(key.startswith(_HELD_OUT) for row in history for key in row)


def _score_name(row: Mapping[str, float]) -> str:
  """Returns the name of the metric that the score of a row of the log is."""
  return _named(next((key for key in row if key not in NOT_TERMS and row[key] == row["score"]), "score"))


def _named(name: str) -> str:
  return _plain(words(name))


def _squeezed(label: Any, most: int = 18) -> str:
  """Returns a label without its middle where it is long: many labels differ in their last letters alone."""
  label = " ".join(str(label).split())
  half = (most - 1) // 2
  return _plain(label if len(label) <= most else f"{label[:half]}…{label[-half:]}")


def _plain(text: Any, most: int = 40) -> str:
  """Returns the text shortened, and without matplotlib's mathematics between dollar signs."""
  text = " ".join(str(text).split())
  return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")

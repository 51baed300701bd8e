"""Pictures of results: score against cost, confusion, predicted values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinybert_jax.pipeline.figures.picture import PLAIN, STUDENT, TEACHER, picture, plain
from tinybert_jax.pipeline.metric_names import baseline_name, score_name, score_of

GOAL = 0.968  # the share of the teacher's score that the paper's 4-layer student keeps on GLUE
MOST_CLASSES = 25  # in a picture
COUNTS_UP_TO = 12  # classes: above that, the numbers would not fit in the cells


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
  with picture(path, len(costs) or 1, 1, (4.0, 2.8), sharey=True) as (figure, axes):
    for axis, (key, scale, label) in zip(axes, costs, strict=False):
      for name, side, color, marker in points:
        score = 100 * side.get("score", side.get(main))
        axis.plot(scale * side[key], score, marker, color=color, ms=10, label=f"{plain(name)}: {score:.1f}", zorder=3)
      best = 100 * teacher.get("score", teacher.get(main))
      if best > 0:
        axis.axhline(GOAL * best, color=TEACHER, ls=":", label=f"{GOAL:.1%} of the teacher's: {GOAL * best:.1f}")
      if majority is not None:
        axis.axhline(100 * majority, color=PLAIN, ls=":", label=f"{baseline_name(metrics)}: {100 * majority:.1f}")
      axis.set(
        xlim=(0, 1.12 * scale * max(teacher[key], student[key])),
        xlabel=label,
        ylabel=f"{plain(score_name(metrics))} × 100",
      )
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
  with picture(path, 1, len(models), (side + 0.9, side + 1.0), sharey=True, grid=False) as (figure, axes):
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
  with picture(path, 1, len(pairs), (3.3, 3.4), sharey=True) as (_, axes):
    for axis, (across, up) in zip(axes, pairs, strict=True):
      color = TEACHER if up == "teacher" else STUDENT
      axis.plot([low, high], [low, high], ":", color=PLAIN)
      axis.scatter(values[across], values[up], s=9, alpha=0.4, color=color, linewidths=0)
      axis.set(title=up, xlabel="the teacher's value" if across == "teacher" else across, aspect="equal")
    axes[0].set_ylabel("predicted value")


def _squeezed(label: Any, most: int = 18) -> str:
  """Returns a label without its middle where it is long: many labels differ in their last letters alone."""
  label = " ".join(str(label).split())
  half = (most - 1) // 2
  return plain(label if len(label) <= most else f"{label[:half]}…{label[-half:]}")

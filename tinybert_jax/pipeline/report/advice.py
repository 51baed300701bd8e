"""What to try next, from a run's own numbers. Each function gives a sentence, or nothing where there is no reason."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinybert_jax.pipeline.figures import GOAL, History
from tinybert_jax.pipeline.metric_names import score_of
from tinybert_jax.pipeline.report.claims import Standing, difference_error, share_kept, standing, warning
from tinybert_jax.pipeline.report.results import measured_rows
from tinybert_jax.pipeline.report.wording import is_known, listed, shortened, uncapitalized


def advice(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  """Returns sentences on what to try next, each of which a number of this run supports.

  Args:
    metrics: see `write`.
    histories: likewise.
  """
  place, agreement = standing(metrics), metrics.get("agreement")
  if place is Standing.MEANINGLESS:
    return [f"First train a better teacher: {uncapitalized(warning(metrics))}"]
  if place is Standing.BEATS:
    judged, kept = "The student scores higher than the teacher.", 1.0
  elif place in (Standing.KEEPS, Standing.NOTHING):
    kept = share_kept(metrics)
    judged = f"The student keeps {max(kept, 0):.1%} of the teacher's score"
  elif is_known(agreement):
    judged, kept = f"The student agrees with the teacher at {agreement:.1%}", agreement
  else:
    return []
  if place is not Standing.BEATS:
    judged += f", {'below' if kept < GOAL else 'at or above'} the goal of {GOAL:.1%}."
  if kept < GOAL:
    found = [_chance(metrics), _few_rows(metrics), *_unfinished(metrics, histories)]
    found += [*_overfitted(metrics, histories), _dev_gap(metrics), _labels_better(metrics)]
    found += [_worst_classes(metrics), _small_student(metrics)]
  else:
    found = [_could_shrink(metrics), *_early_best(metrics, histories)]
  found = [text for text in found if text]
  return [judged, *found] if found else []


def _chance(metrics: Mapping[str, Any]) -> str:
  rows, error = measured_rows(metrics), difference_error(metrics)
  teacher, student = (metrics[side].get("accuracy") for side in ("teacher", "student"))
  if error is None or not is_known(teacher) or not is_known(student) or not 0 < teacher - student < 2 * error:
    return ""
  lost = teacher - student
  return (
    f"On {rows:,} rows, {100 * lost:.1f} points between teacher and student may be chance "
    f"(standard error up to {100 * error:.1f}): measure on more rows before changing anything."
  )


def _few_rows(metrics: Mapping[str, Any]) -> str:
  data = metrics["data"]
  transfer = data.get("transfer") or (data.get("labelled") or 0) + (data.get("unlabelled") or 0)
  if not 0 < transfer < 20_000:
    return ""
  more = "Give more unlabelled text of the same kind"
  if not data.get("augmented") and metrics["kind"] in ("classification", "multi_label", "regression"):
    more += ", or augment the rows, which this run did not"
  return f"The student learnt from {transfer:,} rows. {more}."


def _unfinished(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  found = []
  for name, history in _student_stages(histories):
    rows = [row for row in history if is_known(row.get("loss"))]
    scores = _dev_scores(history)
    fall, reason = _fall([row["loss"] for row in rows]), ""
    if fall > 0.02:
      reason = f"its loss still fell by {fall:.0%} within its last fifth"
    elif len(scores) > 2 and scores[-1][1] - max(score for _, score in scores[:-1]) > 0.005:
      reason = f"its dev score was best, {100 * scores[-1][1]:.1f}, at its last measurement"
    if reason:
      found.append(f"Train the stage “{name}” for longer{_now(metrics, name)}: {reason}.")
  return found


def _overfitted(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  found = []
  for name, history in _student_stages(histories):
    losses, scores = [row["loss"] for row in history if is_known(row.get("loss"))], _dev_scores(history)
    if len(scores) < 3 or len(losses) < 2:
      continue
    step, best = max(scores, key=lambda pair: pair[1])
    if best - scores[-1][1] > 0.01 and losses[-1] < losses[0]:
      found.append(
        f"Stage “{name}” overfits: its dev score was best at step {step:,} and then fell by "
        f"{100 * (best - scores[-1][1]):.1f} points, while its loss fell. Give it more rows, or fewer "
        f"epochs{_now(metrics, name)}."
      )
  return found


def _dev_gap(metrics: Mapping[str, Any]) -> str:
  stages = [
    stage for stage in metrics.get("stages") or () if is_known(stage.get("score")) and stage["name"] != "teacher"
  ]
  test = score_of(metrics["student"], metrics.get("main_metric", "score"))
  if metrics.get("split", "test") == "dev" or not stages or test is None or stages[-1]["score"] - test < 0.03:
    return ""
  rows = metrics["data"].get("dev")
  few = f" Its {rows:,} dev rows may be too few, or unlike the test rows." if rows else ""
  return (
    f"The student scores {100 * stages[-1]['score']:.1f} on dev and {100 * test:.1f} on test: what was chosen on dev "
    f"does not carry over.{few}"
  )


def _labels_better(metrics: Mapping[str, Any]) -> str:
  main = metrics.get("main_metric", "score")
  alone, student = score_of(metrics.get("labels alone"), main), score_of(metrics["student"], main)
  if alone is None or student is None or alone <= student:
    return ""
  return (
    f"The same student learnt more from the labels alone ({100 * alone:.1f} against {100 * student:.1f}): check that "
    "the unlabelled text is of the same kind as the test rows, and that the teacher is good."
  )


def _worst_classes(metrics: Mapping[str, Any]) -> str:
  sides = metrics.get("per_class")
  if not sides:
    return ""
  losses = [
    (100 * (side["f1"] - sides["student"][label]["f1"]), label)
    for label, side in sides.get("teacher", {}).items()
    if is_known(side.get("f1")) and is_known(sides["student"].get(label, {}).get("f1"))
  ]
  worst = sorted((pair for pair in losses if pair[0] >= 10), key=lambda pair: -pair[0])[:3]
  named = [f"“{shortened(label, 40)}” ({loss:.0f} points of F1)" for loss, label in worst]
  return f"Add text of the classes that lose most: {listed(named)}." if named else ""


def _small_student(metrics: Mapping[str, Any]) -> str:
  teacher, student, times = metrics.get("teacher", {}), metrics["student"], metrics.get("times_smaller")
  smaller = [key for key in ("layers", "width") if (student.get(key) or 0) < (teacher.get(key) or 0)]
  if not smaller or not is_known(times) or times < 2:
    return ""
  sizes = listed([f"{student[key]} of the teacher's {teacher[key]} {key}" for key in smaller])
  sizes = sizes.replace(" width", " units of width")
  return f"Try a larger student: this one has {sizes}, and is {times:.1f} times smaller."


def _could_shrink(metrics: Mapping[str, Any]) -> str:
  student = metrics["student"]
  layers, width = student.get("layers"), student.get("width")
  options = [f"{layers // 2 or 1} layers instead of {layers}" if layers and layers > 2 else ""]
  options.append(f"a width below {width}" if width and width > 128 else "")
  options = [option for option in options if option]
  return f"There is room for a smaller student: try {' or '.join(options)}." if options else ""


def _early_best(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  found = []
  for name, history in _student_stages(histories):
    scores = _dev_scores(history)
    if len(scores) < 3:
      continue
    (step, best), last = max(scores, key=lambda pair: pair[1]), scores[-1][0]
    if step <= 0.6 * last:
      found.append(
        f"Stage “{name}” can be shorter{_now(metrics, name)}: its dev score was best, {100 * best:.1f}, at step "
        f"{step:,} of {last:,}."
      )
  return found


def _fall(losses: Sequence[float]) -> float:
  """Returns by what share the loss fell within its last fifth; 0 where the fall is within its noise."""
  last = np.asarray(losses, float)[len(losses) - len(losses) // 5 :]
  if len(last) < 4:
    return 0.0
  before, after = np.array_split(last, 2)
  noise = math.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
  fall = before.mean() - after.mean()
  return float(fall / before.mean()) if fall > 2 * noise and before.mean() > 0 else 0.0


def _dev_scores(history: History) -> list[tuple[int, float]]:
  return [
    (int(row["step"]), row["score"]) for row in history if is_known(row.get("score")) and "held_out_loss" not in row
  ]


def _student_stages(histories: Mapping[str, History]) -> list[tuple[str, History]]:
  """Returns the stages that make the distilled student."""
  return [(name, rows) for name, rows in histories.items() if not name.startswith(("teacher", "labels"))]


def _now(metrics: Mapping[str, Any], name: str) -> str:
  stage: Mapping[str, Any] = next((one for one in metrics.get("stages") or () if one["name"] == name), {})
  return next((f" (now {stage[unit]:,} {unit})" for unit in ("epochs", "steps") if is_known(stage.get(unit))), "")

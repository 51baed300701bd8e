"""What may be claimed of a student beside its teacher and beside a constant answer, in sentences."""

import enum
import math
from collections.abc import Mapping
from typing import Any

from tinybert_jax.pipeline.metric_names import score_name, score_of
from tinybert_jax.pipeline.report.results import agrees_by, measured_rows, what_agrees
from tinybert_jax.pipeline.report.wording import is_known, listed, points, ratio_words, shortened

_NEAR = 0.02  # a score this close to the baseline shows that little was learnt
_CORRELATIONS = {"pearson", "spearman", "matthews_correlation"}


class Standing(enum.Enum):
  """How the student's score compares with the teacher's."""

  UNKNOWN = "one of them has no score"
  MEANINGLESS = "the teacher's score is near that of a constant answer, or near zero"
  NOTHING = "the student's score is not above zero"
  KEEPS = "the student keeps a share"
  BEATS = "the student's score is the higher one"


def standing(metrics: Mapping[str, Any]) -> Standing:
  """Returns which of these it is, and so whether a share of the teacher's score means anything."""
  teacher, student, baseline = _scores(metrics)
  if teacher is None or student is None:
    return Standing.UNKNOWN
  if teacher <= _NEAR or (baseline is not None and teacher - baseline <= _margin(metrics, baseline)):
    return Standing.MEANINGLESS
  if student > teacher:
    return Standing.BEATS
  return Standing.KEEPS if student > 0 else Standing.NOTHING


def sentence(metrics: Mapping[str, Any]) -> str:
  """Returns what the student keeps of the teacher, and what it saves, as a sentence; empty where nothing is known."""
  claims, agreement, place = [], metrics.get("agreement"), standing(metrics)
  if place in _OF_SCORE:
    claims.append(_OF_SCORE[place](metrics))
  # Two models that give one answer agree as well, so where the score says nothing this does not either.
  if is_known(agreement) and place is not Standing.MEANINGLESS:
    claims.append(
      {
        "correlation": f"has values that correlate with the teacher's at {agreement:.3f}",
        "cosine": f"has embeddings whose mean cosine with the teacher's is {agreement:.3f}",
        "share": f"agrees with it on {agreement:.1%} of the {what_agrees(metrics)}",
      }[agrees_by(metrics)]
    )
  ratios = [ratio_words(metrics.get("times_smaller"), "smaller", "larger", "large")]
  ratios = [r for r in [*ratios, ratio_words(metrics.get("times_faster"), "faster", "slower", "fast")] if r]
  if ratios:
    claims.append("is " + " and ".join(ratios))
  if claims:
    # Without a score before it, "it" has nothing to stand for.
    claims[0] = claims[0].replace("agrees with it", "agrees with the teacher")
  text = f"The student {', '.join(claims) if len(ratios) > 1 else listed(claims)}." if claims else ""
  return text


def beside_constant(metrics: Mapping[str, Any]) -> str:
  """Returns what a constant answer would keep of the teacher's score, and the warning; empty where there is neither."""
  parts = (_constant_keeps(metrics), _constant_agrees(metrics), warning(metrics))
  return " ".join(part for part in parts if part)


def warning(metrics: Mapping[str, Any]) -> str:
  """Returns a sentence where teacher or student is hardly better than a constant answer; empty elsewhere."""
  teacher, student, baseline = _scores(metrics)
  place = standing(metrics)
  if place is Standing.MEANINGLESS:
    reason = f"has a score near zero or below ({score_name(metrics)} {points(teacher)})"
    if baseline is not None and teacher - baseline <= _margin(metrics, baseline):
      reason = _compared(metrics, teacher, baseline)
    return f"The teacher {reason}, so what the student keeps of its score says nothing."
  if place is Standing.BEATS or student is None or baseline is None:
    return ""
  is_near = student - baseline <= _margin(metrics, baseline)
  return f"The student {_compared(metrics, student, baseline)}." if is_near else ""


def summary(metrics: Mapping[str, Any]) -> str:
  """Returns all that is claimed in one text."""
  return " ".join(part for part in (sentence(metrics), beside_constant(metrics)) if part)


def share_kept(metrics: Mapping[str, Any]) -> float:
  """Returns what share of the teacher's score the student keeps; where `standing` says that this means anything."""
  teacher, student, _ = _scores(metrics)
  return metrics["retention"] if is_known(metrics.get("retention")) else student / teacher


def against_teacher(metrics: Mapping[str, Any]) -> str:
  """Returns the student's score against the teacher's, and whether their difference may be chance."""
  teacher, student, _ = _scores(metrics)
  text = f"{score_name(metrics)} {points(student)} against {points(teacher)}"
  error = difference_error(metrics)
  if error is None or abs(student - teacher) >= 2 * error:
    return text
  return f"{text}, which may be chance on {measured_rows(metrics):,} rows"


def difference_error(metrics: Mapping[str, Any]) -> float | None:
  """Returns the largest standard error of the difference of two accuracies; None where it is not known.

  It has at most the variance of the rows on which the answers differ.
  """
  rows, agreement = measured_rows(metrics), metrics.get("agreement")
  if metrics["kind"] != "classification" or not rows or not is_known(agreement):
    return None
  return math.sqrt(max(1 - agreement, 0) / rows)


def _scores(metrics: Mapping[str, Any]) -> tuple[Any, Any, Any]:
  """Returns the scores of teacher, student and constant answer; None for those that have none."""
  main = metrics.get("main_metric", "score")
  teacher, student, majority = (score_of(metrics.get(side), main) for side in ("teacher", "student", "majority"))
  return teacher, student, majority


def _margin(metrics: Mapping[str, Any], baseline: float) -> float:
  """Returns by how much a score must be above the baseline's: two of its standard errors, and at least 0.02."""
  rows = measured_rows(metrics)
  if not rows:
    return _NEAR
  if metrics.get("main_metric") in _CORRELATIONS:
    return max(_NEAR, 2 / math.sqrt(rows))
  return max(_NEAR, 2 * math.sqrt(max(baseline * (1 - baseline), 0) / rows))


def _compared(metrics: Mapping[str, Any], score: float, baseline: float) -> str:
  """Returns how little better than a constant answer a model is."""
  rows = measured_rows(metrics)
  how = "no better than"
  if score > baseline:
    how = "hardly better than" if score - baseline <= _NEAR else f"on {rows:,} rows not clearly better than"
  return f"is {how} {_always(metrics)} ({score_name(metrics)} {points(score)} against {points(baseline)})"


def _always(metrics: Mapping[str, Any]) -> str:
  """Returns in words what the constant answer is."""
  label = metrics["majority"].get("label")
  if metrics["kind"] == "regression":
    return "always answering the mean"
  if isinstance(label, list | tuple):
    return f"always giving “{shortened(', '.join(label), 40)}”" if label else "always giving no label"
  return f"always answering “{shortened(label, 40)}”" if label is not None else "the majority baseline"


def _constant_keeps(metrics: Mapping[str, Any]) -> str:
  """Returns what a constant answer would keep, to judge a share of the teacher's score by."""
  teacher, _, baseline = _scores(metrics)
  if standing(metrics) is not Standing.KEEPS or baseline is None:
    return ""
  always = _always(metrics)
  return f"{always[:1].upper()}{always[1:]} would keep {max(baseline, 0) / teacher:.1%}."


def _constant_agrees(metrics: Mapping[str, Any]) -> str:
  """Returns how far a constant answer would agree with the teacher, where no labels tell more."""
  constant = metrics.get("constant_agreement")
  if not constant or standing(metrics) is not Standing.UNKNOWN:
    return ""
  return f"Always answering “{shortened(constant['label'], 40)}” would agree on {constant['agreement']:.1%}."


_OF_SCORE = {
  Standing.KEEPS: lambda metrics: f"keeps {share_kept(metrics):.1%} of the teacher's score ({score_name(metrics)})",
  Standing.BEATS: lambda metrics: f"scores higher than the teacher ({against_teacher(metrics)})",
  Standing.NOTHING: lambda metrics: f"keeps nothing of the teacher's score ({against_teacher(metrics)})",
}

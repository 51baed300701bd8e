"""What may be claimed of a student beside its teacher, in sentences."""

from collections.abc import Mapping
from typing import Any

from tinybert_jax.pipeline.metric_names import score_of, words
from tinybert_jax.pipeline.report.results import what_agrees
from tinybert_jax.pipeline.report.wording import is_known, listed, ratio_words, shortened

_NEAR = 0.02  # a teacher this close to the majority baseline has learnt little


def sentence(metrics: Mapping[str, Any]) -> str:
  """Returns what the student keeps of the teacher, and what it saves, as a sentence; empty where nothing is known."""
  main = metrics.get("main_metric", "score")
  claims, agreement = [], metrics.get("agreement")
  if is_known(metrics.get("retention")):
    claims.append(f"keeps {metrics['retention']:.1%} of the teacher's score ({words(main)})")
  if is_known(agreement):
    claims.append(
      f"has values that correlate with the teacher's at {agreement:.3f}"
      if metrics["kind"] == "regression"
      else f"agrees with it on {agreement:.1%} of the {what_agrees(metrics)}"
    )
  ratios = [ratio_words(metrics.get("times_smaller"), "smaller", "larger", "large")]
  ratios = [r for r in [*ratios, ratio_words(metrics.get("times_faster"), "faster", "slower", "fast")] if r]
  if ratios:
    claims.append("is " + " and ".join(ratios))
  if claims:
    # Without a retention before it, "it" has nothing to stand for.
    claims[0] = claims[0].replace("agrees with it", "agrees with the teacher")
  text = f"The student {', '.join(claims) if len(ratios) > 1 else listed(claims)}." if claims else ""
  return " ".join(part for part in (text, undefined(metrics)) if part)


def warning(metrics: Mapping[str, Any]) -> str:
  """Returns a sentence where the teacher is hardly better than always giving one answer; empty elsewhere."""
  main = metrics.get("main_metric", "score")
  teacher, majority = score_of(metrics.get("teacher", {}), main), score_of(metrics.get("majority"), main)
  if teacher is None or majority is None or teacher - majority > _NEAR:
    return ""
  label = metrics["majority"].get("label")
  always = f"always answering “{shortened(label, 40)}”" if label is not None else "the majority baseline"
  where = "not better than" if teacher <= majority else f"within {100 * _NEAR:.0f} points of"
  return f"The teacher's {words(main)} is {where} {always}; retention says little here."


def undefined(metrics: Mapping[str, Any]) -> str:
  main = metrics.get("main_metric", "score")
  score = score_of(metrics.get("teacher", {}), main)
  if score is None or "retention" not in metrics or is_known(metrics["retention"]):
    return ""
  why = ", as that is not above zero" if score <= 0 else ""
  return f"The share of the teacher's {words(main)} that the student keeps is undefined{why}."

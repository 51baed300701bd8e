"""What is said of a student, for each way that its score can stand beside the teacher's and the majority's."""

import pytest

from tinybert_jax.pipeline import report
from tinybert_jax.pipeline.metric_names import baseline_name, score_name
from tinybert_jax.pipeline.report.claims import Standing, standing

ROWS = 1000


def metrics(teacher, student, majority=None, kind="classification", main="accuracy", label="earn", **others):
  sides = {"teacher": teacher, "student": student, "majority": majority}
  found = {name: {main: score, "score": score} for name, score in sides.items() if score is not None}
  if majority is not None:
    found["majority"]["label"] = label
  retention = student / teacher if teacher and teacher > 0 else None
  return {"task": "t", "kind": kind, "main_metric": main, "split": "test", "data": {"test": ROWS}, "agreement": 0.9,
          "retention": retention, "times_smaller": 8.0, "times_faster": 9.0} | found | others  # fmt: skip


@pytest.mark.parametrize(
  ("found", "expected"),
  [
    (metrics(0.9, 0.85, 0.5), Standing.KEEPS),
    (metrics(0.9, 0.91, 0.5), Standing.BEATS),
    (metrics(0.9, 0.9, 0.9), Standing.MEANINGLESS),
    (metrics(0.9, 0.9, 0.89), Standing.MEANINGLESS),
    (metrics(0.6, 0.7, 0.65), Standing.MEANINGLESS),
    (metrics(0.01, 0.02), Standing.MEANINGLESS),
    (metrics(-0.2, 0.5), Standing.MEANINGLESS),
    (metrics(0.9, 0.85), Standing.KEEPS),
    # Three points above one half are within chance on 1,000 rows: its standard error is 1.6 points.
    (metrics(0.53, 0.52, 0.5), Standing.MEANINGLESS),
    (metrics(0.53, 0.52, 0.5, data={"test": 100_000}), Standing.KEEPS),
    # A correlation has the standard error 1/√rows: 0.07 and 0.12 on 300 rows say nothing.
    (metrics(0.07, 0.12, 0.0, main="matthews_correlation", data={"test": 300}), Standing.MEANINGLESS),
    (metrics(0.6, -0.1, 0.0, "regression", "pearson", "the mean"), Standing.NOTHING),
    (metrics(0.6, 0.55, 0.0, "regression", "pearson", "the mean"), Standing.KEEPS),
    (metrics(0.3, 0.3, 0.29, "multi_label", "average_precision", ["a", "b"]), Standing.MEANINGLESS),
    ({"task": "t", "kind": "classification", "teacher": {}, "student": {}, "data": {}}, Standing.UNKNOWN),
  ],
)
def test_where_a_student_stands(found, expected):
  assert standing(found) is expected
  summary = report.summary(found)
  if expected is Standing.MEANINGLESS:
    assert "%" not in summary and "says nothing" in summary and "8.0 times smaller" in summary
  if expected in (Standing.BEATS, Standing.NOTHING):
    assert "% of the teacher's score" not in summary


def test_the_sentences():
  assert report.summary(metrics(0.9, 0.81, 0.45)) == (
    "The student keeps 90.0% of the teacher's score (accuracy), agrees with it on 90.0% of the rows, is 8.0 times "
    "smaller and 9.0 times faster. Always answering “earn” would keep 50.0%."
  )
  assert report.summary(metrics(0.9, 0.9, 0.89)) == (
    "The student is 8.0 times smaller and 9.0 times faster. The teacher is hardly better than always answering “earn” "
    "(accuracy 90.0 against 89.0), so what the student keeps of its score says nothing."
  )
  assert "The teacher is no better than always answering “earn”" in report.summary(metrics(0.5, 0.5, 0.5))
  assert "on 1,000 rows not clearly better than always" in report.summary(metrics(0.53, 0.5, 0.5))
  assert "has a score near zero or below (accuracy −20.0)" in report.summary(metrics(-0.2, 0.5))
  assert "scores higher than the teacher (accuracy 95.0 against 90.0), agrees" in report.summary(
    metrics(0.9, 0.95, 0.5)
  )
  assert "90.5 against 90.0, which may be chance on 1,000 rows)" in report.summary(metrics(0.9, 0.905, 0.5))


def test_a_student_near_the_majority_is_said():
  text = report.summary(metrics(0.9, 0.51, 0.5))
  assert "keeps 56.7%" in text and "Always answering “earn” would keep 55.6%." in text
  assert "The student is hardly better than always answering “earn” (accuracy 51.0 against 50.0)." in text


def test_a_student_of_given_targets_stands_beside_the_majority_alone():
  found = {key: value for key, value in metrics(0.9, 0.51, 0.5).items() if key not in ("teacher", "retention")}
  assert "The student is hardly better than always answering “earn”" in report.summary(found)
  found["student"] = {"accuracy": 0.8, "score": 0.8}
  assert "always" not in report.summary(found)


def test_each_kind_has_its_own_constant_answer():
  regression = metrics(0.6, 0.54, 0.0, "regression", "pearson", "the mean")
  assert "(Pearson), has values that correlate with the teacher's at 0.900" in report.summary(regression)
  assert "Always answering the mean would keep 0.0%." in report.summary(regression)
  several = metrics(0.6, 0.54, 0.3, "multi_label", "average_precision", ["a", "b"])
  assert "Always giving “a, b” would keep 50.0%." in report.summary(several)
  several["majority"]["label"] = []
  assert "Always giving no label would keep 50.0%." in report.summary(several)


def test_a_score_of_several_metrics_is_called_by_all_of_them():
  found = metrics(0.9, 0.81, 0.45, main="f1", ranked_by=["f1", "accuracy"])
  assert "the teacher's score (mean of F1 and accuracy)" in report.summary(found)


def test_advice_after_a_teacher_that_learnt_nothing_is_another_teacher():
  (only,) = report.advice(metrics(0.9, 0.9, 0.89), {})
  assert only.startswith("First train a better teacher: the teacher is hardly better than")
  better = metrics(0.9, 0.95, 0.5)
  better["student"] |= {"layers": 4, "width": 312}
  first, second = report.advice(better, {})
  assert first == "The student scores higher than the teacher." and "smaller student" in second


def test_a_score_of_several_metrics_is_called_their_mean():
  assert score_name({"main_metric": "spearman", "ranked_by": ["spearman", "pearson"]}) == "mean of Spearman and Pearson"
  assert score_name({"main_metric": "macro_f1"}) == "macro F1"
  assert [baseline_name({"kind": kind}) for kind in ("regression", "multi_label")] == [
    "mean baseline",
    "majority baseline",
  ]


def test_without_labels_agreement_stands_beside_that_of_a_constant_answer():
  metrics = {"kind": "classification", "data": {}, "teacher": {}, "student": {}, "agreement": 1.0}
  metrics["constant_agreement"] = {"label": "good", "agreement": 0.97}
  assert report.summary(metrics).endswith("Always answering “good” would agree on 97.0%.")

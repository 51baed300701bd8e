import ast
import copy
import html
import html.parser
import re

import numpy as np
import pytest

from tinybert_jax.pipeline import figures, report
from tinybert_jax.pipeline.figures import AttentionMaps
from tinybert_jax.pipeline.metric_names import words
from tinybert_jax.pipeline.report.quality import per_class
from tinybert_jax.pipeline.report.usage import usage
from tinybert_jax.pipeline.report.wording import answer_text

EVIL = "<script>alert('1')</script>"
VOID = {"meta", "img", "br"}
SECTIONS = {
  "per_class": "Quality per class",
  "confusion": "Confusion",
  "agreement": "Agreement",
  "stages": "Stages",
  "sweep": "Sweep",
  "disagreements": "Where they disagree most",
  "paths": "Use the student",
}


class Page(html.parser.HTMLParser):
  """The elements, the sources and the headings of a page; fails where elements are not closed in order."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.sources, self.headings = [], [], [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.sources += [value for name, value in attrs if name in ("src", "href", "srcset")]
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] == "h2":
      self.headings.append(data)


def classification():
  side = {"parameters": 8_000_000, "flops": 1e9, "latency_ms": 20.0, "throughput": 100.0, "layers": 6, "width": 384}
  scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}
  answers = {"teacher": {"answer": EVIL, "probability": 0.91}, "student": {"answer": "b", "probability": 0.6}}
  return {
    "task": "reviews",
    "kind": "classification",
    "labels": [EVIL, "b"],
    "main_metric": "accuracy",
    "split": "test",
    "command": "tinybert-jax distil --out 'a b'",
    "options": {"seed": 3},
    "data": {"labelled": 50, "transfer": 450, "dev": 20, "test": 100, "max_length": 64, "notes": [EVIL]},
    "teacher": side | {"accuracy": 0.9, "macro_f1": 0.8, "score": 0.9},
    "student": side
    | {"parameters": 10**6, "latency_ms": 2.0, "layers": 4, "accuracy": 0.8, "macro_f1": 0.7, "score": 0.8},
    "labels alone": {"accuracy": 0.7, "score": 0.7},
    "majority": {"accuracy": 0.5, "label": EVIL, "score": 0.5},
    "agreement": 0.85,
    "retention": 0.8 / 0.9,
    "times_smaller": 8.0,
    "times_faster": 10.0,
    "seconds": 90.0,
    "per_class": {"teacher": {EVIL: scores, "b": scores}, "student": {EVIL: scores | {"f1": 0.1}, "b": scores}},
    "confusion": {"labels": [EVIL, "b"], "teacher": [[50, 0], [10, 40]], "student": [[45, 5], [15, 35]]},
    "disagreements": [{"row": 17, "text": EVIL, "pair": "x" * 999, "label": "b", **answers}],
    "stages": [{"name": "prediction", "epochs": 3, "steps": 60, "learning_rate": 1e-4, "seconds": 60.0, "score": 0.8}],
    "sweep": [{"batch_size": 16, "learning_rate": 1e-5, "score": 0.8}],
    "environment": {"jax": "0.10.2"},
    "paths": {"student": "runs/it's/student", "out": "runs/x"},
    "cost_tokens": 128,
  }


def of_kind(kind):
  metrics = classification()
  if kind == "multi_label":
    metrics |= {"kind": kind, "main_metric": "macro_f1", "confusion": None}
    for side in metrics["per_class"].values():
      side["b"] = side["b"] | {"average_precision": 0.4, "threshold": 0.35}
    metrics["disagreements"][0] |= {"label": [], "student": {"answer": [EVIL, "b"]}}
  if kind == "regression":
    for key in ("labels", "labels alone", "majority", "per_class", "confusion"):
      del metrics[key]
    metrics |= {"kind": kind, "main_metric": "pearson"}
    metrics |= {"predictions": {"label": [0.0, 5.0], "teacher": [1.0, 4.0], "student": [1.0, 3.0]}}
    for side in (metrics["teacher"], metrics["student"]):
      del side["accuracy"], side["macro_f1"]
      side |= {"pearson": 0.5, "mse": 12.5}
    metrics["disagreements"][0] |= {"label": 2.5, "teacher": {"answer": 2.4}, "student": {"answer": 4.0123}}
  return metrics


def history(falls=True):
  losses = [{"step": step, "loss": (100.0 - step if falls else 1.0), "prediction": 1.0} for step in range(60)]
  return [*losses, {"step": 59, "accuracy": 0.8, "score": 0.8}]


@pytest.fixture
def no_pictures(monkeypatch):
  """Pictures of one dot, for the tests that read the words only."""
  for name in ("stage_losses", "score_against_cost", "confusion", "predicted_values", "attention_maps"):
    monkeypatch.setattr(figures, name, lambda path, *_: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(16)))


@pytest.mark.parametrize("kind", ["classification", "multi_label", "regression"])
def test_each_kind_gives_a_page_that_needs_nothing_else(tmp_path, kind):
  maps = AttentionMaps(
    ("a", "b"), {"teacher": np.eye(2)[None], "student": np.eye(2)[None]}, {"teacher": (6,), "student": (4,)}, 1
  )
  path = report.write(tmp_path, of_kind(kind), {"prediction": history()}, maps)
  assert path == tmp_path / "report.html"
  page = Page(path.read_text(encoding="utf-8"))
  pictures = len(list((tmp_path / "figures").glob("*.png")))
  assert page.tags.count("img") == pictures == {"classification": 5, "multi_label": 3, "regression": 5}[kind]
  assert all(source.startswith("data:image/png;base64,") for source in page.sources)
  assert "script" not in page.tags and "link" not in page.tags and "url(" not in path.read_text(encoding="utf-8")
  assert ("Confusion" in page.headings) == (kind == "classification")
  assert ("Values" in page.headings) == (kind == "regression")


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("key", SECTIONS)
def test_what_is_missing_is_left_out(tmp_path, key):
  metrics = classification()
  whole = Page(report.write(tmp_path, metrics, {}).read_text(encoding="utf-8"))
  del metrics[key]
  rest = Page(report.write(tmp_path, metrics, {}).read_text(encoding="utf-8"))
  assert [heading for heading in whole.headings if heading not in rest.headings] == [SECTIONS[key]]


@pytest.mark.usefixtures("no_pictures")
def test_the_least_that_must_be_there(tmp_path):
  metrics = {"task": EVIL, "kind": "classification", "teacher": {}, "student": {}, "data": {}}
  page = Page(report.write(tmp_path, metrics, {}).read_text(encoding="utf-8"))
  assert page.headings == [] and "script" not in page.tags
  assert report.advice(metrics, {}) == []
  assert report.sentence(metrics) == report.warning(metrics) == ""


@pytest.mark.usefixtures("no_pictures")
def test_a_run_without_labels_shows_agreement_and_cost(tmp_path):
  metrics = classification()
  for key in ("labels alone", "majority", "per_class", "confusion", "retention"):
    del metrics[key]
  for side in (metrics["teacher"], metrics["student"]):
    del side["score"], side["accuracy"], side["macro_f1"]
  text = report.write(tmp_path, metrics, {}).read_text(encoding="utf-8")
  assert "85.0%" in text and "undefined" not in text and "kept" not in text
  assert report.sentence(metrics) == (
    "The student agrees with the teacher on 85.0% of the rows, is 8.0 times smaller and 10.0 times faster."
  )
  assert "accuracy" not in report.table(metrics)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("teacher", [-0.1, 0.0, 0.5, 0.51])
def test_a_teacher_that_learnt_nothing_gives_no_percentage(tmp_path, teacher):
  metrics = classification() | {"retention": teacher and 0.5 / teacher}
  metrics["teacher"] |= {"accuracy": teacher, "score": teacher}
  text = report.write(tmp_path, metrics, {}).read_text(encoding="utf-8")
  tiles = text.partition('<div class="tiles">')[2].partition('<p class="note">')[0]
  assert "×" in tiles and "%" not in tiles and "says nothing" in text
  assert "%" not in report.table(metrics) and "says nothing" in report.table(metrics)


def test_the_sentence():
  assert report.sentence(classification()) == (
    "The student keeps 88.9% of the teacher's score (accuracy), agrees with it on 85.0% of the rows, "
    "is 8.0 times smaller and 10.0 times faster."
  )
  assert f"Always answering “{EVIL}” would keep 55.6%." in " ".join(report.table(classification()).split())
  assert "1.0 times" not in report.sentence(classification() | {"times_faster": 1.01})
  assert "2.0 times slower" in report.sentence(classification() | {"times_faster": 0.5})


@pytest.mark.parametrize("kind", ["classification", "multi_label", "regression"])
def test_the_table_fits_a_terminal_and_keeps_the_main_metric(kind):
  metrics = copy.deepcopy(of_kind(kind))
  metrics["labels alone"] = {"name": "a very long name of this " * 9, "accuracy": 0.5}
  for side in (metrics["teacher"], metrics["student"]):
    side |= {f"another_metric_of_a_long_name_{number}": 0.5 for number in range(20)}
  lines = report.table(metrics).splitlines()
  assert max(map(len, lines)) <= 100
  assert words(metrics["main_metric"]) in lines[0] and "parameters" in lines[0] and "latency" in lines[0]
  assert len({len(line) for line in lines[:3]}) == 1
  if kind == "regression":
    assert re.search(r"\b12\.5\b", lines[1]) or "MSE" not in lines[0]


def test_advice_rests_on_the_numbers_of_the_run():
  metrics = classification()
  text = " ".join(report.advice(metrics, {"teacher": history(), "prediction": history()}))
  assert "learnt from 450 rows" in text and "(now 3 epochs): its loss still fell" in text
  assert "4 of the teacher's 6 layers" in text and "“teacher”" not in text and "(40 points of F1)" in text
  metrics["data"]["transfer"] = 1_000_000
  metrics["student"]["layers"], metrics["per_class"] = 6, None
  assert report.advice(metrics, {"prediction": history(falls=False)}) == []
  assert "smaller student" in " ".join(report.advice(metrics | {"retention": 0.99}, {}))


def test_a_difference_within_chance_and_a_stage_that_overfits_are_named():
  metrics = classification()
  metrics["student"] |= {"accuracy": 0.85, "score": 0.85}
  scores = [{"step": step, "score": score} for step, score in ((1, 0.7), (2, 0.8), (3, 0.75))]
  losses = [{"step": 1, "loss": 2.0}, {"step": 3, "loss": 1.0}]
  text = " ".join(report.advice(metrics, {"prediction": losses + scores}))
  assert "may be chance" in text and "best at step 2 and then fell by 5.0 points" in text


def test_of_many_labels_the_first_are_shown():
  assert answer_text(["a", "b"]) == "a, b" and answer_text([]) == "none"
  assert answer_text(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


@pytest.mark.parametrize(("threshold", "is_shown"), [(0.5, False), (0.4, True)])
def test_thresholds_are_shown_where_they_are_not_one_half(threshold, is_shown):
  side = {"x": {"f1": 0.5, "threshold": threshold, "support": 3}}
  assert ("threshold" in per_class({"per_class": {"teacher": side, "student": side}})) == is_shown


@pytest.mark.parametrize(
  ("kind", "class_name", "task"),
  [
    ("classification", "SequenceClassifier", '"text-classification"'),
    ("tokens", "TokenClassifier", '"token-classification"'),
    ("spans", "SpanClassifier", "AutoModelForQuestionAnswering"),
    ("ranking", "SequenceClassifier", "CrossEncoder"),
    ("embeddings", "SentenceEncoder", "SentenceTransformer"),
  ],
)
def test_programs_that_use_a_student_are_of_its_kind(kind, class_name, task):
  pair = {"text": "a 'text'", "pair": "and another", "teacher": {}, "student": {}}
  metrics = {**classification(), "kind": kind, "disagreements": [pair], "paths": {"student": "runs/a b/student"}}
  *programs, command = (html.unescape(one) for one in re.findall("<pre>(.*?)</pre>", usage(metrics), re.S))
  for program in programs:
    ast.parse(program)
  assert class_name in programs[-1] and task in programs[0]
  assert command.startswith("tinybert-jax predict --model 'runs/a b/student' --data ")

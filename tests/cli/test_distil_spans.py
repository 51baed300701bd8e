"""`tinybert-jax distil --kind spans`: from questions on texts to a directory of transformers' question answering."""

import dataclasses
import json

import jax
import pytest
import torch
import transformers
from small_distil import SHORT, refused
from small_glue import TEACHER, write_encoder
from small_kinds import write_questions
from stopped_distil import loses_nothing_when_killed, run

from tinybert_jax.pipeline import deployed, evaluation, measurement, report, stage_fit
from tinybert_jax.pipeline.predictions import predict_table
from tinybert_jax.training.evaluate import Cost


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The options of a finished run, and its folder."""
  root = tmp_path_factory.mktemp("spans")
  given = {
    "kind": "spans",
    "pretrained": write_encoder(root / "encoder", dataclasses.replace(TEACHER, intermediate_size=64)),
    "train": write_questions(root / "train.json", 60),
    "student-from": "teacher",
    "student-layers": 1,
    "student-width": 12,
    "max-length": 14,
    "doc-stride": 3,
    **SHORT,
    "teacher_epochs": 4,
  }
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "device_count", lambda: 1)
    patch.setattr(stage_fit, "SAVE_SECONDS", 0)
    patch.setattr(report, "write", lambda *_: None)  # whose pictures take seconds
    patch.setattr(deployed, "measure", lambda *_: {})
    patch.setattr(evaluation, "attention_maps", lambda *_: None)
    patch.setattr(measurement, "compare_costs", lambda models, **_: dict.fromkeys(models, Cost(1.0, 1.0, 1.0)))
    run(given, root / "out")
  return given, root / "out"


@pytest.mark.drill
def test_the_answers_that_predict_writes_are_those_of_transformers_model(made, tmp_path):
  _, out = made
  metrics = json.loads((out / "metrics.json").read_text())
  assert {"f1", "exact_match", "answerable_f1", "unanswerable_f1"} <= set(metrics["student"])
  assert metrics["majority"]["label"] == "no answer" and set(metrics["null_threshold"]) == {"teacher", "student"}
  write_questions(tmp_path / "new.json", 8, seed=3)
  predict_table(out / "student", tmp_path / "new.json", tmp_path / "out.jsonl", dtype="float32")
  tokenizer = transformers.AutoTokenizer.from_pretrained(out / "student")
  model = transformers.AutoModelForQuestionAnswering.from_pretrained(out / "student").eval()
  short = 0
  for row in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines()):
    tokens = tokenizer(row["question"], row["context"], return_tensors="pt", return_offsets_mapping=True)
    offsets = tokens.pop("offset_mapping")[0].tolist()
    if len(offsets) > 14:  # in several parts
      continue
    short += 1
    with torch.no_grad():
      marks = model(**tokens)
    start, end = marks.start_logits[0].double(), marks.end_logits[0].double()
    scores = {(i, j): float(start[i] + end[j]) for i in range(3, len(offsets) - 1) for j in range(i, len(offsets) - 1)}
    first, last = max(scores, key=scores.__getitem__)
    assert row["prediction"] == row["context"][offsets[first][0] : offsets[last][1]]
    assert (row["start"], row["end"]) == (offsets[first][0], offsets[last][1])
  assert short


@pytest.mark.drill
def test_a_run_that_is_killed_goes_on_to_the_same_bits_and_a_finished_one_is_reused(
  made, tmp_path, monkeypatch, capsys
):
  given, out = made
  loses_nothing_when_killed(given, out, tmp_path / "out", monkeypatch, capsys)


@pytest.mark.parametrize(
  ("options", "said"),
  [("--threshold tuned", "--threshold tuned does not go with --kind spans"), ("", "does not stand in its text")],
)
def test_what_does_not_go_with_spans_gets_one_sentence(tmp_path, capsys, options, said):
  encoder = write_encoder(tmp_path / "encoder", TEACHER)
  path = tmp_path / "a.json"
  write_questions(path, 9, null=False)
  path.write_text(path.read_text().replace('"text": "hello hello"', '"text": "hello  hello"'))
  assert said in refused(
    capsys, "--kind", "spans", "--pretrained", encoder, "--train", path, "--out", tmp_path / "out", *options.split()
  )

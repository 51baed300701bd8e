"""`tinybert-jax distil --kind spans`: from questions on texts to a directory of transformers' question answering."""

import json

import pytest
import torch
import transformers
from small_distil import refused
from small_glue import TEACHER, write_encoder
from small_kinds import options_of, write_questions
from stopped_distil import keep_bare, run

from tinybert_jax.pipeline.predictions import predict_table


@pytest.fixture(scope="module")
def out(tmp_path_factory):
  """The folder of a finished run."""
  root = tmp_path_factory.mktemp("spans")
  with pytest.MonkeyPatch.context() as patch:
    keep_bare(patch)
    run({**options_of("spans", root), "teacher_epochs": 4}, root / "out")
  return root / "out"


@pytest.mark.drill
def test_the_answers_that_predict_writes_are_those_of_transformers_model(out, tmp_path):
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

"""`tinybert-jax distil --kind tokens`: from words with tags to a directory of transformers' token classification."""

import json

import numpy as np
import pytest
import transformers
from small_distil import refused
from small_glue import TEACHER, write_encoder
from small_kinds import options_of, write_tagged
from stopped_distil import keep_bare, run

from tinybert_jax.pipeline.predictions import predict_table


@pytest.fixture(scope="module")
def out(tmp_path_factory):
  """The folder of a finished run."""
  root = tmp_path_factory.mktemp("tokens")
  with pytest.MonkeyPatch.context() as patch:
    keep_bare(patch)
    run({**options_of("tokens", root), "teacher_epochs": 8}, root / "out")
  return root / "out"


@pytest.mark.drill
def test_the_student_is_a_tagger_of_transformers_with_the_entities_that_predict_gives(out, tmp_path):
  metrics = json.loads((out / "metrics.json").read_text())
  assert metrics["labels"] == ["O", "B-NAME", "I-NAME"] and metrics["teacher"]["f1"] > 0.9
  assert set(metrics["per_class"]["student"]) == {"NAME"} and metrics["majority"]["label"] == "O"
  with np.load(out / "teacher_targets.npz") as targets:
    assert targets["logits"].dtype == np.float16 and targets["lengths"].sum() == len(targets["logits"])
  texts = ["hello world", "world  hello\thello world", " hello hello", "hello there"]
  (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, " "]))
  for name in ("teacher", "student"):
    classify = transformers.pipeline("token-classification", model=str(out / name), aggregation_strategy="simple")
    predict_table(out / name, tmp_path / "texts.jsonl", tmp_path / "out.jsonl", dtype="float32")
    *ours, empty = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert empty["prediction"] is None
    for text, row in zip(texts, ours, strict=True):
      assert len(row["prediction"]) == len(text.split())
      theirs = classify(text)
      assert [(one["entity_group"], one["start"], one["end"]) for one in theirs] == [
        (one["entity_group"], one["start"], one["end"]) for one in row["entities"]
      ]
      np.testing.assert_allclose([one["score"] for one in row["entities"]], [one["score"] for one in theirs], atol=1e-5)


@pytest.mark.parametrize(
  ("options", "said"),
  [
    ("--target-columns a b", "--target-columns does not go with --kind tokens"),
    ("--augment --mlm m", "--augment does not go with --kind tokens"),
    ("--threshold tuned", "--threshold tuned does not go with --kind tokens"),
    ("--label 5", "has no such column; it has 0, 1"),
  ],
)
def test_what_does_not_go_with_tokens_gets_one_sentence(tmp_path, capsys, options, said):
  name = [] if "--target" in options else ["--pretrained", write_encoder(tmp_path / "encoder", TEACHER)]
  train = write_tagged(tmp_path / "train.conll", 9)
  assert said in refused(
    capsys, "--kind", "tokens", *name, "--train", train, "--out", tmp_path / "out", *options.split()
  )

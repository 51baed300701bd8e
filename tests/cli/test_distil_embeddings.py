"""`tinybert-jax distil --kind embeddings`: from texts without labels to a directory of sentence-transformers."""

import csv
import json

import jax
import numpy as np
import pytest
import sentence_transformers
from scipy.stats import spearmanr
from small_distil import refused, write
from small_sentences import texts, write_sentence_encoder
from stopped_distil import loses_nothing_when_killed, run

from tinybert_jax.models.sentence_directories import load_sentence_encoder
from tinybert_jax.pipeline import deployed, evaluation, report
from tinybert_jax.pipeline.predictions import predict_table

SETTINGS = {
  "kind": "embeddings", "dtype": "float32", "student_layers": 1, "student_width": 12, "intermediate_epochs": 1,
  "prediction_epochs": 2, "intermediate_batch_size": 8, "prediction_batch_size": 8,
  "intermediate_learning_rate": 1e-2, "prediction_learning_rate": 1e-2,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The options of a finished run, and its folder."""
  root = tmp_path_factory.mktemp("embeddings")
  (root / "texts.txt").write_text("\n".join(texts(60)))
  scored = [(*pair, number % 5) for number, pair in enumerate(zip(texts(12, 1), texts(12, 2), strict=True))]
  rows = [{"query": a, "passages": [b, a], "scores": [0, 1]} for a, b, _ in scored]
  (root / "ranked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  given = {
    "teacher": write_sentence_encoder(root / "teacher"),
    "unlabelled": root / "texts.txt",
    "dev": write(root / "dev.csv", scored, ("first", "second", "score")),
    "text": "first",
    "pair": "second",
    "retrieval": root / "ranked.jsonl",
    **SETTINGS,
  }
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "device_count", lambda: 1)
    patch.setattr(report, "write", lambda *_: None)  # whose pictures take seconds
    patch.setattr(deployed, "measure", lambda *_: {})
    patch.setattr(evaluation, "attention_maps", lambda *_: None)
    run(given, root / "out")
  return given, root / "out"


def test_a_student_opens_in_sentence_transformers_with_the_embeddings_that_predict_writes(made, tmp_path):
  given, out = made
  metrics = json.loads((out / "metrics.json").read_text())
  head = load_sentence_encoder(out / "student").config.sentence
  assert head.width(12) == 24 and head.max_length == metrics["data"]["max_length"] <= 12
  theirs = sentence_transformers.SentenceTransformer(str(out / "student"), device="cpu")
  lines = given["unlabelled"].read_text().split("\n")
  predict_table(out / "student", given["unlabelled"], tmp_path / "vectors.npy", dtype="float32")
  np.testing.assert_allclose(np.load(tmp_path / "vectors.npy"), theirs.encode(lines), atol=1e-5)

  # The cosines that are measured are those of the two vectors.
  teacher = sentence_transformers.SentenceTransformer(given["teacher"], device="cpu")
  with open(given["dev"], newline="") as file:
    _, *pairs = csv.reader(file)
  for name, model in (("teacher", teacher), ("student", theirs)):
    one, other = (model.encode([pair[side] for pair in pairs]) for side in (0, 1))
    cosines, scores = (one * other).sum(-1), [float(pair[2]) for pair in pairs]
    assert metrics[name]["spearman"] == pytest.approx(spearmanr(cosines, scores).statistic, abs=1e-6)
  assert metrics["retrieval"]["teacher"] == {"ndcg_at_10": 1, "mrr_at_10": 1}  # of each query, it finds the same text
  assert set(metrics["retrieval"]["student"]) == {
    "ndcg_at_10", "mrr_at_10", "ndcg_at_10_of_teacher", "recall_at_10_of_teacher"
  }  # fmt: skip


def test_a_run_that_is_killed_goes_on_to_the_same_bits_and_a_finished_one_is_reused(
  made, tmp_path, monkeypatch, capsys
):
  given, out = made
  loses_nothing_when_killed(given, out, tmp_path / "out", monkeypatch, capsys)


@pytest.mark.parametrize(
  "options, said",
  [
    ("--unlabelled t.txt --train t.csv", "learns from a teacher alone"),
    ("", "needs --unlabelled texts"),
    ("--unlabelled t.txt --temperature 2", "are of classes"),
    ("--unlabelled t.txt --embedding-loss-weights 1", "1 weights for 2 losses"),
    ("--unlabelled t.txt --teacher .", "no modules.json"),
    ("--unlabelled t.txt --max-length 14", "the teacher reads 12 tokens"),
    ("--unlabelled t.txt --prompt-names query", "no prompt 'query'"),
    ("--unlabelled t.txt --dev t.txt", "which column has the labels"),
    (
      "--unlabelled t.txt --dev same.csv --text one --pair two",
      "every score is 3, and what is measured",
    ),
    ("--unlabelled t.txt --retrieval r.jsonl", "no passage has a score above 0"),
  ],
)
def test_what_does_not_go_with_embeddings_gets_one_sentence(made, tmp_path, monkeypatch, capsys, options, said):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "t.txt").write_text("\n".join(texts(9)))
  write(tmp_path / "t.csv", [(text, number % 2) for number, text in enumerate(texts(9))])
  write(tmp_path / "same.csv", [(text, text, 3) for text in texts(9)], ("one", "two", "score"))
  (tmp_path / "r.jsonl").write_text('{"query": "hello", "passages": ["world"], "scores": [0]}\n')
  (tmp_path / "config.json").write_text("{}")
  given = ["--teacher", made[0]["teacher"]] if "--teacher" not in options else []
  shape = ["--student-layers", 1, "--student-width", 12]
  assert said in refused(capsys, "--kind", "embeddings", *given, *shape, *options.split())


def test_a_sentence_encoder_given_as_a_classifier_is_told_apart(made, capsys):
  given, _ = made
  assert "--kind embeddings" in refused(capsys, "--teacher", given["teacher"], "--unlabelled", given["unlabelled"])

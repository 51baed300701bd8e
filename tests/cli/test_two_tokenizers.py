"""A student whose tokenizer is not its teacher's: predictions are distilled, and each side reads its own tokens."""

import csv
import json

import jax
import numpy as np
import pytest
import transformers
from small_distil import SHORT, greetings, texts, write, write_teacher
from small_glue import STUDENT, augmenting, changed
from small_pieces import make_pieces

from tinybert_jax import distil_task
from tinybert_jax.cli import glue as program
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.pipeline import stages

WITHOUT_LAYERS = ("teacher", "prediction", "evaluate")


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight


@pytest.fixture
def student(tmp_path):
  """The directory of a student of byte-level pieces, whose texts have no segments."""
  tokenizer = make_pieces("roberta")
  config = changed(STUDENT, vocab_size=len(tokenizer), type_vocab_size=1, pad_token_id=1)
  params = initialize(Encoder(config), jax.random.key(2), kernels="glorot")
  save_pretrained(tmp_path / "pieces", config, params, tokenizer=tokenizer)
  return str(tmp_path / "pieces")


def of_transformers(directory, rows):
  classify = transformers.pipeline("text-classification", model=str(directory))
  return [row["label"] for row in classify(rows)]


def test_distil_compares_predictions_text_by_text(tmp_path, student, capsys):
  teacher = write_teacher(tmp_path / "teacher")
  test = write(tmp_path / "test.csv", greetings(30, 1))
  unlabelled = write(tmp_path / "more.csv", [(text,) for text in texts(60)], ("review",))
  given = SHORT | {"teacher": teacher, "unlabelled": unlabelled, "test": test, "student": student}
  with pytest.raises(InputError, match=r"BPE of 340 tokens\) is not .*WordPiece of 7.*stages teacher prediction evalu"):
    distil_task(tmp_path / "out", **given)
  metrics = distil_task(tmp_path / "out", **given, stages=WITHOUT_LAYERS)
  out = capsys.readouterr().out
  assert "WordPiece of 7 tokens, for the teacher" in out and "tokens, for the student" in out
  assert 0 <= metrics["agreement"] <= 1 and metrics["data"]["tokenizers"]["teacher"] == "WordPiece of 7 tokens"
  # Each in its own tokens gives to transformers what it gives here.
  rows = list(csv.DictReader(open(test)))  # noqa: SIM115
  for side in ("teacher", "student"):
    answers = of_transformers(tmp_path / "out" / side, [row["review"] for row in rows])
    accuracy = np.mean([answer == row["topic"] for answer, row in zip(answers, rows, strict=True)])
    assert metrics[side]["accuracy"] == pytest.approx(accuracy)
  # The targets are the teacher's, of its own tokens, for the rows that the student learns on.
  targets = np.load(tmp_path / "out" / "teacher_targets.npz")["logits"]
  assert len(targets) == metrics["data"]["transfer"] and np.isfinite(targets).all()
  distil_task(tmp_path / "out", **given, stages=WITHOUT_LAYERS)
  assert capsys.readouterr().out.count("reused from") == 3


def test_glue_with_pairs_augmented_and_measured_later(options, tmp_path, student, capsys):
  given = changed(options, student=student)
  with pytest.raises(InputError, match=r"no pairs of hidden states .*--stages augmented teacher prediction evaluate"):
    program.main(given)
  given = augmenting(given, tmp_path, stages=("augmented", "teacher", "prediction", "labels"))
  program.main(changed(given, teacher_epochs=1, prediction_epochs=1))
  program.main(changed(given, stages=("evaluate",), student="nobody/has-this", no_augment=True, copies=None))
  assert "by WordPiece of 7 tokens for the teacher, by BPE of" in capsys.readouterr().out
  folder = options.out / "RTE"
  assert isinstance(load_tokenizer(folder / "teacher").get_vocab(), dict)
  assert load_tokenizer(folder / "student").get_vocab() == make_pieces("roberta").get_vocab()
  metrics = json.loads((folder / "metrics.json").read_text())
  assert "labels alone" in metrics and metrics["student"]["parameters"] > 340 * 12
  test = [line.split("\t") for line in (given.data / "RTE" / "test.tsv").read_text().splitlines()[1:]]
  answers = of_transformers(folder / "student", [{"text": a, "text_pair": b} for _, a, b in test])
  assert answers == [line.split("\t")[1] for line in (folder / "RTE.tsv").read_text().splitlines()[1:]]
  assert load_pretrained(folder / "student").config.type_vocab_size == 1
  record = stages.read_record(folder / "prediction", "RTE")
  assert record["inputs"]["teacher_rows"] != record["inputs"]["training_rows"]
  assert (
    len(np.load(folder / "teacher_targets.npz")["logits"]) == stages.read_record(folder / "augmented", "RTE")["rows"]
  )

"""Trimmed vocabularies of a task's texts, in whole runs."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import transformers
from glue_files import write_task
from small_distil import SHAPE, SHORT, greets, write
from small_glue import STUDENT, TEACHER, write_config
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tinybert_jax import distil_task
from tinybert_jax.cli import glue as program
from tinybert_jax.cli.glue_options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.pipeline import deployed, evaluation, report

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [mark + letter for mark in ("", "##") for letter in 'helowrdcaf"é']
WORDS = [*SPECIAL, *LETTERS, "hello", "world", "café", "read", "he", "##llo"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight
  monkeypatch.setattr(report, "write", lambda *_: None)
  monkeypatch.setattr(deployed, "measure", lambda *_: {})
  monkeypatch.setattr(evaluation, "attention_maps", lambda *_: None)


@pytest.fixture
def encoder(tmp_path):
  rust = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
  rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  rust.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
  )
  tokenizer = transformers.BertTokenizer(tokenizer_object=rust, do_lower_case=False)
  config = dataclasses.replace(TEACHER, vocab_size=len(WORDS))
  params = initialize(Encoder(config), jax.random.key(0), kernels="glorot")
  save_pretrained(tmp_path / "encoder", config, params, tokenizer=tokenizer)
  return str(tmp_path / "encoder")


def sentences(number, seed=0):
  rng = np.random.default_rng(seed)
  return [" ".join(rng.choice(["hello", "world", "hero"], rng.integers(2, 6))) for _ in range(number)]


def test_distil_gives_the_student_the_texts_own_vocabulary(tmp_path, encoder, capsys):
  train = write(tmp_path / "train.csv", [(text, greets(text)) for text in sentences(60)])
  test = write(tmp_path / "test.csv", [(text, greets(text)) for text in [*sentences(20, 1), "read world"]])
  given = SHORT | SHAPE | {"pretrained": encoder, "train": train, "test": test}
  metrics = distil_task(tmp_path / "out", **given, vocabulary=len(WORDS) - 3)
  out = capsys.readouterr().out
  assert f"tokens   {len(WORDS) - 3} of {len(WORDS)} are kept; of " in out and "have other tokens" in out
  student, teacher = (load_tokenizer(tmp_path / "out" / name) for name in ("student", "teacher"))
  assert {"hello", "world", "he"} <= student.get_vocab().keys() and "read" not in student.get_vocab()
  assert set(LETTERS) <= student.get_vocab().keys() and len(teacher.get_vocab()) == len(WORDS)
  assert load_pretrained(tmp_path / "out" / "student").config.vocab_size == len(WORDS) - 3
  assert load_pretrained(tmp_path / "out" / "teacher").config.vocab_size == len(WORDS)
  classify = transformers.pipeline("text-classification", model=str(tmp_path / "out" / "student"))
  rows = [line.split(",") for line in (tmp_path / "test.csv").read_text().splitlines()[1:]]
  right = np.mean([classify(text)[0]["label"] == label for text, label in rows])
  assert metrics["student"]["accuracy"] == pytest.approx(right)
  with pytest.raises(InputError, match=r"intermediate: reads other tokens .* than this run .*run that stage again"):
    distil_task(tmp_path / "out", **given, stages=("teacher", "prediction"))
  with pytest.raises(InputError, match="a vocabulary of 9 tokens: its special tokens, single characters"):
    distil_task(tmp_path / "other", **given, vocabulary=9)


def test_glue_trims_the_student_and_measures_it_later(tmp_path, encoder):
  write_task(tmp_path / "data", "RTE", rows=40)
  config = write_config(tmp_path / "student.json", dataclasses.replace(STUDENT, vocab_size=len(WORDS)))
  epochs = {f"{stage}_epochs": 1 for stage in ("teacher", "intermediate", "prediction")}
  options = Options(
    task="rte", data=tmp_path / "data", out=tmp_path / "out", pretrained=encoder, student=config, no_augment=True,
    dtype="float32", vocabulary=len(WORDS) - 2, stages=("teacher", "intermediate", "prediction", "labels"), **epochs,
  )  # fmt: skip
  program.main(options)
  program.main(dataclasses.replace(options, vocabulary=None, stages=("evaluate",)))
  folder = tmp_path / "out" / "RTE"
  metrics = json.loads((folder / "metrics.json").read_text())
  assert "labels alone" in metrics and load_pretrained(folder / "student").config.vocab_size == len(WORDS) - 2
  test = [line.split("\t")[1:] for line in (tmp_path / "data" / "RTE" / "test.tsv").read_text().splitlines()[1:]]
  classify = transformers.pipeline("text-classification", model=str(folder / "student"))
  answers = [row["label"] for row in classify([{"text": a, "text_pair": b} for a, b in test])]
  assert answers == [line.split("\t")[1] for line in (folder / "RTE.tsv").read_text().splitlines()[1:]]

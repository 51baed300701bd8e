"""What tells how far integers answer as the whole model does, for each class of models and kind of file."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from small_distil import greetings, texts, write
from small_glue import TEACHER
from small_tokenizer import word_tokenizer

from tinybert_jax.export.encoder import onnx_model
from tinybert_jax.export.quantization import Quantization
from tinybert_jax.export.session import Session
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  SequenceClassifier,
  SpanClassifier,
  TokenClassifier,
)
from tinybert_jax.models.parameters import parameter_shapes
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.models.sentence_directories import save_sentence_encoder
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import SentenceHead
from tinybert_jax.pipeline import calibration
from tinybert_jax.pipeline.distil_settings import Sources

TAGGED = "\n".join("\n".join(f"{word}\t{'B-it' if word == 'hello' else 'O'}" for word in text.split()) + "\n"
                   for text in texts(9, 1))  # fmt: skip
CASES = {
  SequenceClassifier: ("dev.csv", ("greets", "not")),
  TokenClassifier: ("dev.conll", ("O", "B-it", "I-it")),
  SpanClassifier: ("dev.jsonl", ("start", "end")),
  MaskedLanguageModel: ("plain.txt", ("a", "b")),
  Encoder: ("plain.txt", ("a", "b")),
  SentenceEncoder: ("plain.txt", ("a", "b")),
}


@pytest.mark.parametrize("model_class", CASES)
def test_models_agree_with_themselves_and_less_with_coarser_ones(tmp_path, model_class):
  file, labels = CASES[model_class]
  config = dataclasses.replace(TEACHER, labels=labels)
  if model_class is SentenceEncoder:
    config = dataclasses.replace(config, sentence=SentenceHead())
  rng = np.random.default_rng(0)
  shapes = parameter_shapes(model_class(config))
  params = jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), shapes)
  save = save_sentence_encoder if model_class is SentenceEncoder else save_pretrained
  save(tmp_path / "model", config, params, tokenizer=word_tokenizer())
  write(tmp_path / "dev.csv", greetings(9))
  (tmp_path / "dev.conll").write_text(TAGGED)
  asked = [{"question": "hello", "context": text, "answers": {"text": [text.split()[0]], "answer_start": [0]}}
           for text in texts(9)]  # fmt: skip
  (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, asked)))
  (tmp_path / "plain.txt").write_text("\n".join(texts(9)) + "\n")
  sources = Sources(unlabelled=(str(tmp_path / file),))
  found = calibration.read(sources, word_tokenizer(), config, model_class, str(tmp_path / "model"))
  assert len(found.rows) == 9 and found.has_labels == (file != "plain.txt")

  def answers(quantization=None):
    model = onnx_model(config, params, model_class, quantization=quantization)
    return found.answers(Session(model.SerializeToString()))

  whole, coarse = answers(), answers(Quantization(per_channel=False, reduced_range=True))
  assert found.agreement(whole, whole) == pytest.approx(1)
  assert 0.3 < found.agreement(whole, coarse) <= 1
  if found.has_labels:
    assert 0 <= found.score(whole) <= 100
    assert found.score(whole) == pytest.approx(
      100 * found.task.score(whole, found.task.truth(found.rows))[found.task.main_metric]
    )

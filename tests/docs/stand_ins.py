"""Small files under the names that the pages use: models, tables and texts."""

import csv
import dataclasses
from pathlib import Path

import jax
import numpy as np
from small_sentences import write_sentence_encoder
from small_tokenizer import word_tokenizer

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, SequenceClassifier, parameter_shapes
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.models.sentence_head import SentenceHead

ENCODER = EncoderConfig(
  vocab_size=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
  max_position_embeddings=128,
)  # fmt: skip
CLASSES = ("greets", "not")


def write(folder: Path) -> None:
  """Writes my-encoder, my-sentence-encoder, my-bert, the quickstart's student, and tables of texts."""
  _save(folder / "my-encoder", ENCODER, Encoder)
  sentences = dataclasses.replace(ENCODER, intermediate_size=64, sentence=SentenceHead())
  write_sentence_encoder(folder / "my-sentence-encoder", sentences)
  classifier = dataclasses.replace(ENCODER, labels=CLASSES)
  _save(folder / "my-bert", classifier, SequenceClassifier)
  small = dataclasses.replace(classifier, num_hidden_layers=1, hidden_size=8, intermediate_size=16)
  _save(folder / "runs" / "quickstart" / "student", small, SequenceClassifier)
  for seed, (name, rows) in enumerate({"train": 40, "test": 20, "new": 10}.items()):
    with (folder / f"{name}.csv").open("w", newline="") as file:
      labelled = [(text, CLASSES[text.startswith("world")]) for text in texts(rows, seed)]
      header, kept = (("text", "label"), 2) if name != "new" else (("text",), 1)
      csv.writer(file).writerows([header, *(row[:kept] for row in labelled)])
  (folder / "more.txt").write_text("\n".join(texts(10, 3)) + "\n")


def texts(number: int, seed: int) -> list[str]:
  """Returns texts of the tokenizer's two words."""
  rng = np.random.default_rng(seed)
  return [" ".join(rng.choice(["hello", "world"], rng.integers(2, 6))) for _ in range(number)]


def _save(folder: Path, config: EncoderConfig, model_class: type) -> None:
  rng = np.random.default_rng(0)  # JAX's own would compile a program for each shape
  params = jax.tree.map(
    lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), parameter_shapes(model_class(config))
  )
  save_pretrained(folder, config, params, tokenizer=word_tokenizer())

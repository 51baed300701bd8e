"""Models with random weights, and data of every kind of task in random words, in the files that programs read."""

import csv
import dataclasses
import itertools
import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import MaskedLanguageModel, SequenceClassifier, SpanClassifier, TokenClassifier
from tinybert_jax.models.parameters import parameter_shapes
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.models.sentence_directories import save_sentence_encoder
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import SentenceHead

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CLASSES = ("no", "yes")
_TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")  # CoNLL-2003's
_LETTERS = (*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase))
_PASSAGES = 8  # of a query
_QUESTION = 12  # words
_SENTENCE = 20  # words, at most


def known_words(vocab_size: int) -> list[str]:
  """Returns the words of a tokenizer, of four letters each; it has single letters and special tokens too."""
  number = vocab_size - len(_SPECIAL) - len(_LETTERS)
  every = [*map("".join, itertools.product(string.ascii_lowercase, repeat=4))]
  return every[:: len(every) // number][:number]


def write_models(folder: Path, large: EncoderConfig, small: EncoderConfig, known: Sequence[str]) -> None:
  """Writes a masked language model `bert`, the teachers `classes`, `tokens` and `spans`, all of the large shape, and of
  the small one a sentence encoder `minilm` and a cross-encoder `ranker`; `known` are the words that are tokens.
  """
  tokenizer = _tokenizer(known)
  for name, model in {
    "bert": MaskedLanguageModel(large),
    "classes": SequenceClassifier(dataclasses.replace(large, labels=_CLASSES)),
    "tokens": TokenClassifier(dataclasses.replace(large, labels=_TAGS)),
    "spans": SpanClassifier(large),
    "ranker": SequenceClassifier(dataclasses.replace(small, labels=("score",))),
  }.items():
    save_pretrained(folder / name, model.config, _draw(model), tokenizer=tokenizer)
  config = dataclasses.replace(small, sentence=SentenceHead())
  save_sentence_encoder(folder / "minilm", config, _draw(SentenceEncoder(config)), tokenizer=tokenizer)


def write_data(folder: Path, known: Sequence[str], rows: int, dev_rows: int, length: int, span_length: int) -> None:
  """Writes texts without labels, and of each kind of task rows to train on and rows to choose the best step by.

  Args:
    folder: where to.
    known: the words of the texts.
    rows: to train on.
    dev_rows: to choose the best step by.
    length: tokens of a text or a pair, with [CLS] and [SEP].
    span_length: tokens of a question with its text.
  """
  rng, every = np.random.default_rng(0), np.array(known)

  def text(number: int) -> str:
    return " ".join(rng.choice(every, number))

  _write_lines(folder / "texts.txt", [text(length - 2) for _ in range(rows)])
  _write_lines(folder / "few.txt", [text(min(length - 2, _SENTENCE)) for _ in range(dev_rows)])
  first, second = (length - 3) // 2, length - 3 - (length - 3) // 2
  (folder / "MRPC").mkdir()
  for split, number in {"train": rows, "dev": dev_rows}.items():
    pairs = [(text(first), text(second), row % 2) for row in range(number)]
    named = [(*texts, _CLASSES[label]) for *texts, label in pairs]
    _write_table(folder / f"{split}.csv", ("first", "second", "label"), named)
    lines = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", *(f"{label}\t1\t2\t{a}\t{b}" for a, b, label in pairs)]
    _write_lines(folder / "MRPC" / f"{split}.tsv", lines)
    tagged = [[f"{word} {_TAGS[rng.integers(2)]}" for word in text(length - 2).split()] for _ in range(number)]
    _write_lines(folder / f"{split}.conll", ["\n".join(part) + "\n" for part in tagged])
    articles = [_article(text(_QUESTION), text(span_length - _QUESTION - 3), row) for row in range(number)]
    _write_lines(folder / f"{split}.json", [json.dumps({"version": "1.1", "data": articles})])
    queries = [
      {"query": text(_QUESTION), "passages": [text(length - _QUESTION - 3) for _ in range(_PASSAGES)]}
      for _ in range(-(-number // _PASSAGES))
    ]
    scores = [int(place == 0) for place in range(_PASSAGES)]
    _write_lines(folder / f"{split}.jsonl", [json.dumps({**query, "scores": scores}) for query in queries])
  scored = [(text(length - 2), text(length - 2), row % 6) for row in range(dev_rows)]
  _write_table(folder / "scored.csv", ("first", "second", "score"), scored)


def write_corpus(path: Path, known: Sequence[str], size: int) -> None:
  """Writes documents of some hundred words, with a blank line between them, of about `size` bytes together."""
  rng, every = np.random.default_rng(1), np.array(known)
  with open(path, "w", encoding="utf-8") as file:
    while file.tell() < size:
      file.write(" ".join(rng.choice(every, rng.integers(100, 400))) + "\n\n")


def _tokenizer(known: Sequence[str]) -> transformers.BertTokenizer:
  vocabulary = [*_SPECIAL, *_LETTERS, *known]
  rust = Tokenizer(models.WordPiece({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"))
  rust.normalizer, rust.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
  rust.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
  )
  return transformers.BertTokenizer(tokenizer_object=rust)


def _draw(model: Any) -> Any:
  rng = np.random.default_rng(0)

  def leaf(path: Any, shape: jax.ShapeDtypeStruct) -> np.ndarray:
    if path[-1].key == "scale":
      return np.ones(shape.shape, np.float32)
    return np.float32(0.02) * rng.standard_normal(shape.shape, np.float32)

  return jax.tree.map_with_path(leaf, parameter_shapes(model))


def _article(question: str, context: str, number: int) -> dict[str, Any]:
  """Returns an article of SQuAD's layout, with one question whose answer is a word in the middle of the text."""
  words = context.split()
  before, answer = words[: len(words) // 2], words[len(words) // 2]
  answers = [{"text": answer, "answer_start": len(" ".join(before)) + 1}]
  asked = {"id": str(number), "question": question, "answers": answers}
  return {"title": str(number), "paragraphs": [{"context": context, "qas": [asked]}]}


def _write_lines(path: Path, lines: Sequence[str]) -> None:
  path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
  with open(path, "w", encoding="utf-8", newline="") as file:
    csv.writer(file).writerows([header, *rows])

"""Small data and models for `tinybert-jax distil --kind …`: of each kind of task the options of a run."""

import dataclasses
import json

import numpy as np
from small_distil import SHORT, write, write_teacher
from small_glue import TEACHER, write_encoder
from small_sentences import texts, write_sentence_encoder

_UNTAUGHT = {name: value for name, value in SHORT.items() if not name.startswith("teacher_")}  # no teacher is trained


def write_tagged(path, number, seed=0):
  """Writes texts of two words, where "hello world" is a name; one of them is longer than the model."""
  rng = np.random.default_rng(seed)
  found = [rng.choice(["hello", "world"], rng.integers(2, 7)).tolist() for _ in range(number - 1)]
  found.append(["hello", "world", "world"] * 9)
  lines = []
  for words in found:
    pairs = zip(["", *words], words, strict=False)
    tags = ["I-NAME" if pair == ("hello", "world") else "B-NAME" if pair[1] == "hello" else "O" for pair in pairs]
    lines.append("\n".join(f"{word} {tag}" for word, tag in zip(words, tags, strict=True)))
  path.write_text("\n\n".join(lines) + "\n")
  return str(path)


def write_questions(path, number, seed=0, null=True):
  """Writes questions for the words that stand twice in a text; of some texts there is no answer."""
  rng, articles = np.random.default_rng(seed), []
  for place in range(number):
    words = rng.choice(["hello", "world"], rng.integers(2, 12)).tolist()
    twice = [at for at in range(len(words) - 1) if words[at] == words[at + 1]]
    if not twice and not null:
      words, twice = [*words, words[-1]], [len(words) - 1]
    before = " ".join(words[: twice[0]]) if twice else ""
    answers = [{"text": f"{words[at]} {words[at]}", "answer_start": len(before) + bool(before)} for at in twice[:1]]
    asked = {"id": str(place), "question": "hello", "answers": answers, "is_impossible": not answers}
    articles.append({"title": str(place), "paragraphs": [{"context": " ".join(words), "qas": [asked]}]})
  path.write_text(json.dumps({"version": "v2.0", "data": articles}))
  return str(path)


def write_ranked(path, number, seed=0):
  """Writes queries with three passages, of which the second is relevant."""
  found = texts(4 * number, seed)
  rows = [
    {"query": query, "passages": list(passages), "scores": [0, 1, 0]}
    for query, *passages in zip(*(found[place::4] for place in range(4)), strict=True)
  ]
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return str(path)


def _tokens(root):
  return {
    "pretrained": write_encoder(root / "encoder", dataclasses.replace(TEACHER, intermediate_size=64)),
    "train": write_tagged(root / "train.conll", 40),
    "dev": write_tagged(root / "dev.conll", 12, seed=1),
    "max_length": 12,
    "doc_stride": 4,
    "half_targets": True,
    **SHORT,
  }


def _spans(root):
  return {
    "pretrained": write_encoder(root / "encoder", dataclasses.replace(TEACHER, intermediate_size=64)),
    "train": write_questions(root / "train.json", 60),
    "max_length": 14,
    "doc_stride": 3,
    **SHORT,
  }


def _embeddings(root):
  (root / "texts.txt").write_text("\n".join(texts(60)))
  scored = [(*pair, number % 5) for number, pair in enumerate(zip(texts(12, 1), texts(12, 2), strict=True))]
  return {
    "teacher": write_sentence_encoder(root / "teacher"),
    "unlabelled": root / "texts.txt",
    "dev": write(root / "dev.csv", scored, ("first", "second", "score")),
    "text": "first",
    "pair": "second",
    "retrieval": write_ranked(root / "ranked.jsonl", 6, seed=3),
    **_UNTAUGHT,
  }


def _ranking(root):
  return {
    "teacher": write_teacher(root / "teacher", labels=("score",), num_hidden_layers=2, intermediate_size=64),
    "unlabelled": write_ranked(root / "queries.jsonl", 24),
    "dev": write_ranked(root / "dev.jsonl", 6, seed=4),
    "ranking_losses": "margin",
    **_UNTAUGHT,
  }


_OPTIONS = {"tokens": _tokens, "spans": _spans, "embeddings": _embeddings, "ranking": _ranking}
KINDS = tuple(_OPTIONS)


def options_of(kind, root):
  """Returns the options of a run, after writing what it reads: a student of one layer, made from its teacher's."""
  shape = {"student_from": "teacher", "student_layers": 1, "student_width": 12}
  return {"kind": kind, **shape, **_OPTIONS[kind](root)}

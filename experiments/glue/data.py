"""A task's token rows."""

from pathlib import Path
from typing import Any, NamedTuple

import datasets

from experiments.augment import first_examples
from tinybert_jax.augmentation.rows import tokenize_parts
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import tokenize
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import read_json
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline.stages import RECORD
from tinybert_jax.tasks.glue import DIAGNOSTIC, Task
from tinybert_jax.tasks.glue_files import HUB, find_folder, load_rows


class TestSplit(NamedTuple):
  """Rows whose labels only the GLUE server has.

  Attributes:
    task: whose rows these are.
    file: that the server takes.
    index: of each row.
    rows: its tokens.
  """

  task: Task
  file: str
  index: list[str]
  rows: datasets.Dataset


class Data(NamedTuple):
  """A task's token rows.

  Attributes:
    texts: the training rows before they are tokens.
    train: with labels.
    dev: with labels, by the name of the split.
    test: without.
    skipped: the number of incomplete rows that were left out, by split, where there were any.
    inputs: what a stage that is trained on them depends on.
  """

  texts: datasets.Dataset
  train: datasets.Dataset
  dev: dict[str, datasets.Dataset]
  test: list[TestSplit]
  skipped: dict[str, int]
  inputs: dict[str, Any]


def load(
  task: Task,
  directory: Path | None,
  tokenizer: Tokenizer,
  *,
  max_length: int,
  max_train_examples: int | None,
  seed: int,
  with_test: bool,
) -> Data:
  """Returns the rows of a task.

  Args:
    task: from the table.
    directory: of the official files; None for the hub.
    tokenizer: of teacher and student.
    max_length: tokens that a row is cut to.
    max_train_examples: so many training rows, drawn by the seed; None for all.
    seed: of that.
    with_test: whether to load the test splits, and with MNLI the diagnostic rows where they are there.
  """
  if directory is None:
    print(f"{task.name:13} data from {HUB} on the Hugging Face hub", flush=True)
  splits = {split: load_rows(task, split, directory) for split in ("train", *task.dev_splits)}
  texts = first_examples(splits["train"].rows, max_train_examples, seed)
  tests = [(task, split) for split in task.test_splits] if with_test else []
  if tests and task.name == "MNLI" and (directory is None or find_folder(DIAGNOSTIC, directory)):
    tests.append((DIAGNOSTIC, "test"))
  test = []
  for owner, split in tests:
    try:
      rows = load_rows(owner, split, directory).rows
    except InputError as error:
      raise InputError(f"{error}; --no-leaderboard does without the test split") from error
    test.append(TestSplit(owner, owner.leaderboard_file(split), rows["index"][:], _tokens(tokenizer, rows, max_length)))
  train = _tokens(tokenizer, texts, max_length)
  dev = {split: _tokens(tokenizer, splits[split].rows, max_length) for split in task.dev_splits}
  return Data(
    texts,
    train,
    dev,
    test,
    skipped={split: loaded.skipped for split, loaded in splits.items() if loaded.skipped},
    inputs={"training_rows": fingerprint.of_rows(train)}
    | {f"{split}_rows": fingerprint.of_rows(rows) for split, rows in dev.items()},
  )


def with_augmented(data: Data, folder: Path, path: Path, tokenizer: Tokenizer, *, max_length: int) -> Data:
  """Returns the data with the augmented rows in `folder` for training, whose tokens are kept in the file `path`."""
  train = tokenize_parts(folder, path, tokenizer, max_length=max_length, made_from=read_json(folder / RECORD))
  return data._replace(train=train, inputs=data.inputs | {"training_rows": fingerprint.of_rows(train)})


def _tokens(tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
  pairs = rows["pair"][:] if "pair" in rows.column_names else None
  labels = rows["label"][:] if "label" in rows.column_names else None
  return tokenize(tokenizer, rows["text"][:], pairs, max_length=max_length, labels=labels)

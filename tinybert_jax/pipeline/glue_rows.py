"""A task's token rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import datasets

from tinybert_jax.data.batches import tokenize_rows
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.vocabulary import Trimmed
from tinybert_jax.pipeline import trimming
from tinybert_jax.pipeline.augment import first_examples
from tinybert_jax.pipeline.cards import Data, Origin
from tinybert_jax.pipeline.segments import task_rows, with_segments
from tinybert_jax.pipeline.task_run import TaskRows
from tinybert_jax.tasks.glue import DIAGNOSTIC, GlueTask
from tinybert_jax.tasks.glue_files import HUB, find_folder, load_rows
from tinybert_jax.training.hosts import say


class TestSplit(NamedTuple):
  """Rows whose labels only the GLUE server has.

  Attributes:
    task: whose rows these are.
    file: that the server takes.
    index: of each row.
    rows: its tokens.
  """

  task: GlueTask
  file: str
  index: list[str]  # type: ignore[assignment]  # of a tuple's method of that name, which nobody needs here
  rows: datasets.Dataset


class GlueRows(NamedTuple):
  """The rows of a task.

  Attributes:
    rows: for training, and the dev splits.
    dev_texts: of the dev splits, before they are tokens.
    test: rows without labels.
    trimmed: the vocabulary of the training texts; None where the whole one is read.
    skipped: the number of incomplete rows that were left out, by split, where there were any.
  """

  rows: TaskRows
  dev_texts: dict[str, datasets.Dataset]
  test: list[TestSplit]
  trimmed: Trimmed | None
  skipped: dict[str, int]


def origin(task: GlueTask, teacher: str, student: str | None) -> Origin:
  """Returns what a task's models and data are called where they came from.

  Args:
    task: whose data.
    teacher: hub id or directory of the model that the teacher is, or is fine-tuned from.
    student: that of the student's first weights; None for a fresh one.
  """
  splits = {split: split.replace("dev", "validation") for split in task.dev_splits}
  if len(splits) > 1:
    splits["dev"] = "validation_matched"
  return Origin((teacher,), student, Data(f"GLUE {task.name}", HUB, task.hub), splits=splits, language="en")


def load(
  task: GlueTask,
  directory: Path | None,
  tokenizer: Tokenizer,
  *,
  max_length: int,
  max_train_examples: int | None,
  seed: int,
  with_test: bool,
  vocabulary: int | None = None,
  always: Sequence[int] = (),
) -> GlueRows:
  """Returns the rows of a task.

  Args:
    task: from the table.
    directory: of the official files; None for the hub.
    tokenizer: of the student, and of the teacher if it has no other.
    max_length: tokens that a row is cut to.
    max_train_examples: so many training rows, drawn by the seed; None for all.
    seed: of that.
    with_test: whether to load the test splits, and with MNLI the diagnostic rows where they are there.
    vocabulary: the most tokens that are kept, those of the training texts; None for all.
    always: ids that are kept in any case.
  """
  if directory is None:
    say(f"{task.name:13} data from {HUB} on the Hugging Face hub")
  splits = {split: load_rows(task, split, directory) for split in ("train", *task.dev_splits)}
  texts = first_examples(splits["train"].rows, max_train_examples, seed)
  dev_texts = {split: splits[split].rows for split in task.dev_splits}
  trimmed = None
  if vocabulary is not None:
    trimmed = trimming.of_rows(tokenizer, texts, dev_texts.values(), vocabulary, always)
    tokenizer = trimmed.tokenizer
  tests = [(task, split) for split in task.test_splits] if with_test else []
  if tests and task.name == "MNLI" and (directory is None or find_folder(DIAGNOSTIC, directory)):
    tests.append((DIAGNOSTIC, "test"))
  test = []
  for owner, split in tests:
    try:
      rows = load_rows(owner, split, directory).rows
    except InputError as error:
      raise InputError(f"{error}; --no-leaderboard does without the test split") from error
    test.append(
      TestSplit(owner, owner.leaderboard_file(split), rows["index"][:], tokenize_rows(tokenizer, rows, max_length))
    )
  return GlueRows(
    tokenized(texts, dev_texts, tokenizer, max_length),
    dev_texts,
    test,
    trimmed,
    skipped={split: loaded.skipped for split, loaded in splits.items() if loaded.skipped},
  )


def as_read(data: GlueRows, config: EncoderConfig) -> GlueRows:
  """Returns the rows as a model reads them, which may have no segments."""
  test = [split._replace(rows=with_segments(split.rows, config)) for split in data.test]
  return data._replace(rows=task_rows(data.rows, config), test=test)


def tokenized(
  texts: datasets.Dataset, dev_texts: Mapping[str, datasets.Dataset], tokenizer: Tokenizer, max_length: int
) -> TaskRows:
  """Returns the token rows of a task's texts; the student learns on those that have labels."""
  train = tokenize_rows(tokenizer, texts, max_length)
  dev = {split: tokenize_rows(tokenizer, rows, max_length) for split, rows in dev_texts.items()}
  return TaskRows(texts, labelled=train, transfer=train, dev=dev)

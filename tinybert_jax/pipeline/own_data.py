"""The data of a run on one's own tables: read, checked, split and cut into tokens."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import datasets
import numpy as np

from tinybert_jax.data.batches import row_length
from tinybert_jax.data.columns import Columns
from tinybert_jax.data.ranked import Ranked
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import own_tables
from tinybert_jax.pipeline.dev_split import shared_texts, split_dev
from tinybert_jax.pipeline.own_rows import OwnRows, joined
from tinybert_jax.pipeline.own_tables import Known, Labelled, Sources, ToPredict
from tinybert_jax.pipeline.segments import with_segments
from tinybert_jax.pipeline.task_run import TaskRows
from tinybert_jax.tasks.own_task import make_task
from tinybert_jax.tasks.task import Task

_LONGEST = 512
_COVERED = 0.99  # of the texts, that the default length does not cut
_MEASURED = 20_000  # rows that tell how long texts are

Where = str | Path | Sequence[str | Path]
# Gives a task from the name of its kind, the name of its data, its classes, and the options of the data.
MakeTask = Callable[[str, str, Sequence[str], Sources], Task]


@runtime_checkable
class Reader(Protocol):
  """What reads the data of a kind, such as the modules `own_tables` and `own_tokens`; what each does is told there."""

  def read_train(self, sources: Sources, known: Known, notes: list[str]) -> Labelled: ...

  def read_unlabelled(
    self, sources: Sources, kind: str, names: Sequence[str], like: Columns | None, notes: list[str]
  ) -> OwnRows: ...

  def read_measured(
    self, measured: tuple[str, ...], sources: Sources, like: Columns | None, task: Task, notes: list[str]
  ) -> OwnRows: ...

  def read_to_predict(
    self, where: tuple[str, ...], sources: Sources, batch_rows: int, notes: list[str]
  ) -> Iterator[ToPredict]: ...


@dataclasses.dataclass(frozen=True)
class OwnData:
  """The data of a run before it is tokens.

  Attributes:
    task: its kind and classes.
    labelled: rows with labels to train on; None where there are none.
    transfer: rows to distil over: those of `labelled`, and all without labels.
    dev: rows to choose the best step by; with labels, or without.
    test: rows with labels to measure on; None where there are none.
    targets: of the transfer rows, as logits, where they came with the data.
    dev_targets: of the dev rows.
    notes: sentences on what was found and left out.
    ranked: queries with passages that embeddings are measured on besides; None where there are none.
  """

  task: Task
  labelled: datasets.Dataset | None
  transfer: datasets.Dataset
  dev: datasets.Dataset
  test: datasets.Dataset | None
  targets: np.ndarray | None
  dev_targets: np.ndarray | None
  notes: tuple[str, ...]
  ranked: Ranked | None = None


class Length(NamedTuple):
  """The tokens that texts are cut to, and the share of the texts that are longer."""

  tokens: int
  share_cut: float


def of_texts(kind: str, name: str, labels: Sequence[str], sources: Sources) -> Task:
  """Returns the task of texts with labels; see `MakeTask`."""
  return make_task(kind, name, labels)


def load(
  sources: Sources,
  *,
  name: str,
  known: Known,
  seed: int,
  reader: Reader = own_tables,
  make: MakeTask = of_texts,
) -> OwnData:
  """Returns the data of a run on labels.

  Args:
    sources: where it is.
    name: of the task.
    known: what a finished teacher and the options tell.
    seed: random seed for the dev split, and for the rows of a trial.
    reader: of the kind of data.
    make: makes the task.

  Raises:
    InputError: data that cannot be read, or that does not fit together; it names file and row.
  """
  notes: list[str] = []
  if not sources.train and not sources.unlabelled:
    raise InputError("there is nothing to learn from; give --train, --unlabelled, or both")
  train = reader.read_train(sources, known, notes) if sources.train else None
  kind, names = (train.kind, train.names) if train else _without_labels(known, sources)
  columns = train.columns if train else None
  unlabelled = reader.read_unlabelled(sources, kind, names, columns, notes) if sources.unlabelled else None
  task = make(kind, name, names, sources)
  labelled, parts = _pieces(train, unlabelled, sources.max_train_examples, seed)
  if sources.max_train_examples:
    notes.append(f"a trial: --max-train-examples {sources.max_train_examples} took a part of the training rows")
  if sources.dev:
    dev = reader.read_measured(sources.dev, sources, columns, task, notes)
    notes += shared_texts(labelled.rows, dev.rows, "dev") if labelled else []
  else:
    split = split_dev(labelled or parts[0], sources.dev_share, seed, stratify=kind == "classification")
    notes.append(split.note)
    dev, labelled, parts = (split.dev, split.rest, parts) if labelled else (split.dev, None, [split.rest, *parts[1:]])
  transfer = joined([labelled, *parts] if labelled else parts)
  test = None
  if sources.test:
    test = reader.read_measured(sources.test, sources, columns, task, notes).rows
    notes += shared_texts(transfer.rows, test, "test")
  rows = labelled.rows if labelled else None
  return OwnData(task, rows, transfer.rows, dev.rows, test, transfer.targets, dev.targets, tuple(notes))


def tokenized(
  data: OwnData, tokenizer: Tokenizer, max_length: int, config: EncoderConfig
) -> tuple[TaskRows, datasets.Dataset | None]:
  """Returns the token rows for training and dev, and those of the test split, as models like `config` read them."""

  def tokens(rows: datasets.Dataset) -> datasets.Dataset:
    return with_segments(data.task.tokenize(tokenizer, rows, max_length), config)

  labelled = None if data.labelled is None else tokens(data.labelled)
  test = None if data.test is None else tokens(data.test)
  return TaskRows(data.transfer, labelled, tokens(data.transfer), {"dev": tokens(data.dev)}), test


def choose_length(data: OwnData, tokenizer: Tokenizer, positions: int, asked: int | None) -> Length:
  """Returns the tokens that texts are cut to.

  By default 99% of the texts have no more: a multiple of 8, from 16 to 512 or the model's positions.

  Args:
    data: whose texts to distil over are looked at, 20,000 of them at most.
    tokenizer: of the models.
    positions: that the model has.
    asked: the tokens, where an option gives them.
  """
  most = asked or min(_LONGEST, positions)
  rows = data.transfer.select(range(0, len(data.transfer), max(1, len(data.transfer) // _MEASURED)))
  token_rows = data.task.tokenize(tokenizer, rows, most + 1)
  lengths = row_length(token_rows)
  needed = int(np.quantile(lengths, _COVERED, method="higher"))
  tokens = asked or int(min(most, max(16, -(-needed // 8) * 8)))
  reads_all = len(token_rows) > len(rows)  # a long text has several rows
  return Length(tokens, 0.0 if reads_all else float(np.mean(lengths > tokens)))


def _without_labels(known: Known, sources: Sources) -> tuple[str, tuple[str, ...]]:
  """Returns the kind and the classes of a task without labels: those of a teacher, or of the target columns."""
  columns = sources.target_columns
  if known.names is None and not columns:
    raise InputError("--unlabelled alone needs a --teacher that is fine-tuned, or --target-columns")
  kind = known.kind or ("regression" if len(columns) == 1 else "classification")
  return kind, known.names or (("score",) if kind == "regression" else columns)


def _pieces(
  train: Labelled | None, unlabelled: OwnRows | None, most: int | None, seed: int
) -> tuple[OwnRows | None, list[OwnRows]]:
  """Returns the rows with labels, and all parts without, of each at most so many."""
  labelled = train.rows.first(most, seed) if train else None
  without = train.without if train else None
  return labelled, [part.first(most, seed) for part in (unlabelled, without) if part is not None]

"""The kinds of task of one's own data, a row each: the head of its models, how its data is read, and its task."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from tinybert_jax.data.columns import Columns
from tinybert_jax.models.config import read_json
from tinybert_jax.models.heads import SEQUENCES, SPANS, TOKENS, Head
from tinybert_jax.models.hub import local_directory
from tinybert_jax.pipeline import own_spans, own_tables, own_tokens
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_rows import OwnRows
from tinybert_jax.pipeline.own_tables import Known, Labelled, ToPredict
from tinybert_jax.tasks.own_task import make_task
from tinybert_jax.tasks.spans import Spans
from tinybert_jax.tasks.task import Task
from tinybert_jax.tasks.tokens import Tokens


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


class Kind(NamedTuple):
  """A kind of task.

  Attributes:
    head: of its models.
    ending: of the names of their classes in transformers.
    reader: of its data.
    task: of a kind's name, the name of the data, the classes, and the options of the data.
    has_texts: whether its data is a table of texts with labels, which targets can take the place of, and which can be
      augmented.
    length: tokens that a text is cut to where no option says so; None for as many as 99% of the texts have.
  """

  head: Head
  ending: str
  reader: Reader
  task: Callable[[str, str, Sequence[str], Sources], Task]
  has_texts: bool = False
  length: int | None = None


def _tokens(kind: str, name: str, labels: Sequence[str], sources: Sources) -> Task:
  return Tokens(name, tuple(labels), sources.doc_stride)


def _spans(kind: str, name: str, labels: Sequence[str], sources: Sources) -> Task:
  return Spans(
    name,
    tuple(labels) == own_spans.WITH_NULL,
    sources.doc_stride,
    sources.max_query_length,
    sources.max_answer_length,
    sources.null_threshold,
  )


def _of_texts(kind: str, name: str, labels: Sequence[str], sources: Sources) -> Task:
  return make_task(kind, name, labels)


_OF_TEXTS = Kind(SEQUENCES, "ForSequenceClassification", own_tables, _of_texts, has_texts=True)
KINDS = {
  "tokens": Kind(TOKENS, "ForTokenClassification", own_tokens, _tokens),
  "spans": Kind(SPANS, "ForQuestionAnswering", own_spans, _spans, length=384),
}


def find_kind(name: str | None) -> Kind:
  """Returns the row of a kind; that of texts with labels for all kinds of these, and where nothing names one."""
  return KINDS.get(name or "", _OF_TEXTS)


def told_by(model: str | os.PathLike) -> str | None:
  """Returns the kind of task that the name of a model's class tells; None for a classifier of texts or another."""
  names = read_json(local_directory(model) / "config.json").get("architectures")
  name = str(names[0]) if isinstance(names, list) and names else ""
  return next((kind for kind, row in KINDS.items() if name.endswith(row.ending)), None)

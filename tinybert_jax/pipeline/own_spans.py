"""One's own questions on texts, with answers that stand in them: read, checked, and as rows of a task."""

from collections.abc import Iterator, Sequence

import datasets
import pyarrow as pa

from tinybert_jax.data.columns import Columns
from tinybert_jax.data.squad import Question, read_questions
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_rows import OwnRows
from tinybert_jax.pipeline.own_tables import Known, Labelled, ToPredict
from tinybert_jax.tasks.task import Task

NAMES = ("start", "end")
WITH_NULL = (*NAMES, "none")  # of data in which some questions have no answer
_COLUMNS = Columns("question", "context", ("answers",), ())
_LABEL = pa.struct({"text": pa.list_(pa.string()), "start": pa.list_(pa.int32())})


def read_train(sources: Sources, known: Known, notes: list[str]) -> Labelled:
  """Returns the questions of `train`; see `own_tables.read_train`. Those whose answers have no place are left out."""
  where = ", ".join(sources.train)
  found = read_questions(sources.train, notes, sources.reading)
  _check_answers(found, where)
  marked = [one for one in found if not one.answers or max(one.starts) >= 0]
  if len(marked) < len(found):
    notes.append(f"{where}: {len(found) - len(marked):,} questions without a place of their answer are left out")
  if not any(one.answers for one in marked):
    raise InputError(f"{where}: no question has an answer")
  has_null = not all(one.answers for one in marked)
  rows = OwnRows(_rows(marked, has_labels=True), None)
  return Labelled(_COLUMNS, "spans", WITH_NULL if has_null else NAMES, rows, None)


def read_unlabelled(
  sources: Sources, kind: str, names: Sequence[str], like: Columns | None, notes: list[str]
) -> OwnRows:
  """Returns the questions of `unlabelled`, without their answers."""
  return OwnRows(_rows(read_questions(sources.unlabelled, notes, sources.reading), has_labels=False), None)


def read_measured(
  measured: tuple[str, ...], sources: Sources, like: Columns | None, task: Task, notes: list[str]
) -> OwnRows:
  """Returns the questions of dev or test, with all their answers."""
  found = read_questions(measured, notes, sources.reading)
  _check_answers(found, ", ".join(measured))
  return OwnRows(_rows(found, has_labels=True), None)


def read_to_predict(where: tuple[str, ...], sources: Sources, batch_rows: int, notes: list[str]) -> Iterator[ToPredict]:
  """Yields questions with their texts in pieces; see `own_tables.read_to_predict`."""
  found = read_questions(where, notes, sources.reading)
  for start in range(0, len(found), batch_rows):
    some = found[start : start + batch_rows]
    rows = _rows(some, has_labels=False)
    table = pa.table({name: [getattr(one, name) for one in some] for name in ("id", "question", "context")})
    yield ToPredict(table, list(range(len(some))), rows)


def _check_answers(found: Sequence[Question], where: str) -> None:
  for number, one in enumerate(found, start=1):
    if one.answers is None:
      raise InputError(f"{where}, question {one.id or number}: no answers; --unlabelled takes questions without")


def _rows(found: Sequence[Question], *, has_labels: bool) -> datasets.Dataset:
  """Returns questions as a run has them: `text` the question, `pair` its text; `group`, the article."""
  columns = {
    "index": pa.array([str(number) for number in range(len(found))]),
    "text": pa.array([one.question for one in found]),
    "pair": pa.array([one.context for one in found]),
    "group": pa.array([one.article for one in found]),
  }
  if has_labels:
    columns["label"] = pa.array([{"text": list(one.answers or ()), "start": list(one.starts)} for one in found], _LABEL)
  return datasets.Dataset(pa.table(columns))

"""The kinds of task of one's own data, a row each: all that a run, a prediction and the options know of a kind."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, read_json
from tinybert_jax.models.heads import SENTENCES, SEQUENCES, SPANS, TOKENS, Head
from tinybert_jax.models.hub import local_directory
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.models.sentence_directories import is_sentence_encoder
from tinybert_jax.pipeline import (
  distil_settings,
  embedding_data,
  own_data,
  own_spans,
  own_tables,
  own_tokens,
  ranking_data,
  thresholds,
)
from tinybert_jax.pipeline.distil_settings import EmbeddingOptions, RankingOptions, Settings, Sources
from tinybert_jax.pipeline.own_data import MakeTask, OwnData, Reader
from tinybert_jax.pipeline.own_tables import Known
from tinybert_jax.tasks.own_task import check_class_names, kind_of_model
from tinybert_jax.tasks.spans import Spans
from tinybert_jax.tasks.task import Task
from tinybert_jax.tasks.tokens import Tokens

# Of the data's settings those that few kinds read.
_READ_BY = {
  "doc_stride": ("tokens", "spans"),
  "max_query_length": ("spans",),
  "max_answer_length": ("spans",),
  "null_threshold": ("spans",),
}


class Kind(NamedTuple):
  """A kind of task; a new one is a class in `tasks` and a row here.

  Attributes:
    head: of its models.
    check: raises InputError for settings that do not go with it.
    load: the data of a run, with the task, from the settings, the teachers that are given, and the name of the task.
    task_of: the task of a finished model, from its configuration and its name, for errors.
    reader: of data to predict for or to measure a finished model on.
    is_model: whether a directory holds a finished model of this kind; never, for kinds whose models are another's too.
    has_texts: whether its data is a table of texts with labels, which targets can take the place of, and which can be
      augmented.
    length: tokens that a text is cut to where no option says so; None for as many as 99% of the texts have.
    own: the group of settings that no other kind reads, by its name, and as it is where nothing is set.
  """

  head: Head
  check: Callable[[Settings], None]
  load: Callable[[Settings, Sequence[Pretrained], str], OwnData]
  task_of: Callable[[EncoderConfig, str], Task]
  reader: Reader = own_tables
  is_model: Callable[[str | os.PathLike], bool] = lambda _: False
  has_texts: bool = False
  length: int | None = None
  own: tuple[str, object] | None = None


def find_kind(name: str | None) -> Kind:
  """Returns the row of a kind; that of texts with labels for all kinds of these, and where nothing names one."""
  return KINDS.get(name or "", _OF_TEXTS)


def kind_of(model: str | os.PathLike) -> Kind:
  """Returns the row of the kind that a finished model is of; that of texts with labels where no other knows it."""
  return next((kind for kind in KINDS.values() if kind.is_model(model)), _OF_TEXTS)


def check(chosen: Settings) -> None:
  """Raises InputError for settings that are outside their bounds, contradict each other or the kind of task."""
  distil_settings.check_values(chosen)
  kind = find_kind(chosen.data.kind)
  for name, row in KINDS.items():
    if row.own is not None and row is not kind and getattr(chosen, row.own[0]) != row.own[1]:
      options = f"--{row.own[0].rstrip('s')}-losses"
      raise InputError(f"options of {row.own[0]}, such as {options}, go with --kind {name}")
  for name, readers in _READ_BY.items():
    if chosen.data.kind not in readers and getattr(chosen.data, name) != getattr(Sources(), name):
      raise InputError(f"--{name.replace('_', '-')} goes with --kind {' or '.join(readers)}")
  kind.check(chosen)
  distil_settings.check_together(chosen)


def _check_taught(chosen: Settings) -> None:
  """Raises InputError where nothing says who teaches."""
  given = chosen.teachers
  if not given.teacher and not given.pretrained and not chosen.data.target_columns:
    raise InputError("who teaches? Give --teacher (fine-tuned), --pretrained (fine-tuned here) or --target-columns")


def _check_without_texts(chosen: Settings) -> None:
  """Raises InputError for options that go with tables of texts and labels alone, or where nothing says who teaches."""
  for option, is_given in (
    ("--target-columns", chosen.data.target_columns),
    ("--pair", chosen.data.pair),
    ("--augment", chosen.augmentation.augment),
    ("--threshold tuned", chosen.threshold == "tuned"),
    ("--separator", chosen.data.separator is not None),
  ):
    if is_given:
      raise InputError(
        f"{option} does not go with --kind {chosen.data.kind}, but with tables of texts that have a label each"
      )
  _check_taught(chosen)


def _check_spans(chosen: Settings) -> None:
  if chosen.data.label_names is not None:
    raise InputError("--label-names does not go with --kind spans, which has no classes")
  _check_without_texts(chosen)


def _loads(reader: Reader, make: MakeTask) -> Callable[[Settings, Sequence[Pretrained], str], OwnData]:
  """Returns the `load` of a kind with labels, of whose teachers the first one's classes are known."""

  def load(settings: Settings, given: Sequence[Pretrained], name: str) -> OwnData:
    known = Known(settings.data.kind, given[0].config.labels if given else None)
    return own_data.load(settings.data, name=name, known=known, seed=settings.seed, reader=reader, make=make)

  return load


def _load_texts(settings: Settings, given: Sequence[Pretrained], name: str) -> OwnData:
  """Returns the data of texts with labels; InputError where the options and the first teacher contradict each other."""
  kind, labels = settings.data.kind, None
  if given:
    teacher, labels = settings.teachers.teacher[0], given[0].config.labels
    found = kind_of_model(given[0].config, f"--teacher {teacher}")
    if kind not in (None, found) and "regression" in (kind, found):
      raise InputError(f"--kind {kind}: --teacher {teacher} is for {found.replace('_', '-')}")
    kind = kind or found
  data = own_data.load(settings.data, name=name, known=Known(kind, labels), seed=settings.seed)
  if settings.threshold == "tuned":
    thresholds.check(data.task, has_labels="label" in data.dev.column_names)
  return data


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


def _of_classes(make: MakeTask) -> Callable[[EncoderConfig, str], Task]:
  """Returns the `task_of` of a kind whose task a model's classes tell."""

  def task_of(config: EncoderConfig, name: str) -> Task:
    check_class_names(config, name, "correct id2label in its config.json")
    return make("", "", config.labels, Sources())

  return task_of


def _texts_of(config: EncoderConfig, name: str) -> Task:
  check_class_names(config, name, "correct id2label in its config.json")
  return own_data.of_texts(kind_of_model(config, name), "", config.labels, Sources())


def _ends_in(ending: str) -> Callable[[str | os.PathLike], bool]:
  """Returns whether the first class that a directory's configuration names ends so."""

  def is_model(name: str | os.PathLike) -> bool:
    names = read_json(local_directory(name) / "config.json").get("architectures")
    return isinstance(names, list) and bool(names) and str(names[0]).endswith(ending)

  return is_model


_OF_TEXTS = Kind(SEQUENCES, _check_taught, _load_texts, _texts_of, has_texts=True)
KINDS = {
  "tokens": Kind(
    TOKENS,
    _check_without_texts,
    _loads(own_tokens, _tokens),
    _of_classes(_tokens),
    own_tokens,
    _ends_in("ForTokenClassification"),
  ),
  "spans": Kind(
    SPANS,
    _check_spans,
    _loads(own_spans, _spans),
    _of_classes(_spans),
    own_spans,
    _ends_in("ForQuestionAnswering"),
    length=384,
  ),
  "embeddings": Kind(
    SENTENCES,
    embedding_data.check,
    embedding_data.load,
    embedding_data.task_of,
    is_model=is_sentence_encoder,
    own=("embeddings", EmbeddingOptions()),
  ),
  "ranking": Kind(SEQUENCES, ranking_data.check, ranking_data.load_run, _texts_of, own=("ranking", RankingOptions())),
}

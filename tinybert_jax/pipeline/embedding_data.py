"""A run that distils embeddings: its texts without labels, pairs of texts with scores to measure on, and its task."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from tinybert_jax.data.columns import choose_columns, text_rows
from tinybert_jax.data.ranked import read_ranked
from tinybert_jax.data.tables import read_table
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.heads import SentencesHead
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.models.sentence_head import MEANS, SentenceHead
from tinybert_jax.pipeline.dev_split import shared_texts, split_dev
from tinybert_jax.pipeline.distil_settings import EmbeddingOptions, Settings, Sources
from tinybert_jax.pipeline.own_data import OwnData
from tinybert_jax.pipeline.own_rows import OwnRows
from tinybert_jax.tasks.embeddings import Embeddings
from tinybert_jax.tasks.own_labels import read_labels


def check(chosen: Settings) -> None:
  """Raises InputError for settings that do not go with embeddings."""
  given, sources, options = chosen.teachers, chosen.data, chosen.embeddings
  if sources.train or "labels" in chosen.stages:
    raise InputError("--kind embeddings learns from a teacher alone; give the texts as --unlabelled, and no --train")
  if not sources.unlabelled or len(given.teacher) != 1 or given.pretrained or sources.target_columns:
    raise InputError(
      "--kind embeddings needs --unlabelled texts and one --teacher, a directory of sentence-transformers"
    )
  if chosen.threshold != "half" or chosen.training.temperature != 1 or given.teacher_labels or sources.label_names:
    raise InputError("--kind embeddings: --threshold, --temperature, --teacher-labels and --label-names are of classes")
  if chosen.augmentation.augment:
    raise InputError("--kind embeddings: --augment is for texts with labels; give more --unlabelled texts")
  if options.embedding_loss_weights and len(options.embedding_loss_weights) != len(options.embedding_losses):
    raise InputError(
      f"--embedding-loss-weights: {len(options.embedding_loss_weights)} weights for "
      f"{len(options.embedding_losses)} losses"
    )
  if not options.embedding_losses or len(set(options.embedding_losses)) < len(options.embedding_losses):
    raise InputError("--embedding-losses: name each of mse, cosine and similarity once at most, and at least one")


def task_of(config: EncoderConfig, name: str) -> Embeddings:
  """Returns the task of a finished sentence encoder; see `Kind.task_of`."""
  head = config.sentence or MEANS
  return Embeddings("", SentencesHead(head), prompts=(head.prompt(),))


def load(settings: Settings, given: Sequence[Pretrained], name: str) -> OwnData:
  """Returns the data of a run.

  Args:
    settings: of the run; `unlabelled` has the texts, `dev` and `test` have pairs of texts with a score.
    given: the teacher.
    name: of the task.

  Raises:
    InputError: data that cannot be read; it names file and row.
  """
  sources, seed = settings.data, settings.seed
  task = _task(settings.embeddings, given[0], name)
  notes: list[str] = []
  tables: list[datasets.Dataset] = []
  texts = _texts(sources, tables, notes).first(sources.max_train_examples, seed)
  if sources.max_train_examples:
    notes.append(f"a trial: --max-train-examples {sources.max_train_examples} took a part of the texts")
  measured = {
    split: _pairs(where, sources, tables, notes)
    for split, where in (("dev", sources.dev), ("test", sources.test))
    if where
  }
  _check_columns(sources, tables)
  rest = texts
  if "dev" not in measured:
    split = split_dev(texts, sources.dev_share, seed, stratify=False)
    notes.append(split.note)
    rest = split.rest
    measured["dev"] = split.dev.rows
  if "test" in measured:
    notes += shared_texts(rest.rows, measured["test"], "test")
  ranked = None
  if where := settings.embeddings.retrieval:
    ranked = read_ranked(where, sources.reading)
    notes += ranked.notes
    if ranked.scores is not None and not any((scores > 0).any() for scores in ranked.scores):
      raise InputError(f"{', '.join(where)}: no passage has a score above 0, so there is none to find")
  return OwnData(task, None, rest.rows, measured["dev"], measured.get("test"), None, None, tuple(notes), ranked)


def _task(options: EmbeddingOptions, teacher: Pretrained, name: str) -> Embeddings:
  """Returns the task of a student whose embeddings are those of the teacher."""
  head = teacher.config.sentence or MEANS
  width = head.width(teacher.config.hidden_size)
  return Embeddings(
    name,
    SentencesHead(head, width if options.narrower == "dense" else None),
    options.embedding_losses,
    options.embedding_loss_weights,
    options.similarity_temperature,
    prompts(options, head),
  )


def prompts(options: EmbeddingOptions, head: SentenceHead) -> tuple[str, ...]:
  """Returns what is put before the texts: what the options say, else the teacher's default prompt.

  Raises:
    InputError: a name that the teacher has no prompt of.
  """
  if options.prompts and options.prompt_names:
    raise InputError("--prompts are texts, and --prompt-names those of the teacher's prompts; give either")
  try:
    return tuple(head.prompt(name) for name in options.prompt_names) or options.prompts or (head.prompt(),)
  except InputError as error:
    raise InputError(f"--prompt-names: {error}") from error


def _texts(sources: Sources, tables: list[datasets.Dataset], notes: list[str]) -> OwnRows:
  """Returns every text of the unlabelled tables once, also those of a second column."""
  table, where = _table(sources.unlabelled, sources, tables, notes)
  columns = choose_columns(table, **_named(sources, table), has_label=False, where=where)
  found = text_rows(table, columns, where)
  notes += [*columns.notes, *found.notes]
  sides = [found.rows[name][:] for name in ("text", "pair") if name in found.rows.column_names]
  first: dict[str, int] = {}
  for row in zip(found.rows["index"][:], *sides, strict=True):
    for text in row[1:]:
      first.setdefault(text, row[0])
  if more := sum(map(len, sides)) - len(first):
    notes.append(f"{where}: {more:,} texts stand there more than once, and are taken once")
  return OwnRows(datasets.Dataset.from_dict({"index": list(first.values()), "text": list(first)}), None)


def _pairs(
  files: Sequence[str], sources: Sources, tables: list[datasets.Dataset], notes: list[str]
) -> datasets.Dataset:
  """Returns a table's pairs of texts with their scores; rows without one are left out."""
  table, where = _table(files, sources, tables, notes)
  columns = choose_columns(table, **_named(sources, table), label=sources.label, has_label=True, where=where)
  if columns.pair is None:
    raise InputError(
      f"{where}: embeddings are measured on pairs of texts with a score; --text, --pair and --label name the columns"
    )
  found = text_rows(table, columns, where)
  numbers = found.rows["index"][:]
  labels = read_labels(found.labels or (), kind="regression", names=None, separator=None, where=where, rows=numbers)
  notes += [*columns.notes, *found.notes, *labels.notes]
  has = [row for row, value in enumerate(labels.values) if value is not None]
  if not has:
    raise InputError(f"{where}: no row has a score")
  if len(has) < len(numbers):
    notes.append(f"{where}: {len(numbers) - len(has):,} rows without a score are left out")
  scores = np.asarray([labels.values[row] for row in has], np.float32)
  if (scores == scores[0]).all():
    raise InputError(
      f"{where}: every score is {scores[0]:g}, and what is measured is their order; different ones are needed"
    )
  return found.rows.select(has).add_column("label", scores)


def _table(
  files: Sequence[str], sources: Sources, tables: list[datasets.Dataset], notes: list[str]
) -> tuple[datasets.Dataset, str]:
  """Returns a table, which is added to `tables`, and its name."""
  table = read_table(files, sources.reading)
  notes += table.notes
  tables.append(table.rows)
  return table.rows, ", ".join(map(str, files))


def _named(sources: Sources, table: datasets.Dataset) -> dict[str, Any]:
  """Returns the columns that the options name and that a table has; files of texts have others than those of pairs."""
  return {name: given if (given := getattr(sources, name)) in table.column_names else None for name in ("text", "pair")}


def _check_columns(sources: Sources, tables: Sequence[datasets.Dataset]) -> None:
  """Raises InputError where an option names a column that no table has."""
  for option in ("text", "pair"):
    name = getattr(sources, option)
    if name is not None and not any(name in table.column_names for table in tables):
      has = "; ".join(", ".join(table.column_names) for table in tables)
      raise InputError(f"--{option} {name}: no table has such a column; they have {has}")

"""The data of a run that distils embeddings: texts without labels, and pairs of texts with scores to measure on."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from tinybert_jax.data.columns import choose_columns, text_rows
from tinybert_jax.data.tables import read_table
from tinybert_jax.errors import InputError
from tinybert_jax.models.sentence_head import SentenceHead
from tinybert_jax.pipeline.dev_split import shared_texts, split_dev
from tinybert_jax.pipeline.distil_settings import EmbeddingOptions, Sources
from tinybert_jax.pipeline.own_data import OwnData
from tinybert_jax.pipeline.own_rows import OwnRows
from tinybert_jax.tasks.embeddings import Embeddings
from tinybert_jax.tasks.own_labels import read_labels


def load(sources: Sources, task: Embeddings, seed: int) -> OwnData:
  """Returns the data of a run.

  Args:
    sources: where it is; `unlabelled` has the texts, `dev` and `test` have pairs of texts with a score.
    task: of the run.
    seed: random seed for the dev split, and for the rows of a trial.

  Raises:
    InputError: data that cannot be read; it names file and row.
  """
  notes: list[str] = []
  tables: list[datasets.Dataset] = []
  texts = _texts(sources, tables, notes).first(sources.max_train_examples, seed)
  if sources.max_train_examples:
    notes.append(f"a trial: --max-train-examples {sources.max_train_examples} took a part of the texts")
  measured = {
    name: _pairs(where, sources, tables, notes)
    for name, where in (("dev", sources.dev), ("test", sources.test))
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
  return OwnData(task, None, rest.rows, measured["dev"], measured.get("test"), None, None, tuple(notes))


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

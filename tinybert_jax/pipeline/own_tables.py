"""People's own tables as rows of a task: columns chosen, labels read, and what is left out counted and noted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import pyarrow as pa

from tinybert_jax.data.columns import Columns, TextRows, choose_columns, is_missing, text_rows
from tinybert_jax.data.tables import iterate_tables, read_table
from tinybert_jax.data.text_lines import is_blank
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.given_targets import read_targets
from tinybert_jax.pipeline.numbered_labels import by_number, read_names
from tinybert_jax.pipeline.own_rows import OwnRows
from tinybert_jax.tasks.own_labels import Labels, read_labels
from tinybert_jax.tasks.task import Task


class Known(NamedTuple):
  """What is known of a task before its labels are read: its kind, and its classes or None."""

  kind: str | None
  names: tuple[str, ...] | None


class Labelled(NamedTuple):
  """A table with labels: its columns, its kind of task and classes, and its rows with a label and without."""

  columns: Columns
  kind: str
  names: tuple[str, ...]
  rows: OwnRows
  without: OwnRows | None


class ToPredict(NamedTuple):
  """A piece of a table to predict for: all of its columns, the numbers of the rows that have a text, and their texts as
  a task's `tokenize` reads them; where none has one, a text that stands for them.
  """

  table: pa.Table
  has: list[int]
  rows: datasets.Dataset


def read_train(sources: Sources, known: Known, notes: list[str]) -> Labelled:
  """Returns the table of `train`; rows without a label come apart from the others.

  Args:
    sources: where it is.
    known: of the task.
    notes: gets a sentence on each thing that was found out, or left out.
  """
  where = ", ".join(sources.train)
  table = _read(sources.train, sources, notes)
  columns = _choose(table, sources, where, notes, has_label=True)
  found = _texts(table, columns, where, notes)
  labels = _labels(found, known, sources, where, notes)
  rows = _with_label(found, labels)
  targets = _targets(table, found, sources, labels.kind, labels.names, where, notes)
  has, lacks = _by_label(labels.values)
  everything, without = OwnRows(rows, targets), None
  if not has:
    raise InputError(f"{where}: no row has a label")
  if lacks:
    first = int(rows["index"][lacks[0]]) + 1
    notes.append(
      f"{where}: {len(lacks):,} rows without a label, the first is row {first}; they serve as unlabelled text"
    )
    everything, without = everything.select(has), everything.select(lacks).without_labels()
  return Labelled(columns, labels.kind, labels.names, everything, without)


def read_unlabelled(
  sources: Sources, kind: str, names: Sequence[str], like: Columns | None, notes: list[str]
) -> OwnRows:
  """Returns the table of `unlabelled`, whose labels, if it has any, are not read.

  Args:
    sources: where it is.
    kind: of task.
    names: of its classes.
    like: the columns of `train`, where there is one.
    notes: as of `read_train`.
  """
  where = ", ".join(sources.unlabelled)
  table = _read(sources.unlabelled, sources, notes)
  columns = _choose(table, sources, where, notes, has_label=False, like=like)
  found = _texts(table, columns, where, notes)
  return OwnRows(found.rows, _targets(table, found, sources, kind, names, where, notes))


def read_measured(
  measured: tuple[str, ...], sources: Sources, like: Columns | None, task: Task, notes: list[str]
) -> OwnRows:
  """Returns a table of dev or test, whose labels must be known ones; rows without one are left out.

  Args:
    measured: where it is.
    sources: how it is read.
    like: the columns of the data that is learnt from.
    task: whose classes they are.
    notes: as of `read_train`.
  """
  where = ", ".join(measured)
  table = _read(measured, sources, notes)
  columns = _choose(table, sources, where, notes, has_label=True, like=like)
  found = _texts(table, columns, where, notes)
  labels = _labels(found, Known(task.kind, task.labels), sources, where, notes)
  has, lacks = _by_label(labels.values)
  if not has:
    raise InputError(f"{where}: no row has a label")
  if lacks:
    notes.append(f"{where}: {len(lacks):,} rows without a label are left out")
  return OwnRows(_with_label(found, labels), None).select(has)


def read_to_predict(where: tuple[str, ...], sources: Sources, batch_rows: int, notes: list[str]) -> Iterator[ToPredict]:
  """Yields tables of texts in pieces.

  Args:
    where: they are.
    sources: the columns, and how files are read.
    batch_rows: rows of a piece, at most.
    notes: as of `read_train`.
  """
  columns: Columns | None = None
  before, name = 0, ", ".join(where)
  for piece in iterate_tables(where, sources.reading, batch_rows=batch_rows, notes=notes):
    if columns is None:
      first = datasets.Dataset(piece)
      columns = choose_columns(first, text=sources.text, pair=sources.pair, has_label=False, where=name)
      notes += columns.notes
    yield _texts_to_predict(piece, columns, name, before)
    before += len(piece)


def _texts_to_predict(piece: pa.Table, columns: Columns, where: str, before: int) -> ToPredict:
  cells = {}
  for title, name in (("text", columns.text), ("pair", columns.pair)):
    if name is None:
      continue
    if pa.types.is_nested(piece[name].type) or pa.types.is_binary(piece[name].type):
      raise InputError(f"{where}, row {before + 1} or after: the column {name} holds {piece[name].type}, and no texts")
    cells[title] = ["" if is_missing(cell) else str(cell) for cell in piece[name].to_pylist()]
  has = [row for row, texts in enumerate(zip(*cells.values(), strict=True)) if not any(map(is_blank, texts))]
  found = {title: [texts[row] for row in has] if has else ["."] for title, texts in cells.items()}
  return ToPredict(piece, has, datasets.Dataset.from_dict(found))


def _read(where: tuple[str, ...], sources: Sources, notes: list[str]) -> datasets.Dataset:
  table = read_table(where, sources.reading)
  notes += table.notes
  return table.rows


def _choose(
  table: datasets.Dataset,
  sources: Sources,
  where: str,
  notes: list[str],
  *,
  has_label: bool,
  like: Columns | None = None,
) -> Columns:
  """Returns the columns that the options name, or that are called as those of the other table, or else found."""
  names = table.column_names

  def named(given: str | None, other: str | None) -> str | None:
    if given is not None and like is not None and given not in names and names == ["text"]:
      return None  # a file of texts, one a line, beside a table of columns
    return given or (other if other in names else None)

  text = named(sources.text, like and like.text)
  pair = named(sources.pair, like and like.pair)
  label = sources.label or (like.label if like and set(like.label) <= set(names) else ())
  rows = table.remove_columns([name for name in names if name in sources.target_columns])
  columns = choose_columns(rows, text=text, pair=pair, label=label, has_label=has_label, where=where)
  notes += columns.notes
  if like is not None and (like.pair is None) != (columns.pair is None):
    first, second = ("pairs of texts", "single texts")[:: 1 if like.pair else -1]
    raise InputError(f"{where}: {second}, and the other tables have {first}; --text and --pair name the columns")
  return columns


def _texts(table: datasets.Dataset, columns: Columns, where: str, notes: list[str]) -> TextRows:
  found = text_rows(table, columns, where)
  notes += found.notes
  return found


def _labels(found: TextRows, known: Known, sources: Sources, where: str, notes: list[str]) -> Labels:
  names = None if known.kind == "regression" else known.names
  cells: Any = found.labels
  separator = sources.separator
  if sources.label_names is not None and known.kind != "regression":
    in_file = read_names(sources.label_names)
    cells = by_number(cells, in_file, known.kind, separator, where, found.rows["index"][:])
    names, separator = names or in_file, None
  like = names
  if names and _are_numbered(names) and not isinstance(cells, Mapping) and not any(map(_is_numbered, cells)):
    like = tuple(str(number) for number in range(len(names)))
  rows = found.rows["index"][:]
  try:
    labels = read_labels(cells, kind=known.kind, names=like, separator=separator, where=where, rows=rows)
  except InputError as error:
    if names is None or like == names:
      raise
    raise InputError(
      f"{error}; the teacher's are only numbered, {names[0]} to {names[-1]}; name them in their order by "
      "--teacher-labels"
    ) from error
  if sources.separator is not None and labels.kind != "multi_label":
    raise InputError(
      f"--separator {sources.separator!r}: {where} has one label a row; where there are several in a cell, give "
      "--kind multi-label"
    )
  notes += labels.notes
  if names is not None and like != names:
    notes.append(f"{where}: labels are numbers, and so are the teacher's classes, {names[0]} to {names[-1]}")
  return labels._replace(names=labels.names if names is None else names)


def _are_numbered(names: Sequence[str]) -> bool:
  """Returns whether these are Hugging Face's own names for classes that nobody named."""
  return all(name == f"LABEL_{number}" for number, name in enumerate(names))


def _is_numbered(cell: Any) -> bool:
  return isinstance(cell, str) and cell.strip().casefold().startswith("label_")


def _with_label(found: TextRows, labels: Labels) -> datasets.Dataset:
  kinds: dict[str, Any] = {
    "classification": datasets.Value("int64"),
    "regression": datasets.Value("float64"),
    "multi_label": datasets.List(datasets.Value("float32")),
  }
  return found.rows.add_column("label", labels.values, feature=kinds[labels.kind])


def _by_label(values: Sequence[Any]) -> tuple[list[int], list[int]]:
  """Returns the numbers of the rows that have a label, and of those that lack it."""
  has = [row for row, value in enumerate(values) if value is not None]
  return has, [row for row, value in enumerate(values) if value is None]


def _targets(
  table: datasets.Dataset,
  found: TextRows,
  sources: Sources,
  kind: str,
  names: Sequence[str],
  where: str,
  notes: list[str],
) -> Any:
  if not sources.target_columns:
    return None
  kept = [int(row) for row in found.rows["index"]]
  return read_targets(table, sources.target_columns, kept, kind=kind, names=names, where=where, notes=notes)

"""People's own data as the rows of a task: read, checked, split and cut into tokens."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import scipy.special

from tinybert_jax.data.batches import row_length, tokenize_rows
from tinybert_jax.data.columns import Columns, TextRows, choose_columns, text_rows
from tinybert_jax.data.tables import AS_FOUND, Reading, Table, read_table
from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline.task import TaskRows
from tinybert_jax.tasks.classification import Classification, MultiLabel
from tinybert_jax.tasks.own_labels import Labels, read_labels
from tinybert_jax.tasks.regression import Regression
from tinybert_jax.tasks.task import Task

MOST_DEV = 2000  # rows that are taken from train to choose by
_LONGEST = 512
_COVERED = 0.99  # of the texts, that the default length does not cut
_MEASURED = 20_000  # rows that tell how long texts are

Where = str | Path | Sequence[str | Path]


@dataclasses.dataclass(frozen=True)
class Sources:
  """Where the data is, and how it is read.

  Attributes:
    train: tables with labels.
    unlabelled: tables whose labels, if they have any, are not read.
    dev: a table with labels to choose the best step by; by default a share of `train`.
    test: a table with labels to measure on.
    text: the column of the texts; by default found.
    pair: the column of second texts.
    label: the column of the label, or several of 0 and 1; by default found.
    kind: of task; by default found.
    separator: between several labels in a cell.
    target_columns: of probabilities or scores that take a teacher's place, in `train` and `unlabelled`.
    reading: how text files are read.
    dev_share: of `train`, where there is no `dev`.
    max_train_examples: so many rows of `train`, and of `unlabelled`; None for all.
  """

  train: tuple[str, ...] = ()
  unlabelled: tuple[str, ...] = ()
  dev: tuple[str, ...] = ()
  test: tuple[str, ...] = ()
  text: str | None = None
  pair: str | None = None
  label: tuple[str, ...] = ()
  kind: str | None = None
  separator: str | None = None
  target_columns: tuple[str, ...] = ()
  reading: Reading = AS_FOUND
  dev_share: float = 0.1
  max_train_examples: int | None = None


class Known(NamedTuple):
  """What a finished teacher tells about the task: its kind and its classes."""

  kind: str
  names: tuple[str, ...]


class Split(NamedTuple):
  """Rows of one source: `text`, `pair` and, where there are labels, `label`; targets of each row, or None."""

  rows: datasets.Dataset
  targets: np.ndarray | None


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
  """

  task: Task
  labelled: datasets.Dataset | None
  transfer: datasets.Dataset
  dev: datasets.Dataset
  test: datasets.Dataset | None
  targets: np.ndarray | None
  dev_targets: np.ndarray | None
  notes: tuple[str, ...]


def load(sources: Sources, *, name: str, known: Known | None, seed: int) -> OwnData:
  """Returns the data of a run.

  Args:
    sources: where it is.
    name: of the task.
    known: what a finished teacher tells.
    seed: random seed for the dev split, and for the rows of a trial.

  Raises:
    InputError: data that cannot be read, or that does not fit together; it names file and row.
  """
  notes: list[str] = []
  if not sources.train and not sources.unlabelled:
    raise InputError("there is nothing to learn from; give --train, --unlabelled, or both")
  labelled, columns, labels, kind, names = None, None, None, known and known.kind, known and known.names
  if sources.train:
    table = _table(sources.train, sources, notes)
    columns = _columns(table, sources, sources.train, has_label=True, notes=notes)
    found = _texts(table.rows, columns, sources.train, notes)
    labels = _labels(found, sources, known, ", ".join(sources.train), notes)
    kind, names = labels.kind, labels.names
    labelled = _with_targets(found, labels.values, table.rows, sources.target_columns, kind, names, sources.train)
  unlabelled = None
  if sources.unlabelled:
    table = _table(sources.unlabelled, sources, notes)
    chosen = _columns(table, sources, sources.unlabelled, has_label=False, notes=notes, like=columns)
    found = _texts(table.rows, chosen, sources.unlabelled, notes)
    kind, names = kind or sources.kind or "classification", names or sources.target_columns or None
    if names is None:
      raise InputError("--unlabelled alone needs a --teacher that is fine-tuned, or --target-columns")
    unlabelled = _with_targets(found, None, table.rows, sources.target_columns, kind, names, sources.unlabelled)
    columns = columns or chosen
  task = _task(kind, name, names)
  labelled, without = _apart(labelled, notes, ", ".join(sources.train))
  if labelled is not None:
    labelled = _first(labelled, sources.max_train_examples, seed)
  parts = [part for part in (unlabelled, without) if part is not None]
  parts = [_first(part, sources.max_train_examples, seed) for part in parts]
  dev, labelled, parts = _dev(sources, task, columns, labelled, parts, seed, notes)
  pieces = [part for part in (labelled, *parts) if part is not None]
  transfer = _joined(pieces)
  test = None
  if sources.test:
    test = _measured(sources.test, sources, columns, task, notes).rows
    _report_twice(transfer.rows, test, "test", notes)
  return OwnData(
    task,
    None if labelled is None else labelled.rows,
    transfer.rows,
    dev.rows,
    test,
    transfer.targets,
    dev.targets,
    tuple(notes),
  )


def tokenized(data: OwnData, tokenizer: Tokenizer, max_length: int) -> tuple[TaskRows, datasets.Dataset | None]:
  """Returns the token rows for training and dev, and those of the test split."""
  task = data.task
  transfer = task.tokenize(tokenizer, _plain(data.transfer), max_length)
  labelled = None if data.labelled is None else task.tokenize(tokenizer, data.labelled, max_length)
  dev = task.tokenize(tokenizer, data.dev, max_length)
  test = None if data.test is None else task.tokenize(tokenizer, data.test, max_length)
  return TaskRows(data.transfer, labelled, transfer, {"dev": dev}), test


def fitting_length(data: OwnData, tokenizer: Tokenizer, positions: int) -> int:
  """Returns the tokens that 99% of the texts have at most: a multiple of 8, from 16 to 512 or the model's positions."""
  most = min(_LONGEST, positions)
  lengths = _lengths(data, tokenizer, most)
  needed = int(np.quantile(lengths, _COVERED, method="higher"))
  return int(min(most, max(16, -(-needed // 8) * 8)))


def share_cut(data: OwnData, tokenizer: Tokenizer, max_length: int) -> float:
  """Returns the share of the texts that are longer than `max_length` tokens."""
  return float(np.mean(_lengths(data, tokenizer, max_length + 1) > max_length))


def _lengths(data: OwnData, tokenizer: Tokenizer, at_most: int) -> np.ndarray:
  rows = data.transfer
  rows = rows.select(range(0, len(rows), max(1, len(rows) // _MEASURED)))
  return row_length(tokenize_rows(tokenizer, _plain(rows), at_most))


def _plain(rows: datasets.Dataset) -> datasets.Dataset:
  return rows.remove_columns("label") if "label" in rows.column_names else rows


def _table(where: Where, sources: Sources, notes: list[str]) -> Table:
  table = read_table(where, sources.reading)
  notes += table.notes
  return table


def _columns(
  table: Table,
  sources: Sources,
  where: Sequence[str],
  *,
  has_label: bool,
  notes: list[str],
  like: Columns | None = None,
) -> Columns:
  names, like_names = table.rows.column_names, (like.text, like.pair) if like else (None, None)
  given = {"text": sources.text or like_names[0], "pair": sources.pair or like_names[1]}
  if not has_label and given["text"] not in names and names == ["text"]:
    given = {"text": "text", "pair": None}  # a file of texts, one a line
  rows = table.rows.remove_columns([name for name in sources.target_columns if name in names])
  columns = choose_columns(rows, **given, label=sources.label, has_label=has_label, where=", ".join(where))
  notes += columns.notes
  return columns


def _texts(rows: datasets.Dataset, columns: Columns, where: Sequence[str], notes: list[str]) -> TextRows:
  found = text_rows(rows, columns, ", ".join(where))
  notes += found.notes
  return found


def _labels(found: TextRows, sources: Sources, known: Known | None, where: str, notes: list[str]) -> Labels:
  names = None if known is None or known.kind == "regression" else known.names
  kind = sources.kind or (known and known.kind)
  if names and all(name == f"LABEL_{number}" for number, name in enumerate(names)):
    # Hugging Face's own names for classes that nobody named: numbers are theirs.
    own = read_labels(found.labels, kind=kind, separator=sources.separator, where=where, rows=found.rows["index"][:])
    if own.kind != "regression" and {*own.names} <= {str(number) for number in range(len(names))}:
      notes.append(f"{where}: labels are numbers, and so are the teacher's classes, LABEL_0 to LABEL_{len(names) - 1}")
      order = [int(name) for name in own.names]
      values = [_renumbered(value, order, len(names)) for value in own.values]
      notes += own.notes
      return Labels(own.kind, names, values, own.missing, own.notes)
    raise InputError(
      f"{where}: labels {', '.join(own.names[:10])}, and the teacher's classes are only numbered, {names[0]} to "
      f"{names[-1]}; name them in their order by --teacher-labels"
    )
  labels = read_labels(
    found.labels, kind=kind, names=names, separator=sources.separator, where=where, rows=found.rows["index"][:]
  )
  notes += labels.notes
  return labels


def _renumbered(value: Any, order: Sequence[int], size: int) -> Any:
  if value is None or isinstance(value, int):
    return None if value is None else order[value]
  row = [0.0] * size
  for place, has in zip(order, value, strict=True):
    row[place] = has
  return row


def _with_targets(
  found: TextRows,
  values: list[Any] | None,
  table: datasets.Dataset,
  columns: Sequence[str],
  kind: str,
  names: Sequence[str],
  where: Sequence[str],
) -> Split:
  rows = found.rows
  if values is not None:
    rows = rows.add_column("label", values, feature=_feature(kind))
  if not columns:
    return Split(rows, None)
  kept = [int(row) for row in rows["index"]]
  return Split(rows, _targets(table, columns, kept, kind, names, ", ".join(where)))


def _feature(kind: str) -> Any:
  number = datasets.Value("int64" if kind == "classification" else "float64")
  return datasets.List(datasets.Value("float32")) if kind == "multi_label" else number


def _targets(
  table: datasets.Dataset, columns: Sequence[str], kept: Sequence[int], kind: str, names: Sequence[str], where: str
) -> np.ndarray:
  """Returns the target columns as logits, in the order of the classes."""
  if missing := [name for name in columns if name not in table.column_names]:
    raise InputError(
      f"--target-columns {' '.join(missing)}: {where} has no such column; it has {', '.join(table.column_names)}"
    )
  if len(columns) != len(names):
    raise InputError(f"--target-columns: {len(columns)} columns for {len(names)} classes ({', '.join(names)})")
  by_name = {name.casefold(): name for name in columns}
  ordered = [by_name.get(name.casefold()) for name in names]
  if None in ordered:
    if kind != "regression" and set(names) != set(columns) and len(names) > 1:
      raise InputError(f"--target-columns {' '.join(columns)}: name them like the classes ({', '.join(names)})")
    ordered = list(columns)
  cells = np.empty((len(kept), len(ordered)))
  for place, name in enumerate(ordered):
    values = table[name][:]
    for number, row in enumerate(kept):
      try:
        cells[number, place] = float(values[row])
      except (TypeError, ValueError) as error:
        raise InputError(
          f"{where}, row {row + 1}: {values[row]!r} in the column {name}, and a number is needed"
        ) from error
  if not np.isfinite(cells).all():
    row, place = (int(index) for index in np.argwhere(~np.isfinite(cells))[0])
    raise InputError(f"{where}, row {kept[row] + 1}: {cells[row, place]} in the column {ordered[place]}")
  in_range = (cells >= 0).all() and (cells <= 1).all()
  if kind == "classification" and in_range and np.allclose(cells.sum(1), 1, atol=1e-2):
    return np.log(np.clip(cells, 1e-7, None)).astype(np.float32)
  if kind == "multi_label" and in_range:
    return scipy.special.logit(np.clip(cells, 1e-7, 1 - 1e-7)).astype(np.float32)
  return cells.astype(np.float32)


def _task(kind: str, name: str, names: Sequence[str]) -> Task:
  if kind == "multi_label":
    return MultiLabel(name, tuple(names))
  return Regression(name, tuple(names)) if kind == "regression" else Classification(name, tuple(names))


def _apart(split: Split | None, notes: list[str], where: str) -> tuple[Split | None, Split | None]:
  """Returns the rows with a label, and those without."""
  if split is None:
    return None, None
  labels = split.rows["label"][:]
  has = [row for row, value in enumerate(labels) if value is not None]
  lacks = [row for row, value in enumerate(labels) if value is None]
  if not lacks:
    return split, None
  first = int(split.rows["index"][lacks[0]]) + 1
  notes.append(f"{where}: {len(lacks):,} rows without a label, the first is row {first}; they serve as unlabelled text")
  without = _selected(split, lacks)
  return _selected(split, has), without._replace(rows=_plain(without.rows))


def _selected(split: Split, rows: Sequence[int] | np.ndarray) -> Split:
  return Split(split.rows.select(rows), None if split.targets is None else split.targets[np.asarray(rows, int)])


def _first(split: Split, number: int | None, seed: int) -> Split:
  if number is None or number >= len(split.rows):
    return split
  return _selected(split, np.random.default_rng(seed).permutation(len(split.rows))[:number])


def _joined(parts: Sequence[Split]) -> Split:
  plain = [
    _plain(part.rows).select_columns([c for c in ("index", "text", "pair") if c in part.rows.column_names])
    for part in parts
  ]
  targets = [part.targets for part in parts]
  rows = plain[0] if len(plain) == 1 else datasets.concatenate_datasets(plain)
  return Split(rows, None if targets[0] is None else np.concatenate(targets))


def _dev(
  sources: Sources,
  task: Task,
  columns: Columns,
  labelled: Split | None,
  parts: list[Split],
  seed: int,
  notes: list[str],
) -> tuple[Split, Split | None, list[Split]]:
  """Returns the dev rows, and the others without them."""
  if sources.dev:
    dev = _measured(sources.dev, sources, columns, task, notes)
    if labelled is not None:
      _report_twice(labelled.rows, dev.rows, "dev", notes)
    return dev, labelled, parts
  source = labelled if labelled is not None else parts[0]
  number = min(MOST_DEV, max(1, round(sources.dev_share * len(source.rows))))
  if len(source.rows) < 4:
    raise InputError(f"only {len(source.rows)} rows to train on and to choose by; at least 4 are needed")
  chosen = _stratified(source.rows, number, task, seed)
  rest = np.setdiff1d(np.arange(len(source.rows)), chosen)
  of_what = "labelled rows, stratified" if labelled is not None else "rows without labels"
  notes.append(f"dev: {len(chosen):,} of the {len(source.rows):,} {of_what}; --dev gives others")
  dev, left = _selected(source, chosen), _selected(source, rest)
  return (dev, left, parts) if labelled is not None else (dev, None, [left, *parts[1:]])


def _stratified(rows: datasets.Dataset, number: int, task: Task, seed: int) -> np.ndarray:
  """Returns the numbers of `number` rows or a few more, of each class its share, and at least one of two."""
  rng = np.random.default_rng(seed)
  if "label" not in rows.column_names or task.kind != "classification":
    return np.sort(rng.permutation(len(rows))[:number])
  classes, share = np.asarray(rows["label"][:]), number / len(rows)
  chosen = []
  for one in np.unique(classes):
    members = rng.permutation(np.flatnonzero(classes == one))
    chosen.append(members[: max(min(1, len(members) - 1), round(share * len(members)))])
  return np.sort(np.concatenate(chosen))


def _measured(where: tuple[str, ...], sources: Sources, like: Columns, task: Task, notes: list[str]) -> Split:
  """Returns the rows of a dev or test table, whose labels must be known ones; rows without one are left out."""
  table = _table(where, sources, notes)
  given = {"text": like.text if like.text in table.rows.column_names else sources.text}
  given["pair"] = like.pair if like.pair in table.rows.column_names else sources.pair
  label = sources.label or (like.label if set(like.label) <= set(table.rows.column_names) else ())
  columns = choose_columns(table.rows, **given, label=label, where=", ".join(where))
  found = _texts(table.rows, columns, where, notes)
  names = None if task.kind == "regression" else task.labels
  name = ", ".join(where)
  cells = found.labels
  if names and all(label == f"LABEL_{number}" for number, label in enumerate(names)) and not isinstance(cells, Mapping):
    names = tuple(str(number) for number in range(len(names)))
  labels = read_labels(
    cells, kind=task.kind, names=names, separator=sources.separator, where=name, rows=found.rows["index"][:]
  )
  notes += labels.notes
  split = _with_targets(found, labels.values, table.rows, (), task.kind, task.labels, where)
  has = [row for row, value in enumerate(labels.values) if value is not None]
  if len(has) < len(labels.values):
    notes.append(f"{name}: {len(labels.values) - len(has):,} rows without a label are left out")
  return _selected(split, has)


def _report_twice(train: datasets.Dataset, measured: datasets.Dataset, name: str, notes: list[str]) -> None:
  """Notes texts that stand in both; they are kept, and flatter the scores."""
  pair = "pair" in train.column_names and "pair" in measured.column_names

  def keys(rows: datasets.Dataset) -> list[Any]:
    return list(zip(rows["text"][:], rows["pair"][:], strict=True)) if pair else rows["text"][:]

  known = set(keys(train))
  twice = sum(key in known for key in keys(measured))
  if twice:
    notes.append(
      f"{name}: {twice:,} of {len(measured):,} texts stand in the training data as well, and flatter the scores"
    )

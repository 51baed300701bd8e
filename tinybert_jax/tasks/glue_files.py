"""The rows of the GLUE tasks, from the official files or the Hugging Face hub, and the leaderboard's files."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pyarrow as pa
from jaxtyping import Float

from tinybert_jax.data import hub
from tinybert_jax.data.decoding import Utf8
from tinybert_jax.data.text_lines import is_blank
from tinybert_jax.errors import InputError
from tinybert_jax.models.directories import replace_file
from tinybert_jax.tasks.glue import TASKS, GlueTask, spelling

HUB = "nyu-mll/glue"
SCORES = (0.0, 5.0)  # the range of STS-B's
_NARROW = 0.3  # share of that range which predictions of a model of that scale cover
_TEXT = ("text", "pair")
_NO_CELL = str.maketrans("\t\n\r", "   ")


class Rows(NamedTuple):
  """The rows of a split.

  Attributes:
    rows: columns `index`, `text`, `pair` (in tasks of two texts), and `label`, where it has them: class numbers in
      the order of `Task.labels`, or scores.
    skipped: rows that were left out because they were incomplete.
  """

  rows: datasets.Dataset
  skipped: int = 0


def load_rows(task: GlueTask, split: str, directory: Path | None) -> Rows:
  """Returns a split of a task.

  Args:
    task: from the table.
    split: a key of `task.files`.
    directory: the official files: a folder that holds the task's, or the task's own; None for the hub.

  Raises:
    InputError: no such folder, file or column, a row that is malformed or has an unknown label (with its line), or
      a hub that cannot be reached.
  """
  if directory is None:
    return _from_hub(task, split)
  return read_tsv(task, split, _official_file(task, split, directory))


def find_folder(task: GlueTask, directory: Path) -> Path | None:
  """Returns the folder of the task's official files in `directory`, or `directory` itself if it is that."""
  if not directory.is_dir():
    raise InputError(f"{directory}: no such directory")
  names = {spelling(name) for name in (task.name, task.hub, *task.folders)}
  for child in sorted(directory.iterdir()):
    if child.is_dir() and spelling(child.name) in names:
      return child
  own_name = spelling(directory.resolve().name)
  is_another = own_name not in names and own_name in {spelling(name) for name in TASKS}
  is_own = not is_another and any((directory / file).is_file() for file in task.files.values())
  return directory if is_own else None


def _official_file(task: GlueTask, split: str, directory: Path) -> Path:
  folder = find_folder(task, directory)
  if folder is None:
    raise InputError(f"{directory}: no folder {task.name} there, and no {task.files[split]}")
  return folder / task.files[split]


def read_tsv(task: GlueTask, split: str, path: Path) -> Rows:
  """Returns the rows of one official file: tab-separated, without quoting; see `load_rows`."""
  header, cells = _table(task, split, path)
  label = task.label if _has_labels(task, split) else None
  needed = [*task.texts] if label is None else [*task.texts, label]
  if missing := [name for name in needed if name not in header]:
    raise InputError(
      f"{path}, line 1: no column {' and no column '.join(missing)}; the header names {', '.join(header) or 'nothing'}"
    )
  if not cells:
    raise InputError(f"{path}: no rows")
  columns = {name: header.index(name) for name in needed}
  numbered = header.index("index") if "index" in header else header.index("id") if "id" in header else None
  made: list[dict[str, str | int | float]] = []
  skipped = 0
  for number, row in cells:
    if len(row) != len(header):
      if _may_be_incomplete(task, split):
        skipped += 1
        continue
      raise InputError(f"{path}, line {number}: {len(row)} cells, and {len(header)} are needed ({', '.join(header)})")
    new: dict[str, str | int | float] = dict(zip(_TEXT, (row[columns[name]] for name in task.texts), strict=False))
    new["index"] = row[numbered] if numbered is not None and label is None else str(len(made))
    if label is not None:
      new["label"] = _label(task, row[columns[label]], f"{path}, line {number}")
    made.append(new)
  if not made:
    raise InputError(f"{path}: no complete rows, {skipped} incomplete ones")
  return Rows(datasets.Dataset.from_dict({name: [row[name] for row in made] for name in made[0]}), skipped)


def write_predictions(path: Path, task: GlueTask, index: Sequence[str], logits: Float[np.ndarray, "N C"]) -> list[str]:
  """Writes the leaderboard's file: a header, then each row's index and label in the spelling that GLUE takes.

  Returns notes on scores that are cut to GLUE's range, or that seem to be on another scale.
  """
  notes: list[str] = []
  if task.is_regression:
    notes = _off_scale(path, logits[:, 0])
    predictions = [f"{value:.3f}" for value in np.clip(logits[:, 0], *SCORES)]
  else:
    predictions = [task.written[number] for number in np.argmax(logits, axis=-1)]
  lines = ["index\tprediction", *(f"{i}\t{prediction}" for i, prediction in zip(index, predictions, strict=True))]
  path.write_text("\n".join(lines) + "\n", encoding="utf-8")
  return notes


def _off_scale(path: Path, scores: Float[np.ndarray, " N"]) -> list[str]:
  least, most = SCORES
  name, notes = path.name, []
  if outside := int(((scores < least) | (scores > most)).sum()):
    notes.append(f"{name}: {outside:,} of {len(scores):,} scores are outside {least:g} to {most:g}, and cut to that")
  if len(scores) and scores.max() - scores.min() < _NARROW * (most - least):
    notes.append(
      f"{name}: scores are from {scores.min():.3f} to {scores.max():.3f}, and GLUE's from {least:g} to {most:g}; is "
      "the teacher's scale another?"
    )
  return notes


def write_augmented(path: Path, task: GlueTask, directory: Path | None, tables: Iterable[pa.Table]) -> None:
  """Writes augmented training rows in the official layout, with the header, the ids and all other cells of the source.

  Args:
    path: the file to write.
    task: whose rows these are.
    directory: of the official files that the rows come from; None for the hub, whose rows give the columns of index,
      texts and label alone.
    tables: of the columns `index`, `text`, `pair` and `label`, from `augmented.read_parts`.
  """
  if task.label is None:
    raise InputError(f"{task.name} has no rows to train on")
  if directory is None:
    header, sources = list(task.headerless) or ["index", *task.texts, task.label], None
  else:
    header, lines = _table(task, "train", _official_file(task, "train", directory))
    sources = [row for _, row in lines if len(row) == len(header)]
  columns = [header.index(name) for name in task.texts]
  label = header.index(task.label)
  with replace_file(path) as new, open(new, "w", encoding="utf-8", newline="\n") as file:
    if not task.headerless:
      file.write("\t".join(header) + "\n")
    for table in tables:
      for row in table.to_pylist():
        cells = list(sources[int(row["index"])]) if sources else [row["index"], *[""] * (len(header) - 1)]
        if not sources:
          cells[label] = f"{row['label']:g}" if task.is_regression else task.written[row["label"]]
        for column, name in zip(columns, _TEXT, strict=False):
          # The layout has no quoting, so these cannot stand in a cell.
          cells[column] = row[name].translate(_NO_CELL)
        file.write("\t".join(cells) + "\n")


def _table(task: GlueTask, split: str, path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
  """Returns the header of an official file, and each line's number and cells."""
  # Not the csv module, nor text mode: quotes are text here, and so are U+2028 and its like, which would end a line.
  try:
    with Utf8(path, strict=False) as file:
      content = file.readall()
  except FileNotFoundError as error:
    raise InputError(f"{path}: no such file, and {task.name} needs it") from error
  lines = content.split(b"\n" if b"\n" in content else b"\r")
  cells = [(number, row) for number, line in enumerate(lines, start=1) if (row := _cells(line, path, number))]
  if task.headerless and _has_labels(task, split):
    return list(task.headerless), cells
  return cells.pop(0)[1] if cells else [], cells


def _has_labels(task: GlueTask, split: str) -> bool:
  return task.label is not None and not split.startswith("test")


def _may_be_incomplete(task: GlueTask, split: str) -> bool:
  return task.skip_incomplete and _has_labels(task, split)


def _from_hub(task: GlueTask, split: str) -> Rows:
  hub_split = {"dev": "validation", "test": "test"}.get(split, split.replace("dev_", "validation_"))
  if "dev_mismatched" in task.files and "_" not in split and split != "train":
    hub_split += "_matched"
  try:
    rows = hub.load_rows(HUB, task.hub, hub_split)
  except Exception as error:  # datasets, huggingface_hub and their HTTP libraries each raise their own
    raise InputError(
      f"{HUB} ({task.hub}): not in the cache, and the Hugging Face hub gave no answer; give a folder of GLUE's "
      "official files instead"
    ) from error
  columns = {name: list(rows[column]) for name, column in zip(_TEXT, task.hub_texts or task.texts, strict=False)}
  columns["index"] = [str(i) for i in rows["idx"]]
  if _has_labels(task, split):
    columns["label"] = list(rows["label"])
    if not task.is_regression:
      number = {name: task.labels.index(name) for name in task.labels}
      names = rows.features["label"].names
      columns["label"] = [number[names[label]] for label in rows["label"]]
  return Rows(datasets.Dataset.from_dict(columns))


def _cells(line: bytes, path: Path, number: int) -> list[str]:
  """Returns the cells of a line; none where it is blank."""
  try:
    cells = line.rstrip(b"\r").decode("utf-8").split("\t")
    return [] if len(cells) == 1 and is_blank(cells[0]) else cells
  except UnicodeDecodeError as error:
    raise InputError(f"{path}, line {number}: not UTF-8 text ({error.reason} at byte {error.start + 1})") from error


def _label(task: GlueTask, cell: str, where: str) -> int | float:
  if not task.is_regression:
    if cell not in task.written:
      raise InputError(f"{where}: the label is {cell!r}, and {task.name} has {', '.join(task.written)}")
    return task.written.index(cell)
  try:
    value = float(cell)
  except ValueError:
    value = math.nan
  if not SCORES[0] <= value <= SCORES[1]:
    raise InputError(f"{where}: the score is {cell!r}, and a number from {SCORES[0]:g} to {SCORES[1]:g} is needed")
  return value

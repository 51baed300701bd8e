"""Which columns of a table hold texts and labels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import pyarrow as pa

from tinybert_jax.errors import InputError

_TEXTS = (
  "text",
  "sentence",
  "review",
  "content",
  "document",
  "comment",
  "tweet",
  "message",
  "body",
  "utterance",
  "title",
)
_PAIRS = (
  ("sentence1", "sentence2"),
  ("text1", "text2"),
  ("text_a", "text_b"),
  ("premise", "hypothesis"),
  ("question1", "question2"),
  ("question", "answer"),
  ("question", "context"),
  ("question", "sentence"),
  ("query", "passage"),
  ("query", "document"),
  ("text", "pair"),
)
_LABELS = (
  "label",
  "labels",
  "class",
  "category",
  "target",
  "intent",
  "topic",
  "sentiment",
  "score",
  "stars",
  "rating",
  "polarity",
)
_NUMBERS = ("id", "idx", "index", "guid", "uuid", "unnamed: 0", "")  # of rows
_SAMPLE = 200


class Columns(NamedTuple):
  """The columns that are read.

  Attributes:
    text: of the text.
    pair: of its second text; None where there is one text.
    label: of the label; several for several labels at once, none where there are no labels.
    notes: a sentence on each choice that nobody made.
  """

  text: str
  pair: str | None
  label: tuple[str, ...]
  notes: tuple[str, ...]


class TextRows(NamedTuple):
  """A table's texts and labels.

  Attributes:
    rows: `index`, the row's number in the table from 0; `text`, and `pair` where there is one.
    labels: of each row, as they are found: of one column its cells, of several the cells by column; None without.
    notes: sentences on rows that are left out.
  """

  rows: datasets.Dataset
  labels: list[Any] | dict[str, list[Any]] | None
  notes: tuple[str, ...]


def choose_columns(
  rows: datasets.Dataset,
  *,
  text: str | None = None,
  pair: str | None = None,
  label: Sequence[str] = (),
  has_label: bool = True,
  where: str = "the table",
) -> Columns:
  """Returns the columns that are named, and where none is named the one that makes sense.

  Args:
    rows: of the table.
    text: the column of the text.
    pair: the column of the second text.
    label: the column of the label, or several of 0 and 1.
    has_label: whether labels are read.
    where: what the table is called in errors.

  Raises:
    InputError: a column that is not there, or that is not told and cannot be guessed; it lists the columns.
  """
  names, notes = rows.column_names, []
  for option, name in (("text", text), ("pair", pair), *(("label", name) for name in label)):
    if name is not None and name not in names:
      raise InputError(f"--{option} {name}: {where} has no such column; it has {_listed(rows)}")
  if has_label and not label:
    label = (_guess_label(rows, {text, pair}, where),)
    notes.append(f"{where}: labels in the column {label[0]}")
  if text is None:
    text, pair, note = _guess_text(rows, pair, set(label), where)
    notes.append(f"{where}: {note}")
  for name in filter(None, (text, pair)):
    _check_texts(rows, name, where)
  return Columns(text, pair, tuple(label) if has_label else (), tuple(notes))


def text_rows(rows: datasets.Dataset, columns: Columns, where: str = "the table") -> TextRows:
  """Returns texts and labels of a table; rows without a text are left out, and counted in the notes."""
  texts = {"text": _as_texts(rows, columns.text, where)}
  if columns.pair is not None:
    texts["pair"] = _as_texts(rows, columns.pair, where)
  empty = [
    row for row, cells in enumerate(zip(*texts.values(), strict=True)) if not all(c and c.strip() for c in cells)
  ]
  left = set(empty)
  kept = [row for row in range(len(rows)) if row not in left]
  notes = []
  if empty:
    notes.append(f"{where}: {len(empty):,} rows without a text are left out, the first is row {empty[0] + 1}")
  chosen = {
    "index": [str(row) for row in kept],
    **{name: [cells[row] for row in kept] for name, cells in texts.items()},
  }
  if not kept:
    raise InputError(f"{where}: no row has a text in the column {columns.text}")
  labels: Any = None
  if columns.label:
    cells = {name: rows[name][:] for name in columns.label}
    by_column = {name: [values[row] for row in kept] for name, values in cells.items()}
    labels = by_column if len(columns.label) > 1 else by_column[columns.label[0]]
    feature = rows.features[columns.label[0]]
    if len(columns.label) == 1 and isinstance(feature, datasets.ClassLabel):
      labels = [None if value is None else feature.names[value] for value in labels]
  features = datasets.Features({name: datasets.Value("string") for name in chosen})
  return TextRows(datasets.Dataset.from_dict(chosen, features=features), labels, tuple(notes))


def _guess_label(rows: datasets.Dataset, taken: set[str | None], where: str) -> str:
  left = [name for name in rows.column_names if name not in taken and name.casefold() not in _NUMBERS]
  known = [name for wanted in _LABELS for name in left if name.casefold() == wanted]
  if known:
    if len(known) > 1 and known[0].casefold() not in ("label", "labels"):
      raise InputError(f"{where}: which column has the labels? {', '.join(known)} could; give --label")
    return known[0]
  texts = _text_columns(rows, left)
  others = [name for name in left if name not in texts[:1]] if len(left) > 1 else []
  if len(others) == 1 and len(left) == 2:
    few = _distinct(rows, others[0])
    if few <= max(20, len(rows) // 2):
      return others[0]
  raise InputError(f"{where}: which column has the labels? Give --label; there are {_listed(rows)}")


def _guess_text(rows: datasets.Dataset, pair: str | None, taken: set[str], where: str) -> tuple[str, str | None, str]:
  left = [name for name in rows.column_names if name not in taken | {pair} and name.casefold() not in _NUMBERS]
  by_name = {name.casefold(): name for name in left}
  if pair is None:
    for first, second in _PAIRS:
      if first in by_name and second in by_name:
        return by_name[first], by_name[second], f"texts in the columns {by_name[first]} and {by_name[second]}"
  known = [by_name[name] for name in _TEXTS if name in by_name]
  if known:
    return known[0], pair, f"texts in the column {known[0]}"
  texts = _text_columns(rows, left)
  if len(texts) == 1:
    return texts[0], pair, f"texts in the column {texts[0]}, the only one of texts"
  raise InputError(f"{where}: which column has the texts? Give --text; there are {_listed(rows)}")


def _text_columns(rows: datasets.Dataset, names: Sequence[str]) -> list[str]:
  """Returns the columns of texts that are no numbers and mostly differ."""
  found = []
  for name in names:
    sample = [cell for cell in rows[: min(len(rows), _SAMPLE)][name] if cell is not None]
    if sample and all(isinstance(cell, str) for cell in sample):
      words = sum(not _is_number(cell) and (" " in cell.strip() or len(cell) > 12) for cell in sample)
      if 2 * words >= len(sample):
        found.append(name)
  return found


def _check_texts(rows: datasets.Dataset, name: str, where: str) -> None:
  kind = rows.with_format("arrow")[:1][name].type
  if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
    raise InputError(f"{where}: the column {name} holds {kind}, and texts are needed")
  sample = [cell for cell in rows[: min(len(rows), _SAMPLE)][name] if cell is not None]
  if sample and all(not isinstance(cell, str) or _is_number(cell) for cell in sample):
    raise InputError(
      f"{where}: the column {name} holds numbers ({sample[0]!r}, …), and texts are needed; there are {_listed(rows)}"
    )


def _as_texts(rows: datasets.Dataset, name: str, where: str) -> list[str | None]:
  cells = rows[name][:]
  for number, cell in enumerate(cells):
    if cell is not None and not isinstance(cell, str | int | float):
      raise InputError(f"{where}, row {number + 1}: {type(cell).__name__} in the column {name}, where a text belongs")
  return [cell if cell is None or isinstance(cell, str) else str(cell) for cell in cells]


def _distinct(rows: datasets.Dataset, name: str) -> int:
  return len({str(cell) for cell in rows[name][:]})


def _is_number(cell: str) -> bool:
  try:
    float(cell)
  except ValueError:
    return False
  return True


def _listed(rows: datasets.Dataset) -> str:
  first: Mapping[str, Any] = rows[0] if len(rows) else {}
  return ", ".join(f"{name} ({_short(first.get(name))})" for name in rows.column_names)


def _short(cell: Any) -> str:
  text = repr(cell)
  return text if len(text) <= 30 else text[:27] + "…" + text[-1]

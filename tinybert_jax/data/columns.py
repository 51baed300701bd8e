"""Which columns of a table hold texts and labels."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets

from tinybert_jax.data.column_kinds import (
  holds_numbers,
  holds_texts,
  is_text,
  list_columns,
  numbers_rows,
)
from tinybert_jax.data.text_lines import is_blank
from tinybert_jax.errors import InputError

_TEXTS = ("text", "sentence", "review", "content", "document", "comment", "tweet", "message", "body", "utterance")
_BESIDE_TEXTS = ("title", "headline", "subject", "summary", "description")  # mostly beside a longer text
_PAIRS = (
  ("sentence1", "sentence2"),
  ("text1", "text2"),
  ("text_a", "text_b"),
  ("sentence_a", "sentence_b"),
  ("premise", "hypothesis"),
  ("question1", "question2"),
  ("question", "passage"),
  ("question", "context"),
  ("question", "sentence"),
  ("question", "answer"),
  ("query", "passage"),
  ("query", "document"),
  ("text", "pair"),
  ("text", "text_pair"),
)
_LABELS = (
  *("label", "labels", "class", "category", "target", "intent", "topic", "emotion"),
  *("classes", "categories", "intents", "topics", "emotions", "tags"),
  *("sentiment", "score", "stars", "rating", "polarity"),
)
_FEW = 20  # different values that make labels of any column


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
  label: str | Sequence[str] = (),
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
    InputError: a column that is not there, that is not told and cannot be guessed, or that holds no texts; it lists the
      columns.
  """
  label = (label,) if isinstance(label, str) else tuple(label)
  if not has_label:
    label = tuple(name for name in label if name in rows.column_names)  # no text, but it need not be there
  _check_named(rows, text, pair, label, where)
  notes: list[str] = []
  named = {name for name in (text, pair, *label) if name is not None}
  if text is None:
    text, pair, note = _guess_text(rows, pair, named, where)
    notes.append(f"{where}: {note}")
  for option, name in (("text", text), ("pair", pair)):
    if name is not None:
      notes += _check_texts(rows, name, option, where, is_named=name in named)
  if has_label and not label:
    chosen, note = _guess_label(rows, {text, pair}, where)
    label = (chosen,)
    notes.append(f"{where}: {note}")
  return Columns(text, pair, label if has_label else (), tuple(notes))


def text_rows(rows: datasets.Dataset, columns: Columns, where: str = "the table") -> TextRows:
  """Returns texts and labels of a table; rows without a text are left out, and counted in the notes.

  Args:
    rows: of the table.
    columns: from `choose_columns`.
    where: what the table is called in errors.

  Raises:
    InputError: a cell that is no text, with its row, or no row with a text.
  """
  texts = {"text": _as_texts(rows, columns.text, where)}
  if columns.pair is not None:
    texts["pair"] = _as_texts(rows, columns.pair, where)
  kept, left = list[int](), list[int]()
  for row, pieces in enumerate(zip(*texts.values(), strict=True)):
    (kept if not any(cell is None or is_blank(cell) for cell in pieces) else left).append(row)
  what = "text" if columns.pair is None else "text or its pair"
  if not kept:
    raise InputError(f"{where}: no row has a text in {' and '.join(filter(None, (columns.text, columns.pair)))}")
  notes: tuple[str, ...] = ()
  if left:
    said = "1 row without a" if len(left) == 1 else f"{len(left):,} rows without a"
    verb = "is" if len(left) == 1 else "are"
    notes = (f"{where}: {said} {what} {verb} left out, first row {left[0] + 1}",)
  chosen = {"index": list(map(str, kept))} | {name: [cells[row] for row in kept] for name, cells in texts.items()}
  labels: Any = None
  if columns.label:
    by_column = {}
    for name in columns.label:
      cells = _label_cells(rows, name)
      by_column[name] = [cells[row] for row in kept]
    labels = by_column if len(columns.label) > 1 else by_column[columns.label[0]]
  features = datasets.Features({name: datasets.Value("string") for name in chosen})
  return TextRows(datasets.Dataset.from_dict(chosen, features=features), labels, notes)


def _check_named(rows: datasets.Dataset, text: str | None, pair: str | None, label: Sequence[str], where: str) -> None:
  taken: dict[str, str] = {}
  for option, name in (("text", text), ("pair", pair), *(("label", name) for name in label)):
    if name is None:
      continue
    if name not in rows.column_names:
      raise InputError(f"--{option} {name}: {where} has no such column; it has {list_columns(rows)}")
    if name in taken:
      raise InputError(f"--{option} {name}: the same column as --{taken[name]}; {where} has {list_columns(rows)}")
    taken[name] = option


def _guess_text(rows: datasets.Dataset, pair: str | None, named: set[str], where: str) -> tuple[str, str | None, str]:
  """Returns the columns of the text and its pair, and a sentence on the choice."""
  left = [name for name in rows.column_names if name not in named and not numbers_rows(rows, name)]
  by_name = {name.strip().casefold(): name for name in left}
  texts = [name for name in left if holds_texts(rows, name) and name.strip().casefold() not in _LABELS]
  if pair is None:
    for first, second in _PAIRS:
      both = [by_name[name] for name in (first, second) if name in by_name]
      if len(both) == 2 and all(is_text(rows, name) for name in both) and both[1] in texts:
        return both[0], both[1], f"texts in the columns {both[0]} and {both[1]}"
  elif partner := _partner(pair, by_name, rows):
    return partner, pair, f"texts in the column {partner}, beside those in {pair}"
  known = [by_name[name] for name in _TEXTS if name in by_name]
  known = known or [by_name[name] for name in _BESIDE_TEXTS if name in by_name and by_name[name] in texts]
  if pair is not None:
    known = list(dict.fromkeys([*known, *texts]))  # which of them goes with the pair, no name tells
  elif len(known) > 1 and known[0].casefold() == "text":
    known = known[:1]
  if not known and len(texts) == 1:
    return texts[0], pair, f"texts in the column {texts[0]}, the only column of texts"
  if len(known) != 1:
    could = known or texts
    which = f": {', '.join(could)} could" if could else ""
    pairs = ", and --pair for the second of two" if len(could) == 2 and pair is None else ""
    raise InputError(f"{where}: which column has the texts{which}? Give --text{pairs}; there are {list_columns(rows)}")
  others = [name for name in texts if name != known[0]]
  beside = f"; not read are the texts in {', '.join(others)}" if others else ""
  return known[0], pair, f"texts in the column {known[0]}{beside}"


def _partner(pair: str, by_name: dict[str, str], rows: datasets.Dataset) -> str | None:
  """Returns the column that usually comes with that of the second texts."""
  firsts = (by_name[first] for first, second in _PAIRS if second == pair.strip().casefold() and first in by_name)
  return next((name for name in firsts if is_text(rows, name)), None)


def _guess_label(rows: datasets.Dataset, taken: set[str | None], where: str) -> tuple[str, str]:
  """Returns the column of the labels, and a sentence on the choice."""
  left = [name for name in rows.column_names if name not in taken]
  if not left:
    raise InputError(
      f"{where}: which column has the labels? Give --label, or --unlabelled for a table without labels; there are "
      f"{list_columns(rows)}"
    )
  known = [name for wanted in _LABELS for name in left if name.strip().casefold() == wanted]
  if len(known) == 1 or (known and known[0].casefold() == "label" and known[1].casefold() != "labels"):
    return known[0], f"labels in the column {known[0]}"
  if known:
    raise InputError(
      f"{where}: which column has the labels? {', '.join(known)} could; give --label; there are {list_columns(rows)}"
    )
  could = [name for name in left if not numbers_rows(rows, name) and _may_be_label(rows, name)]
  if len(could) == 1:
    return could[0], f"labels in the column {could[0]}, the only one that could have them"
  which = f": {', '.join(could)} could" if could else ""
  several = ", all of them for several labels at once" if len(could) > 1 and _all_binary(rows, could) else ""
  raise InputError(
    f"{where}: which column has the labels{which}? Give --label{several}; there are {list_columns(rows)}"
  )


def _may_be_label(rows: datasets.Dataset, name: str) -> bool:
  feature = rows.features[name]
  if isinstance(feature, datasets.ClassLabel | datasets.List | datasets.LargeList):
    return True
  if isinstance(feature, dict):
    return False
  different = {str(cell) for cell in rows[name][:] if cell is not None}
  if len(different) < 2:
    return False
  return len(different) <= max(_FEW, len(rows) // 10) or (holds_numbers(rows, name) and not is_text(rows, name))


def _all_binary(rows: datasets.Dataset, names: Sequence[str]) -> bool:
  return all({str(cell) for cell in rows[name][:]} <= {"0", "1", "True", "False"} for name in names)


def _check_texts(rows: datasets.Dataset, name: str, option: str, where: str, *, is_named: bool) -> list[str]:
  """Returns a note on numbers that are read as texts."""
  feature = rows.features[name]
  if not isinstance(feature, datasets.Value) or "binary" in feature.dtype:
    cells = rows[name][:]
    first = next((row for row, cell in enumerate(cells) if cell is not None), 0)
    raise InputError(
      f"{where}, row {first + 1}: the column {name} holds {_kind(cells[first])}, and a text is needed; there are "
      f"{list_columns(rows)}"
    )
  if not holds_numbers(rows, name):
    return []
  if not is_named:
    raise InputError(
      f"{where}: the column {name} holds numbers, where texts are needed; --{option} {name} takes them as texts; there "
      f"are {list_columns(rows)}"
    )
  return [f"{where}: the column {name} holds numbers, which are taken as texts"]


def _as_texts(rows: datasets.Dataset, name: str, where: str) -> list[str | None]:
  cells = rows[name][:]
  for number, cell in enumerate(cells):
    if isinstance(cell, list | dict | bytes):
      raise InputError(f"{where}, row {number + 1}: the column {name} holds {_kind(cell)}, and a text is needed")
  return [None if is_missing(cell) else str(cell) for cell in cells]


def is_missing(cell: Any) -> bool:
  """Returns whether a cell holds no text: nothing, or a NaN, which stands for nothing among numbers."""
  return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _label_cells(rows: datasets.Dataset, name: str) -> list[Any]:
  """Returns a column's cells, with the names of classes where the table knows them, and None for its -1, no class."""
  cells, feature = rows[name][:], rows.features[name]
  inner = feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else feature
  if not isinstance(inner, datasets.ClassLabel):
    return cells
  if inner is feature:
    return [None if cell is None or cell < 0 else inner.names[cell] for cell in cells]
  return [
    None if cell is None else [None if one is None or one < 0 else inner.names[one] for one in cell] for cell in cells
  ]


def _kind(cell: Any) -> str:
  if isinstance(cell, list):
    return "lists"
  return "objects" if isinstance(cell, dict) else "bytes" if isinstance(cell, bytes) else type(cell).__name__

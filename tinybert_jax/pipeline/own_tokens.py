"""One's own texts of words with a tag for each: read from columns, JSON lines, Parquet or the hub, and checked."""

from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import pyarrow as pa

from tinybert_jax.data.columns import Columns
from tinybert_jax.data.conll import find_columns, read_columns
from tinybert_jax.data.entities import holds_entities, tagged
from tinybert_jax.data.tables import iterate_tables, read_table
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.numbered_labels import read_names
from tinybert_jax.pipeline.own_rows import OwnRows
from tinybert_jax.pipeline.own_tables import Known, Labelled, ToPredict
from tinybert_jax.tasks.tags import OUTSIDE, entities, scheme_of, written
from tinybert_jax.tasks.task import Task

_WORDS = ("tokens", "words", "token", "word", "form", "text")
_TAGS = ("ner_tags", "tags", "labels", "ner", "pos_tags", "upos", "tag", "label", "entities", "spans")
_LISTS = pa.list_(pa.string())
_CONLLU = 10  # columns, of which the words are the second and the parts of speech the fourth


def read_train(sources: Sources, known: Known, notes: list[str]) -> Labelled:
  """Returns the texts of `train`, and the tags as classes; see `own_tables.read_train`."""
  where, rows = ", ".join(sources.train), read_words(sources.train, sources, notes)
  columns = _choose(rows, sources, where, has_tags=True)
  notes += columns.notes
  texts = _texts(rows, columns.text, where)
  tags = _tags(rows, columns.label[0], texts, _names(sources) or known.names, where)
  names, values = _classes(tags, known.names, where, notes)
  return Labelled(columns, "tokens", names, OwnRows(_rows(texts, values), None), None)


def read_unlabelled(
  sources: Sources, kind: str, names: Sequence[str], like: Columns | None, notes: list[str]
) -> OwnRows:
  """Returns the texts of `unlabelled`; words of running text are what white space parts."""
  where, rows = ", ".join(sources.unlabelled), read_words(sources.unlabelled, sources, notes, may_be_text=True)
  columns = _choose(rows, sources, where, has_tags=False, like=like)
  return OwnRows(_rows(_texts(rows, columns.text, where), None), None)


def read_measured(
  measured: tuple[str, ...], sources: Sources, like: Columns | None, task: Task, notes: list[str]
) -> OwnRows:
  """Returns the texts of dev or test, whose tags must be known ones."""
  where, rows = ", ".join(measured), read_words(measured, sources, notes)
  columns = _choose(rows, sources, where, has_tags=True, like=like)
  texts = _texts(rows, columns.text, where)
  tags = _tags(rows, columns.label[0], texts, _names(sources) or task.labels, where)
  if OUTSIDE in task.labels and all(tag == OUTSIDE for text in tags for tag in text):
    raise InputError(f"{where}: no word has a tag of an entity, so there is nothing to find and to measure")
  return OwnRows(_rows(texts, _classes(tags, task.labels, where, [])[1]), None)


def read_to_predict(where: tuple[str, ...], sources: Sources, batch_rows: int, notes: list[str]) -> Iterator[ToPredict]:
  """Yields texts of words in pieces; see `own_tables.read_to_predict`. Words may also be running text."""
  if files := find_columns(where, notes, encoding=sources.reading.encoding, may_be_text=True):
    pieces: Iterator[pa.Table] = iter([read_columns(files, sources.reading.encoding, notes)])
  else:
    pieces = iterate_tables(where, sources.reading, batch_rows=batch_rows, notes=notes)
  name, columns = ", ".join(where), None
  for piece in pieces:
    rows = datasets.Dataset(piece)
    columns = columns or _choose(rows, sources, name, has_tags=False)
    cells = [[] if cell is None else cell for cell in rows[columns.text][:]]
    has = [row for row, cell in enumerate(cells) if (cell.strip() if isinstance(cell, str) else cell)]
    some = rows.select(has)
    if not has:
      texts: dict[str, list[Any]] = {"words": [["."]]}
    elif all(isinstance(cells[row], str) for row in has):
      texts = {"text": some[columns.text][:]}
    else:
      texts = {"words": _texts(some, columns.text, name)}
    yield ToPredict(piece, has, datasets.Dataset.from_dict(texts))


def read_words(
  where: Sequence[str], sources: Sources, notes: list[str], *, may_be_text: bool = False
) -> datasets.Dataset:
  """Returns the columns of files of words in columns, or of tables; `may_be_text` as for `find_columns`.

  Texts whose entities are marked by characters become words with tags, see `data.entities`.
  """
  reading = sources.reading
  if files := find_columns(where, notes, encoding=reading.encoding, may_be_text=may_be_text):
    return datasets.Dataset(read_columns(files, reading.encoding, notes))
  table = read_table(where, reading)
  notes += table.notes
  rows, name = table.rows, ", ".join(where)
  text, marks = sources.text or _find(rows, _WORDS), next(iter(sources.label), None) or _find(rows, _TAGS)
  if not {text, marks} <= set(rows.column_names) or text == marks or not holds_entities(rows, str(marks)):
    return rows
  if rows.features[text] not in (datasets.Value("string"), datasets.Value("large_string")):
    return rows
  words, tags, widened = tagged(rows[text][:], rows[marks][:], name)
  if widened:
    notes.append(f"{name}: {widened:,} entities begin or end inside a word, and are widened to whole words")
  columns = {text: pa.array(words, _LISTS), marks: pa.array(tags, _LISTS)}
  return datasets.Dataset(pa.table(columns))


def _choose(
  rows: datasets.Dataset, sources: Sources, where: str, *, has_tags: bool, like: Columns | None = None
) -> Columns:
  """Returns the columns that the options name, or that are called as those of the other table, or else found."""
  for option, name in (("text", sources.text), *(("label", name) for name in sources.label)):
    if name is not None and name not in rows.column_names and (option == "text" or has_tags):
      raise InputError(f"--{option} {name}: {where} has no such column; it has {', '.join(rows.column_names)}")
  if len(sources.label) > 1:
    raise InputError(f"--label {' '.join(sources.label)}: one column of tags is needed")
  numbered = rows.column_names == [str(place) for place in range(len(rows.column_names))]
  words, tags = _numbered(len(rows.column_names)) if numbered else (_find(rows, _WORDS), _find(rows, _TAGS))
  text = sources.text or (like.text if like and like.text in rows.column_names else words)
  label = next(iter(sources.label), None) or (
    like.label[0] if like and like.label and like.label[0] in rows.column_names else tags
  )
  if text is None:
    raise InputError(f"{where}: which column has the words? Give --text; there are {', '.join(rows.column_names)}")
  if not has_tags:
    return Columns(text, None, (), ())
  if label is None or label == text:
    raise InputError(f"{where}: which column has the tags? Give --label; there are {', '.join(rows.column_names)}")
  is_told = bool(sources.text and sources.label) or like is not None
  note = f"{where}: words in the column {text}, tags in the column {label}"
  return Columns(text, None, (label,), () if is_told else (note,))


def _numbered(columns: int) -> tuple[str, str | None]:
  """Returns the usual columns of words and tags in a file of columns."""
  if columns == _CONLLU:
    return "1", "3"
  return "0", str(columns - 1) if columns > 1 else None


def _find(rows: datasets.Dataset, names: Sequence[str]) -> str | None:
  by_name = {name.strip().casefold(): name for name in rows.column_names}
  return next((by_name[name] for name in names if name in by_name), None)


def _texts(rows: datasets.Dataset, column: str, where: str) -> list[list[str]]:
  """Returns the words of each text; InputError, with the row, where there are none, or something else than words."""
  texts = []
  for number, cell in enumerate(rows[column][:], start=1):
    words = cell.split() if isinstance(cell, str) else cell
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
      raise InputError(f"{where}, row {number}: {cell!r:.60} in the column {column}, and a list of words is needed")
    if not words or not all(word.strip() for word in words):
      what = (
        "an empty text" if not words else f"word {[bool(word.strip()) for word in words].index(False) + 1} is empty"
      )
      raise InputError(f"{where}, row {number}: {what}; leave it out, with its tags")
    texts.append(words)
  return texts


def _tags(
  rows: datasets.Dataset, column: str, texts: Sequence[Sequence[str]], known: Sequence[str] | None, where: str
) -> list[list[str]]:
  """Returns the names of each text's tags; numbers are those of the column's names, or of `known` ones."""
  feature: Any = rows.features[column]
  names: Any = getattr(getattr(feature, "feature", None), "names", None) or known
  found = []
  for number, (cell, words) in enumerate(zip(rows[column][:], texts, strict=True), start=1):
    tags = cell.split() if isinstance(cell, str) else cell
    if not isinstance(tags, list) or not all(isinstance(tag, str | int) for tag in tags):
      raise InputError(f"{where}, row {number}: {cell!r:.60} in the column {column}, and a list of tags is needed")
    if len(tags) != len(words):
      raise InputError(f"{where}, row {number}: {len(words)} words and {len(tags)} tags, and each word needs one")
    if any(isinstance(tag, int) for tag in tags):
      most = len(names) if names else 1 + max(tag for tag in tags if isinstance(tag, int))
      if wrong := [tag for tag in tags if not isinstance(tag, int) or not 0 <= tag < most]:
        there_are = f"there are 0 to {len(names) - 1}" if names else "numbers are from 0 on, one for each word"
        raise InputError(f"{where}, row {number}: the tag {wrong[0]!r}, and {there_are}")
      tags = [names[tag] if names else str(tag) for tag in tags]
    if not all(tag.strip() for tag in tags):
      raise InputError(f"{where}, row {number}: an empty tag; words in no entity have the tag {OUTSIDE}")
    found.append([tag.strip() for tag in tags])
  return found


def _names(sources: Sources) -> tuple[str, ...] | None:
  """Returns the names of numbered tags that an option gives."""
  return None if sources.label_names is None else read_names(sources.label_names)


def _classes(
  tags: Sequence[Sequence[str]], known: Sequence[str] | None, where: str, notes: list[str]
) -> tuple[tuple[str, ...], list[list[int]]]:
  """Returns the classes, and the number of each tag's.

  Tags of entities are written as a model's classes have them, new ones as IOB2, so that every tool finds them.
  """
  there = {tag for text in tags for tag in text}
  _note_doubtful(there, known, where, notes)
  scheme, target = scheme_of(there), scheme_of(known or ())
  if known is None:
    target = "iob" if scheme != "plain" else "plain"
  if scheme == target == "plain" or (known and scheme == "plain" and OUTSIDE not in there | set(known)):
    names = tuple(known or sorted(there, key=lambda tag: (tag != OUTSIDE, tag)))
    rewritten: Sequence[Sequence[str]] = tags
  else:
    rewritten = [written(entities(text), len(text), target) for text in tags]
    types = sorted({kind for text in tags for kind, *_ in entities(text)})
    names = tuple(known or (OUTSIDE, *(f"{letter}-{kind}" for kind in types for letter in "BI")))
    if known is None:
      changed = sum(list(one) != list(other) for one, other in zip(tags, rewritten, strict=True))
      kind = {"iob": "IOB1", "bioes": "BIOES", "plain": "plain tags"}[scheme]
      notes += [f"{where}: tags of {changed:,} texts are {kind}; the model's are IOB2"] if changed else []
  place = {name: number for number, name in enumerate(names)}
  for number, text in enumerate(rewritten, start=1):
    if unknown := [tag for tag in text if tag not in place]:
      raise InputError(f"{where}, row {number}: the tag {unknown[0]!r} is none of the model's ({', '.join(names)})")
  if len(names) < 2:
    raise InputError(f"{where}: all tags are {names[0]!r}; at least two are needed")
  return names, [[place[tag] for tag in text] for text in rewritten]


def _note_doubtful(there: set[str], known: Sequence[str] | None, where: str, notes: list[str]) -> None:
  """Adds a note where tags are hardly what they were meant to be."""
  if known is None and all(tag.isdigit() for tag in there):
    notes.append(f"{where}: tags are numbers without names, and say no entities; --label-names gives names")
  positions = {tag for tag in there if scheme_of([tag]) != "plain"} - {OUTSIDE}
  others = there - positions - {OUTSIDE}
  if positions and others:
    notes.append(
      f"{where}: the tag {min(positions)!r} says a position in an entity, and {min(others)!r} none; so all are read as "
      "plain tags"
    )


def _rows(texts: Sequence[Sequence[str]], values: Sequence[Sequence[int]] | None) -> datasets.Dataset:
  """Returns the texts as a run has them: `text` to be shown, and `words`."""
  columns = {
    "index": pa.array([str(number) for number in range(len(texts))]),
    "text": pa.array([" ".join(words) for words in texts]),
    "words": pa.array(texts, pa.list_(pa.string())),
  }
  if values is not None:
    columns["label"] = pa.array(values, pa.list_(pa.int32()))
  return datasets.Dataset(pa.table(columns))

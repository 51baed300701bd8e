"""Texts whose entities are marked by characters, as words with a tag each."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import datasets

from tinybert_jax.errors import InputError

_TYPES = ("label", "type", "entity_group", "tag", "entity")  # what an entity's type may be called


class Tagged(NamedTuple):
  """Texts as words, their tags in IOB2, and the entities that began or ended inside a word."""

  words: list[list[str]]
  tags: list[list[str]]
  widened: int


def holds_entities(rows: datasets.Dataset, column: str) -> bool:
  """Returns whether a column has lists of entities, each with `start`, `end` and a type; or empty lists alone."""
  feature: Any = rows.features[column]
  inside = getattr(feature, "feature", None)
  if isinstance(inside, Mapping):
    return {"start", "end"} <= set(inside)
  return isinstance(inside, datasets.Value) and inside.dtype == "null"


def tagged(texts: Sequence[Any], marked: Sequence[Any], where: str) -> Tagged:
  """Returns the words of texts, whose punctuation marks are words by themselves, as in CoNLL's files, with their tags.

  Args:
    texts: one a row.
    marked: of each the entities: `start` and `end`, in characters, and `label` (or `type`, `entity_group`, `tag`).
    where: they stand, for errors.

  Raises:
    InputError: an entity that is outside its text, holds no word, has no type, or has a word that another one has; it
      names row and entities.
  """
  found = Tagged([], [], 0)
  widened = 0
  for number, (text, entities) in enumerate(zip(texts, marked, strict=True), start=1):
    row = f"{where}, row {number}"
    if not isinstance(text, str):
      raise InputError(f"{row}: {text!r:.60}, and a text is needed, as its entities are marked by characters")
    if not isinstance(entities, list):
      raise InputError(f"{row}: {entities!r:.60}, and a list of entities is needed; of a text without one it is empty")
    spans = word_spans(text)
    tags, owner = ["O"] * len(spans), dict[int, Mapping[str, Any]]()
    for entity in entities:
      kind, start, end = _checked(entity, text, row)
      inside = [word for word, (first, last) in enumerate(spans) if first < end and last > start]
      if not inside:
        raise InputError(f"{row}: the entity {_shown(entity, text)} holds no word")
      for place, word in enumerate(inside):
        if word in owner:
          raise InputError(
            f"{row}: the entities {_shown(owner[word], text)} and {_shown(entity, text)} overlap in the word "
            f"{text[slice(*spans[word])]!r}, and each word has one tag; leave one out"
          )
        owner[word], tags[word] = entity, f"{'I' if place else 'B'}-{kind}"
      part = text[start:end].strip()
      widened += part != text[spans[inside[0]][0] : spans[inside[-1]][1]]
    found.words.append([text[first:last] for first, last in spans])
    found.tags.append(tags)
  return found._replace(widened=widened)


def word_spans(text: str) -> list[tuple[int, int]]:
  """Returns where each word begins and ends: what white space and punctuation marks part, and each of the marks."""
  spans: list[tuple[int, int]] = []
  goes_on = False
  for place, character in enumerate(text):
    is_mark = unicodedata.category(character)[0] == "P"
    if character.isspace():
      goes_on = False
    elif goes_on and not is_mark:
      spans[-1] = spans[-1][0], place + 1
    else:
      spans.append((place, place + 1))
      goes_on = not is_mark
  return spans


def _checked(entity: Any, text: str, row: str) -> tuple[str, int, int]:
  """Returns an entity's type, and its characters from and to."""
  kind = next((entity[name] for name in _TYPES if entity.get(name)), None) if isinstance(entity, Mapping) else None
  if not isinstance(kind, str) or not kind.strip():
    raise InputError(f"{row}: the entity {entity!r:.80}, and start, end and label are needed")
  start, end = entity.get("start"), entity.get("end")
  if not all(isinstance(each, int) and not isinstance(each, bool) for each in (start, end)):
    raise InputError(f"{row}: the entity {entity!r:.80}, whose start and end must be numbers of characters")
  if not 0 <= start < end <= len(text):
    raise InputError(f"{row}: the entity {kind} from {start} to {end}, and its text has {len(text)} characters")
  return kind.strip(), start, end


def _shown(entity: Mapping[str, Any], text: str) -> str:
  kind = next(entity[name] for name in _TYPES if entity.get(name))
  start, end = entity["start"], entity["end"]
  return f"{text[start:end]!r:.40} ({kind}, {start} to {end})"

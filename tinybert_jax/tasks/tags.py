"""Tags of words: which entities they say, in each of the schemes, and how they are written.

Entities are found as seqeval 1.2.2 finds them by default, which is the rule of CoNLL's conlleval: any sequence of tags
says some entities, also one that no scheme allows.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

OUTSIDE = "O"
# "iob" writes an entity B I I; "bioes" writes B I E, and S where it is one word; "plain" tags have no position.
Scheme = Literal["iob", "bioes", "plain"]
_PREFIXED = re.compile("[BIESLU]-.+")
_OTHER_LETTERS = {"L": "E", "U": "S"}  # of BILOU


class Entity(NamedTuple):
  """An entity: its type, its first word and its last one, from 0."""

  type: str
  first: int
  last: int


def scheme_of(tags: Iterable[str]) -> Scheme:
  """Returns the scheme that tags are of; IOB1 and IOB2 have the same tags."""
  inside = set(tags) - {OUTSIDE}
  if not all(_PREFIXED.fullmatch(tag) for tag in inside):
    return "plain"
  return "bioes" if {tag[0] for tag in inside} & set("ESLU") else "iob"


def entities(tags: Sequence[str]) -> list[Entity]:
  """Returns the entities that the tags of a text say; of plain tags each run of the same one is an entity."""
  found: list[Entity] = []
  before, before_type = OUTSIDE, ""
  for word, tag in enumerate(tags):
    letter, kind = _parts(tag)
    if letter == OUTSIDE:
      before = OUTSIDE
      continue
    goes_on = before in "BI" and letter in "IE" and kind == before_type
    if goes_on:
      found[-1] = found[-1]._replace(last=word)
    else:
      found.append(Entity(kind, word, word))
    before, before_type = letter, kind
  return found


def written(found: Iterable[Entity], words: int, scheme: Scheme) -> list[str]:
  """Returns the tags of a text of so many words that say these entities."""
  tags = [OUTSIDE] * words
  for kind, first, last in found:
    for word in range(first, last + 1):
      letter = "B" if word == first else "I"
      if scheme == "bioes" and word == last:
        letter = "S" if word == first else "E"
      tags[word] = kind if scheme == "plain" else f"{letter}-{kind}"
  return tags


def _parts(tag: str) -> tuple[str, str]:
  """Returns a tag's letter and type; a plain tag counts as inside."""
  if tag == OUTSIDE:
    return OUTSIDE, ""
  if not _PREFIXED.fullmatch(tag):
    return "I", tag
  return _OTHER_LETTERS.get(tag[0], tag[0]), tag[2:]

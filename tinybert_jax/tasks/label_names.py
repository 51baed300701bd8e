"""Names of classes: their spelling and order, and which known name a label means."""

import collections
import math
import re
from collections.abc import Sequence
from typing import Any

from tinybert_jax.errors import InputError

_LISTED = 10


def number_of(cell: Any) -> float | None:
  """Returns the finite number that a cell is or spells, None for others; true and false are none."""
  if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):  # which float takes as a separator
    return None
  try:
    number = float(cell)
  except (TypeError, ValueError, OverflowError):
    return None
  return number if math.isfinite(number) else None


def spells_infinity(cell: Any) -> bool:
  """Returns whether a cell is a text for a number that is not finite, such as "inf", "-Infinity" or "1e999"."""
  try:
    return isinstance(cell, str) and "_" not in cell and not math.isfinite(float(cell))
  except ValueError:
    return False


def class_name(cell: Any) -> str:
  """Returns the name of a class: as it is found, but 1.0 and "1.0" are "1"."""
  if isinstance(cell, float) and cell.is_integer():
    return str(int(cell))
  text = str(cell)
  return text[: text.index(".")] if re.fullmatch(r"-?[0-9]+\.0+", text) else text


def ordered(found: set[str]) -> list[str]:
  """Returns names in the order of their numbers, false before true, or else of the alphabet."""
  if all(number_of(name) is not None for name in found):
    return sorted(found, key=lambda name: (number_of(name), name))
  if {name.strip().casefold() for name in found} <= {"true", "false"}:
    return sorted(found, key=lambda name: (name.strip().casefold(), name))
  return sorted(found)


def alike(found: Sequence[str], where: str) -> list[str]:
  """Returns a note on names that differ in case or outer spaces alone, if there are any."""
  groups = collections.defaultdict(list)
  for name in found:
    groups[name.strip().casefold()].append(name)
  twice = [names for names in groups.values() if len(names) > 1]
  said = "; ".join(" and ".join(map(repr, names)) for names in twice[:_LISTED])
  return [f"{where}: labels that differ in case or spaces alone are kept apart: {said}"] if twice else []


def places(found: Sequence[str], known: tuple[str, ...], where: str, notes: list[str]) -> dict[str, int]:
  """Returns the number of each label among the known names, found by the same or a like spelling.

  Args:
    found: labels.
    known: names of classes, in order.
    where: what the table is called.
    notes: gets a sentence on labels of another spelling.

  Raises:
    InputError: labels that are no known class, or could be two.
  """
  exact = {name: number for number, name in enumerate(known)}
  like = collections.defaultdict(list)
  for number, name in enumerate(known):
    like[_plain(name)].append(number)
  numbers, unknown, changed = {}, [], []
  for name in found:
    those = [exact[name]] if name in exact else like.get(_plain(name), [])
    if len(those) != 1:
      unknown.append(name)
      continue
    numbers[name] = those[0]
    if class_name(known[those[0]]) != name:
      changed.append((name, known[those[0]]))
  if unknown:
    raise InputError(f"{where}: labels {_some(unknown)} are not among the known classes, which are {_some(known)}")
  if changed:
    said = ", ".join(f"{name!r} as {like!r}" for name, like in changed[:_LISTED])
    notes.append(f"{where}: labels of another spelling are read as known ones: {said}")
  return numbers


def _some(names: Sequence[str]) -> str:
  return ", ".join(map(repr, names[:_LISTED])) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _plain(name: str) -> str:
  """Returns a spelling that case, spaces, underscores and a fraction of zeros leave the same."""
  number = number_of(name)
  if number is not None and number.is_integer():
    return str(int(number))
  return re.sub(r"[\s_]", "", name).casefold() or name

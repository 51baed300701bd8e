"""Dataclasses of options, alone or in groups: their bounds, and their fields by flat names."""

import dataclasses
import itertools
import math
import numbers
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tinybert_jax.errors import InputError

Group = TypeVar("Group")


@dataclasses.dataclass(frozen=True)
class Bound:
  """The values that an option may have; `Annotated[int, Bound(least=1)]` declares it.

  Attributes:
    least: the smallest value.
    most: the largest.
    above: all values are larger than this.
    below: all values are smaller than this.
  """

  least: float | None = None
  most: float | None = None
  above: float | None = None
  below: float | None = None

  def holds(self, value: float) -> bool:
    """Returns whether the value is a number within the bounds; infinity and NaN are not."""
    return (
      abs(value) < float("inf")
      and (self.least is None or value >= self.least)
      and (self.most is None or value <= self.most)
      and (self.above is None or value > self.above)
      and (self.below is None or value < self.below)
    )

  @property
  def is_above(self) -> bool:
    """Whether there is a bound above."""
    return self.most is not None or self.below is not None

  def __str__(self) -> str:
    if self.least is not None and self.most is not None:
      return f"from {self.least:g} to {self.most:g}"
    parts = ((self.least, "at least"), (self.above, "above"), (self.most, "at most"), (self.below, "below"))
    return " and ".join(f"{words} {bound:g}" for bound, words in parts if bound is not None)


AT_LEAST_1 = Bound(least=1)
LENGTH = Bound(least=8)  # tokens: [CLS], [SEP] and a few words
RATE = Bound(above=0, below=1)
SHARE = Bound(least=0, most=1)
POSITIVE = Bound(above=0)
NOT_NEGATIVE = Bound(least=0)
DROPOUT = Bound(least=0, below=1)


class _Seed(Bound):
  def __str__(self) -> str:
    return "at least 0 and at most 4294967294"


SEED = _Seed(least=0, most=2**32 - 2)  # a stage adds 1


LARGEST = 2**31 - 1  # of numbers without a bound above: what NumPy, JAX and tokenizers all can count to


def check_number(name: str, value: Any, bound: Bound, *, whole: bool = False) -> None:
  """Raises InputError, with name and value, for an argument that is no number within the bound.

  Args:
    name: of the argument.
    value: its value.
    bound: that it must be in.
    whole: whether fractions are wrong too.
  """
  is_number = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
  if is_number and not bound.is_above and value > LARGEST:
    raise InputError(f"{name} {value!r:.60}: it must be at most {LARGEST}")
  if not is_number or not bound.holds(value):
    raise InputError(f"{name} {value!r:.60}: it must be a {'whole ' * whole}number {bound}")


def check(options: Any) -> None:
  """Raises InputError for the first option, also of a group, that is outside its declared bound, or above `LARGEST`."""
  hints = typing.get_type_hints(type(options), include_extras=True)
  for field in dataclasses.fields(options):
    value = getattr(options, field.name)
    if dataclasses.is_dataclass(value):
      check(value)
    bounds = [mark for mark in getattr(hints[field.name], "__metadata__", ()) if isinstance(mark, Bound)]
    if not any(bound.is_above for bound in bounds) and (large := [one for one in _numbers(value) if one > LARGEST]):
      raise InputError(f"--{field.name.replace('_', '-')} {large[0]}: it must be at most {LARGEST}")
    if not bounds and (wrong := [one for one in _numbers(value) if not math.isfinite(one)]):
      raise InputError(f"--{field.name.replace('_', '-')} {wrong[0]}: it must be a finite number")
    for bound, one in itertools.product(bounds, _numbers(value)):
      if not bound.holds(one):
        raise InputError(f"--{field.name.replace('_', '-')} {one}: it must be {bound}")


def as_flat(options: Any) -> dict[str, Any]:
  """Returns the values of a dataclass by name, those of its groups among them."""
  flat: dict[str, Any] = {}
  for name, value in _items(options):
    flat |= as_flat(value) if _is_group(type(value)) else {name: value}
  return flat


def from_flat(kind: type[Group], values: Mapping[str, Any]) -> Group:
  """Returns the dataclass with each value in the field of its name, in whichever group that is.

  A single value becomes a tuple where a tuple is needed, and paths and texts each other. A group may be given whole.

  Raises:
    InputError: a name that no field has.
  """
  left = dict(values)
  made = _from_flat(kind, left)
  if left:
    raise InputError(f"there is no option {', '.join(sorted(left))}; there are {', '.join(sorted(as_flat(made)))}")
  return made


def _from_flat(kind: type[Group], left: dict[str, Any]) -> Group:
  hints = typing.get_type_hints(kind)
  chosen = {}
  for name, hint in hints.items():
    if name in left:
      chosen[name] = _as(hint, left.pop(name))
    elif _is_group(hint):
      chosen[name] = _from_flat(hint, left)
  return kind(**chosen)


def _is_group(kind: Any) -> bool:
  return dataclasses.is_dataclass(kind) or (isinstance(kind, type) and hasattr(kind, "_fields"))


def _items(options: Any) -> Iterator[tuple[str, Any]]:
  names = options._fields if hasattr(options, "_fields") else [field.name for field in dataclasses.fields(options)]
  return ((name, getattr(options, name)) for name in names)


def _as(hint: Any, value: Any) -> Any:
  """Returns a value as the hint has it: several, a text or a path."""
  if typing.get_origin(hint) is tuple:
    (one, *_) = typing.get_args(hint)
    several = value if isinstance(value, list | tuple) else (value,)
    return tuple(_as(one, each) for each in several)
  kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
  if isinstance(value, Path) and str in kinds:
    return str(value)
  return Path(value) if isinstance(value, str) and Path in kinds else value


def _numbers(value: Any) -> list[float]:
  values = value if isinstance(value, tuple) else (value,)
  return [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]

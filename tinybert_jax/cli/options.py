"""What command lines have in common: bounds that are declared beside options, and checked by one function."""

import dataclasses
import itertools
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import tyro

from tinybert_jax.errors import InputError
from tinybert_jax.training.hosts import Hosts

HostOptions = Annotated[Hosts, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff]


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
DROPOUT = Bound(least=0, below=1)


class _Seed(Bound):
  def __str__(self) -> str:
    return "at least 0 and at most 4294967294"


SEED = _Seed(least=0, most=2**32 - 2)  # a stage adds 1


def check(options: Any) -> None:
  """Raises InputError for the first option that is outside its declared bound."""
  hints = typing.get_type_hints(type(options), include_extras=True)
  for field in dataclasses.fields(options):
    value = getattr(options, field.name)
    bounds = [mark for mark in _marks(hints[field.name]) if isinstance(mark, Bound)]
    for bound, one in itertools.product(bounds, _numbers(value)):
      if not bound.holds(one):
        raise InputError(f"--{field.name.replace('_', '-')} {one}: it must be {bound}")


def _marks(hint: Any) -> Iterator[Any]:
  yield from getattr(hint, "__metadata__", ())


def _numbers(value: Any) -> list[float]:
  values = value if isinstance(value, tuple) else (value,)
  return [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]

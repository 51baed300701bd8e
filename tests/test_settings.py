"""Groups of options: written once, given flat."""

import dataclasses
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.settings import Bound, as_flat, check, from_flat


class Form(NamedTuple):
  comma: str | None = None
  header: bool = True


AS_FOUND = Form()


@dataclasses.dataclass(frozen=True)
class Tables:
  train: tuple[str, ...] = ()
  share: Annotated[float, Bound(above=0, below=1)] = 0.1
  weights: Annotated[tuple[float, ...], Bound(above=0)] = ()
  form: Form = AS_FOUND


@dataclasses.dataclass(frozen=True)
class Run:
  tables: Tables = dataclasses.field(default_factory=Tables)
  out: Path = Path("runs")
  model: str | None = None


def test_flat_values_find_their_group_and_kind():
  run = from_flat(Run, {"train": Path("a.csv"), "comma": ";", "out": "there", "model": Path("m"), "weights": [1, 2.5]})
  assert run == Run(Tables(("a.csv",), 0.1, (1, 2.5), Form(";")), Path("there"), "m")
  assert from_flat(Run, as_flat(run)) == run
  assert from_flat(Run, {"form": Form("|")}).tables.form.comma == "|"
  assert list(as_flat(run)) == ["train", "share", "weights", "comma", "header", "out", "model"]


def test_unknown_names_and_values_outside_their_bounds_are_refused():
  with pytest.raises(InputError, match="there is no option tran; there are comma, header, model"):
    from_flat(Run, {"tran": "a.csv"})
  with pytest.raises(InputError, match=r"--share 1\.0: it must be above 0"):
    check(Run(Tables(share=1.0)))
  with pytest.raises(InputError, match="--weights 0: it must be above 0"):
    check(from_flat(Run, {"weights": (1, 0)}))
  for large in (2**31, 1e300, float("inf")):
    with pytest.raises(InputError, match=r"--weights .*: it must be at most 2147483647"):
      check(from_flat(Run, {"weights": (1, large)}))

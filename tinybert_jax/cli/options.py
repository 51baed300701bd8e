"""What command lines have in common: groups of options without a prefix, and the bounds of `tinybert_jax.settings`."""

from typing import Annotated

import tyro

from tinybert_jax.settings import AT_LEAST_1, DROPOUT, LENGTH, POSITIVE, RATE, SEED, SHARE, Bound, check
from tinybert_jax.training.hosts import Hosts

__all__ = [
  "AT_LEAST_1",
  "DROPOUT",
  "LENGTH",
  "POSITIVE",
  "RATE",
  "SEED",
  "SHARE",
  "Bound",
  "HostOptions",
  "check",
]

HostOptions = Annotated[Hosts, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff]

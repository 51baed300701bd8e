"""The options of where a command computes, which command lines have in common."""

from typing import Annotated

import tyro

from tinybert_jax.training.hosts import Hosts

HostOptions = Annotated[Hosts, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff]

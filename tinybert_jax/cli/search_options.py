"""The options of `tinybert-jax search`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from tinybert_jax.choices import Hosts
from tinybert_jax.cli.options import HostOptions
from tinybert_jax.pipeline.distil_settings import Settings
from tinybert_jax.pipeline.search_settings import SearchOptions


@dataclasses.dataclass(frozen=True)
class Options:
  """Find the shape of a student that keeps most of its teacher's quality in a budget of time and size, and distil it.

  tinybert-jax search --teacher ./my-bert --train train.csv --latency-ms 2

  Of each number of layers and each form of feed-forward layers the widest student in the budget is tried. All begin
  with weights made from the teacher's, and are distilled for a short while; the better half goes on, until one is left.
  That one is distilled to the end, as distil does it, with the options of distil.
  """

  run: Annotated[Settings, tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes] = dataclasses.field(
    default_factory=lambda: Settings(out=Path("runs/search"))
  )
  search: Annotated[SearchOptions, tyro.conf.OmitArgPrefixes] = dataclasses.field(default_factory=SearchOptions)
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""

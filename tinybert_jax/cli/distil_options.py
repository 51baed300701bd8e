"""The options of `tinybert-jax distil`."""

import dataclasses
from typing import Annotated

import tyro

from tinybert_jax.choices import Hosts
from tinybert_jax.cli.options import HostOptions
from tinybert_jax.pipeline.distil_settings import Settings


@dataclasses.dataclass(frozen=True)
class Options:
  """Distil a classifier or a regression into a small, fast student, on your own data.

  tinybert-jax distil --teacher ./my-bert --train train.csv --unlabelled more.txt --test test.csv

  A table is CSV, TSV, JSON, JSON lines, Parquet, Arrow or text (a text a line), also compressed; a glob or a folder of
  such files; or a data set of the hub, as name:config:split. Finished stages are reused when their inputs and options
  are the same; the same command goes on where it stopped.
  """

  run: Annotated[Settings, tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes] = dataclasses.field(
    default_factory=Settings
  )
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""

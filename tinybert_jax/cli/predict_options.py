"""The options of `tinybert-jax predict`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from tinybert_jax.choices import AS_FOUND, Hosts, Reading
from tinybert_jax.cli.options import DtypeOption, HostOptions
from tinybert_jax.settings import AT_LEAST_1, LENGTH


@dataclasses.dataclass(frozen=True)
class Options:
  """Write a classifier's labels and probabilities, a regression's numbers, or embeddings, for every row of a table.

  Rows are read, computed and written in pieces, so a table of any length takes the same memory.
  """

  model: str
  """Model directory or hub id."""
  data: tuple[str, ...]
  """Tables of texts: CSV, TSV, JSON, JSON lines, Parquet, Arrow or text (a text a line), also compressed."""
  out: Path
  """File to write: .csv, .tsv, .jsonl or .parquet. It gets the columns of --data, and after them prediction,
  probability, and the probability of each class. Embeddings go to .jsonl, .parquet, or .npy, an array of numbers."""
  text: str | None = None
  """Column of the texts. Default: found by name or content."""
  pair: str | None = None
  """Column of second texts, where a row has two."""
  reading: Annotated[Reading, tyro.conf.arg(name="")] = AS_FOUND
  max_length: Annotated[int | None, LENGTH] = None
  """Tokens that a text or pair is cut to. Default: the length that the model was trained on, as its
  tokenizer says, at most 512."""
  batch_size: Annotated[int, AT_LEAST_1] = 64
  """Rows in a batch."""
  dtype: DtypeOption = "auto"
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""

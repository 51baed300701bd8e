"""The options of `tinybert-jax mlm`."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tinybert_jax.choices import MASKED, Hosts
from tinybert_jax.cli.options import DtypeOption, HostOptions
from tinybert_jax.settings import AT_LEAST_1, LENGTH, RATE, SEED


@dataclasses.dataclass(frozen=True)
class Options:
  """Train a masked language model's head on raw text from a pretrained encoder, and if asked the encoder with it: what
  the command augment takes where no model with that head is at hand.

  The same command again goes on where it stopped.
  """

  text: tuple[Path, ...]
  """Text files or folders of .txt files, compressed or not, with one text per line. Texts longer than --max-length are
  cut into several rows. Pieces of fewer than 6 tokens are left out, and counted."""
  pretrained: str = "bert-base-uncased"
  """Model directory or hub id of the encoder; a head that it has is trained further."""
  out: Path = Path("runs/mlm")
  """Folder for everything that the run writes; the model is in its folder model."""
  body: bool = False
  """Train the encoder as well."""
  whole_words: bool = False
  """Mask all pieces of a word, or none. Words of more pieces than may be masked in a row are never masked."""
  masked: Annotated[float, RATE] = MASKED
  """Share of the tokens (0 to 1) that is masked."""
  max_length: Annotated[int, LENGTH] = 128
  """Tokens in a row."""
  max_train_examples: Annotated[int | None, AT_LEAST_1] = None
  """Take only this many rows, drawn by the seed."""
  held_out: Annotated[int, AT_LEAST_1] = 500
  """Rows that are kept to measure the loss on; at most a tenth of all."""
  epochs: Annotated[int, AT_LEAST_1] = 3
  """Passes over the rows."""
  batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch."""
  learning_rate: Annotated[float, RATE] = 5e-4
  """Peak learning rate; with --body 1e-4 suits better."""
  seed: Annotated[int, SEED] = 0
  """Random seed for initialisation, order of rows and masking."""
  dtype: DtypeOption = "auto"
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""

"""The options of `tinybert-jax trim`."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tinybert_jax.settings import AT_LEAST_1, Bound


@dataclasses.dataclass(frozen=True)
class Options:
  """Write a model again with fewer tokens: those that texts have, all special tokens, and all single characters.

  Texts whose tokens are all kept give the same hidden states and class logits, bit for bit; the logits of a masked
  language model differ by rounding. Other texts are read in smaller pieces, and no word becomes unknown.
  """

  model: str
  """Model directory or hub id, with a tokenizer of WordPiece, BPE or Unigram (SentencePiece)."""
  text: tuple[Path, ...]
  """Text files or folders of .txt files, compressed or not, with one text per line, whose tokens are counted."""
  vocabulary: Annotated[int | None, AT_LEAST_1] = None
  """The most tokens to keep: those that occur most often, and where fewer occur the tokenizer's next ones.
  Give this or --min-count."""
  min_count: Annotated[int | None, AT_LEAST_1] = None
  """Keep the tokens that occur at least so often."""
  held_out: Annotated[float, Bound(least=0, below=1)] = 0.1
  """Share of the texts (0 to 1) that is not counted; the run prints how many of them have other tokens."""
  out: Path = Path("runs/trimmed")
  """Folder of the new model, a Hugging Face directory."""
  debug: bool = False
  """Show the traceback of an error."""

"""The options of `tinybert-jax augment`."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tinybert_jax.choices import CANDIDATES, REPLACED, Context, Hosts
from tinybert_jax.cli.options import DtypeOption, HostOptions
from tinybert_jax.settings import AT_LEAST_1, LENGTH, SEED, SHARE


@dataclasses.dataclass(frozen=True)
class Options:
  """Augment a GLUE task's training rows, or the lines of a text file: each again and again, with words replaced by
  others that fit (Algorithm 1 of TinyBERT).

  Words of one piece are replaced by what a masked language model expects in their place, words of several pieces by
  their nearest neighbours among word vectors. The same command goes on where it stopped.

  Several processes that see one --out share the rows: --process-id and --num-processes suffice, without --coordinator,
  and the first process puts the result in its place.
  """

  task: str | None = None
  """cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte or wnli."""
  text: Path | None = None
  """In place of --task, a text file or a folder of .txt files, compressed or not, with one text per line."""
  data: Path | None = None
  """Folder of GLUE's official TSV files, one folder a task; by default the hub's nyu-mll/glue."""
  out: Path = Path("runs/glue")
  """Everything is written to a folder in here, named after the task or the file. The command glue with the same --out
  uses it, if augmented is not among its --stages."""
  mlm: str | None = "bert-base-uncased"
  """Model directory or hub id of a masked language model. None: --glove replaces every word."""
  glove: Path | None = None
  """Word vectors: glove.*.txt, word2vec's text format, or a directory of *_emb.npy and *_index.parquet. Without
  them, words of several pieces are not replaced."""
  glove_words: Annotated[int, AT_LEAST_1] = 100_000
  """Number of words to read from --glove, the most frequent ones."""
  copies: Annotated[int | None, AT_LEAST_1] = None
  """Copies to draw of each text; by default 10 for MNLI and QQP, 20 for QNLI and SST-2, else 30."""
  candidates: Annotated[int, AT_LEAST_1] = CANDIDATES
  """Candidates for a word (the paper's K)."""
  replaced: Annotated[float, SHARE] = REPLACED
  """Probability that a word is replaced (the paper's p)."""
  context: Context = "masked"
  """What the masked language model reads: the masked sentence alone, as in the paper, or a pair of it and the unmasked
  one, as in the original program."""
  max_length: Annotated[int | None, LENGTH] = None
  """Tokens that the masked language model reads; in longer sentences, those around the masked word. By default 128, or
  the model's number of positions if that is smaller."""
  max_train_examples: Annotated[int | None, AT_LEAST_1] = None
  """Take only this many training rows, for a trial."""
  seed: Annotated[int, SEED] = 0
  """Random seed for drawing words."""
  batch_size: Annotated[int | None, AT_LEAST_1] = None
  """Masked sentences in a batch, over all devices; by default 24 on a CPU, else 1024. It changes only the
  speed."""
  show: Annotated[int | None, AT_LEAST_1] = None
  """Print the words and candidates of this many rows, drawn by the seed, and write nothing."""
  tsv: bool = False
  """Write train.tsv in the official layout too."""
  dtype: DtypeOption = "auto"
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""

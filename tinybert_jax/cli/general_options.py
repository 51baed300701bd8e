"""The options of `tinybert-jax general`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tinybert_jax.choices import AttentionForm, Decay, Hosts, StudentFrom
from tinybert_jax.cli.options import DtypeOption, HostOptions, IntermediateOptions
from tinybert_jax.distillation.term_choice import TermOptions
from tinybert_jax.settings import AT_LEAST_1, DROPOUT, LENGTH, RATE, SEED, Bound


@dataclasses.dataclass(frozen=True)
class Options:
  """Distil a pretrained encoder's embeddings, hidden states and attention scores, or other --terms, over raw text into
  a general student, which the commands glue and distil take as --student. The defaults are the paper's run.

  Of several processes each runs this command, on folders that all of them see. The same command goes on where it
  stopped, with any number of devices and processes that can share a batch.
  """

  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  corpus: tuple[str, ...] = ("wikimedia/wikipedia",)
  """Texts: files (.txt with a blank line between documents, .jsonl, .parquet; also .gz, .bz2, .xz, .zst), globs,
  folders, or data sets of the hub as NAME or NAME:CONFIG."""
  weights: tuple[float, ...] = ()
  """How often the documents of each --corpus are in an epoch; a fraction is a share of them. Default: once each."""
  text_column: str = "text"
  """Column of the text in .jsonl and .parquet files and the hub's data sets."""
  segments: Literal["single", "pair"] = "single"
  """What a sequence holds. single: one text. pair: two segments, half of the time from different documents (nearby
  ones), and a tenth of the documents in short sequences, as in BERT's pretraining and the original program."""
  max_length: Annotated[int, LENGTH] = 128
  """Tokens in a sequence."""
  held_out: Annotated[float, Bound(least=0, most=0.5)] = 0.005
  """Share of the documents (0 to 0.5) that is kept to measure the losses on."""
  cache: Path = Path("runs/corpus")
  """Folder of packed sequences, for all runs over the same text. Files above 16 MiB are known by size and samples."""
  workers: Annotated[int | None, AT_LEAST_1] = None
  """Processes that tokenise; by default one per core, at most 8."""
  prepare: bool = False
  """Store the packed sequences and stop; needs no accelerator."""
  pretrained: str = "bert-base-uncased"
  """Model directory or hub id of the teacher, a BERT or another encoder that is not fine-tuned."""
  student: str = "tinybert-4l-312d"
  """Preset (tinybert-4l-312d, tinybert-6l-768d, bert-base), config.json, or a model to go on from (directory or hub
  id)."""
  student_from: StudentFrom | None = None
  """What the student's first weights are made from. teacher: the teacher's weights, in seconds and without labels.
  Default: random, as in the paper, or the weights of --student."""
  student_layers: Annotated[int | None, AT_LEAST_1] = None
  """Number of layers of the student, if --student is a preset."""
  student_dropout: Annotated[float | None, DROPOUT] = None
  """Dropout rate of the student; by default its configuration's."""
  vocabulary: Annotated[int | None, AT_LEAST_1] = None
  """The most tokens of teacher and student: those that the first 20 million characters of each --corpus have most
  often, and all special tokens and single characters. By default all."""
  layer_map: str = "uniform"
  """The teacher's layer for each of the student's: uniform, top, bottom, or numbers such as 3,6,9,12."""
  intermediate: IntermediateOptions = dataclasses.field(default_factory=TermOptions)
  out: Path = Path("runs/general")
  """Folder for everything that the run writes; the student is in its folder model."""
  epochs: Annotated[int, AT_LEAST_1] = 3
  """Passes over the sequences."""
  steps: Annotated[int | None, AT_LEAST_1] = None
  """Steps (batches) of the run, in place of --epochs."""
  batch_size: Annotated[int, AT_LEAST_1] = 256
  """Sequences in a batch, of all devices together."""
  batch_size_per_device: Annotated[int | None, AT_LEAST_1] = None
  """Sequences in a batch of each device, in place of --batch-size. Such a run continues only on as many devices."""
  accumulate: Annotated[int, AT_LEAST_1] = 1
  """Parts that each batch is computed in, one after the other, to save memory. Only dropout's random bits differ."""
  learning_rate: Annotated[float, RATE] = 5e-5
  """Peak learning rate."""
  warmup: Annotated[float, DROPOUT] = 0.1
  """Share of the steps (0 to 1) in which the learning rate rises to its peak."""
  decay: Decay = "linear"
  """How the learning rate falls to 0 after its peak. constant: it does not fall."""
  dtype: DtypeOption = "auto"
  attention: AttentionForm = "plain"
  """How attention is computed. fused: by kernels for TPUs that keep the scores on the chip. They are slow elsewhere,
  and have been tested by an interpreter, but not on a TPU yet. Not for MPNet, ModernBERT and DeBERTa."""
  parallel: Literal["mesh", "pmap"] = "mesh"
  """How the devices share a batch. Only dropout's random bits differ between the two."""
  shard_params: bool = False
  """Split parameters and optimizer state over the devices too, to save memory (with --parallel mesh)."""
  log_every: Annotated[int, AT_LEAST_1] = 20
  """Steps between two rows of the log."""
  evaluate_every: Annotated[int | None, AT_LEAST_1] = None
  """Steps between two measurements of the losses on held-out text; by default a twentieth of the run, from 50 to
  5,000."""
  checkpoint_every: Annotated[int | None, AT_LEAST_1] = None
  """Steps between checkpoints; by default a twentieth of the run, from 50 to 1,000."""
  seed: Annotated[int, SEED] = 0
  """Random seed for initialisation, order of sequences, dropout, packing of pairs and fractional weights."""
  debug: bool = False
  """Show the traceback of an error."""

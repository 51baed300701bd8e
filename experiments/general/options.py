"""The options of `python -m experiments.general`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tinybert_jax.models.layers import AttentionForm
from tinybert_jax.training.hosts import Hosts
from tinybert_jax.training.optim import Decay


@dataclasses.dataclass(frozen=True)
class Options:
  """Distil a pretrained BERT's embeddings, hidden states and attention scores over raw text into a general student,
  which experiments.glue takes as --student. The defaults are the paper's run.

  Of several processes each runs this command, on folders that all of them see. The same command goes on where it
  stopped, with any number of devices and processes that can share a batch.
  """

  hosts: Annotated[Hosts, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Hosts)
  corpus: tuple[str, ...] = ("wikimedia/wikipedia",)
  """Texts: files (.txt with a blank line between documents, .jsonl, .parquet; also .gz, .bz2, .xz, .zst), globs,
  folders, or data sets of the hub as NAME or NAME:CONFIG."""
  weights: tuple[float, ...] = ()
  """How often the documents of each --corpus are in an epoch; a fraction is a share of them. Default: once each."""
  text_column: str = "text"
  """Where .jsonl, .parquet and the hub's data sets have the text."""
  segments: Literal["single", "pair"] = "single"
  """single: sequences are filled up with one text. pair: two segments, half of the time from different documents
  (nearby ones), and a tenth of the documents in short sequences, as in BERT's pretraining and the original program."""
  max_length: int = 128
  """Tokens in a sequence."""
  held_out: float = 0.005
  """Share of the documents that are kept to measure the losses on."""
  cache: Path = Path("runs/corpus")
  """Folder of packed sequences, for all runs over the same text. Files above 16 MiB are known by size and samples."""
  workers: int | None = None
  """Processes that tokenise; by default one a core, at most 8."""
  prepare: bool = False
  """Store the packed sequences and end there; needs no accelerator."""
  pretrained: str = "bert-base-uncased"
  """Model directory or hub id of the teacher, a BERT that is not fine-tuned."""
  student: str = "tinybert-4l-312d"
  """Preset (tinybert-4l-312d, tinybert-6l-768d, bert-base), config.json, or a model to go on from (directory or hub
  id)."""
  student_layers: int | None = None
  """Layers of the student, where --student is a preset."""
  student_dropout: float | None = None
  """Dropout of the student; by default its configuration's."""
  layer_map: str = "uniform"
  """The teacher's layer for each of the student's: uniform, top, bottom, or numbers such as 3,6,9,12."""
  out: Path = Path("runs/general")
  """Folder for everything that the run writes; the student is in its folder model."""
  epochs: int = 3
  """Passes over the sequences."""
  steps: int | None = None
  """Batches of the run, in place of --epochs."""
  batch_size: int = 256
  """Sequences in a batch, of all devices together."""
  batch_size_per_device: int | None = None
  """Sequences of a batch on each device, in place of --batch-size; such a run goes on with as many devices alone."""
  accumulate: int = 1
  """Parts that each batch is computed in, one after the other, to save memory; the result is the
  same, but for dropout's random bits."""
  learning_rate: float = 5e-5
  """Peak learning rate."""
  warmup: float = 0.1
  """Share of the steps in which the rate rises to its peak."""
  decay: Decay = "linear"
  """How it falls to 0 after that; constant: not at all."""
  dtype: Literal["auto", "float32", "bfloat16"] = "auto"
  """Of matrix products and activations; auto is bfloat16 on TPU and GPU, float32 on CPU."""
  attention: AttentionForm = "plain"
  """How attention is computed; fused: by kernels for TPU that keep the scores on the chip. They are compiled for it and
  tested by an interpreter, slow elsewhere, and have not run on a TPU yet."""
  parallel: Literal["mesh", "pmap"] = "mesh"
  """How the devices share a batch; both give the same numbers, but for dropout's random bits."""
  shard_params: bool = False
  """Spread parameters and optimizer state over the devices too, to save memory (with --parallel mesh)."""
  log_every: int = 20
  """Steps between two rows of the log."""
  evaluate_every: int | None = None
  """Steps between measuring the losses on what is held out; by default a twentieth of the run, at most 5,000."""
  checkpoint_every: int | None = None
  """Steps between checkpoints; by default a twentieth of the run, at most 1,000."""
  seed: int = 0
  """Of initialisation, order of sequences and dropout, and of packing pairs and fractional weights."""
  debug: bool = False
  """Show the traceback of an error."""

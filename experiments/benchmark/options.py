"""The options of `python -m experiments.benchmark`."""

import dataclasses
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Options:
  """Measure alternatives in turns on this machine and print medians and ratios.

  Each option names the suites that read it.
  """

  suite: Literal["dropout", "task", "augment", "general", "inference", "deploy", "feeding", "memory", "lengths"] = (
    "dropout"
  )
  """What to measure. dropout: random generators and bits an element, against a feed-forward layer. task: task
  distillation against the original program's, in PyTorch. augment: data augmentation, likewise. general: a step of
  general distillation, likewise. These three are measured against the best PyTorch too. inference: a classifier's
  logits, against PyTorch and, where onnxruntime and onnx are installed, ONNX Runtime. deploy: teacher and student in
  PyTorch, JAX and ONNX Runtime on a CPU, as float32 and 8-bit integers, from token ids and from text. feeding: whether
  batches from a million rows arrive as fast as steps take them. memory: the most
  memory that each program takes, in a process of its own, on models and data made here. lengths: how long GLUE's texts
  are, and what padding them costs (nothing is timed)."""
  batch_size: int | None = None
  """(dropout, task, general, feeding, memory) Sequences in a batch. Default: 32; for general 8 on a CPU, else 256."""
  repeats: int | None = None
  """(dropout, task, augment, general, inference, deploy, feeding) Turns whose median counts. Default: 30 for dropout, 5
  for inference and deploy, else 3."""
  length: int | None = None
  """(dropout, general, memory) Tokens in a sequence. Default: 64 for dropout, else 128."""
  hidden_size: int = 384
  """(dropout) Width of the feed-forward layer that dropout is set against; inside, it is four times as wide."""
  lengths: str = "cola"
  """(task, augment) Lengths of the sentences, in tokens with [CLS] and [SEP]: those of cola, mrpc, rte or stsb, or a
  text file of whole numbers."""
  data: Path | None = None
  """(task, augment) Folder of GLUE's official files: --lengths is then any task there, whose training rows are
  counted, or augmented."""
  tokenizer: str = "bert-base-uncased"
  """(task, augment, deploy) Model directory or hub id of the tokenizer for --data, and of augment in any case. deploy
  takes a directory, and leaves texts out without one."""
  max_length: int | None = None
  """(task) Tokens that longer sentences are cut to, and that the original pads all of them to. Default: 64 for cola,
  else 128."""
  sequences: int = 1024
  """(task) Sentences in our epoch, of lengths evenly spaced in the sorted ones."""
  original_batches: int = 3
  """(task) Batches in the original's epoch. Fewer will do: padded to one length, they all take the same time."""
  sentences: int = 1000
  """(augment) Sentences that we augment."""
  original_sentences: int = 24
  """(augment) Sentences that the original augments; it takes them one by one."""
  steps: int | None = None
  """(general, feeding, memory) Steps in a turn, or of each stage. Default: 200 for feeding, 2 for memory; for general 2
  on a CPU, else 20."""
  dtype: Literal["auto", "float32", "bfloat16"] = "auto"
  """(general, task, augment, inference, feeding, memory) Type of the inputs of matrix products. auto: both for general
  and inference, where the fastest of each side counts; else ours is what the programs choose for this device, and the
  best PyTorch's the faster one. The original's is float32."""
  compile: bool = True
  """(general, task, augment, inference, deploy) Compile the best PyTorch by torch.compile."""
  profile: bool = False
  """(general, task) Profile some of our steps, and print where their time goes by part of the step and kind of work."""
  out: Path = Path("lengths.png")
  """(lengths) The picture to write."""
  model: tuple[str, ...] = ("bert-base", "tinybert-4l-312d")
  """(inference, deploy, memory) Shapes of models: presets, config.json files or directories that hold one. Weights are
  random. For deploy and memory, the teacher's first and the student's last."""
  shapes: tuple[str, ...] = ()
  """(inference, deploy) Batches: sequences x tokens in each. Default: 1x128 8x128 32x128; for deploy 1, 8 and 32
  sequences of 8, 32 and 128 tokens."""
  threads: tuple[int, ...] = (1, 2)
  """(deploy) Cores that each engine uses, in turns."""
  debug: bool = False
  """Show the traceback of an error."""

"""The options of `tinybert-jax export`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from tinybert_jax.choices import AS_FOUND, Reading
from tinybert_jax.settings import NOT_NEGATIVE


@dataclasses.dataclass(frozen=True)
class Options:
  """Write a finished model as ONNX, for ONNX Runtime, Hugging Face's tools and transformers.js.

  The folder onnx then holds model.onnx, in float32. Each file is run beside the model before it is kept.
  """

  model: str
  """Model directory or hub id: a classifier, a masked language model or an encoder."""
  int8: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
  """Write onnx/model_quantized.onnx too: weights of 8-bit integers, a quarter of the size. Several ways are measured on
  --calibrate; of those within --max-loss the smallest is kept."""
  fp16: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
  """Write onnx/model_fp16.onnx too: float16, half the size, for GPUs and browsers."""
  stablehlo: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
  """Write stablehlo/model.stablehlo too, which jax.export loads on CPU, GPU and TPU."""
  web: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
  """Write a page that runs a classifier in a browser, as 8-bit integers, to the new folder --out; nothing else."""
  out: Path | None = None
  """Folder to write into; it gets the tokenizer too. Default: the folder of --model."""
  calibrate: tuple[str, ...] = ()
  """Tables of texts that the integers are measured on, such as those of your dev data. With labels, the loss is that of
  the score; without, that of the agreement with the float32 model. Default: dev.jsonl of the run whose folder the model
  is in."""
  text: str | None = None
  """Column of the texts. Default: found by name or content."""
  pair: str | None = None
  """Column of second texts, where a row has two."""
  label: tuple[str, ...] = ()
  """Column of the label, or several columns of 0 and 1. Default: found by name."""
  reading: Annotated[Reading, tyro.conf.arg(name="")] = AS_FOUND
  max_loss: Annotated[float, NOT_NEGATIVE] = 0.5
  """Points, of 100, that the integers of --int8 and --web may lose."""
  debug: bool = False
  """Show the traceback of an error."""

"""A finished model as files for other programs: ONNX in float32, float16 and 8-bit integers, and StableHLO."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinybert_jax.choices import AS_FOUND, Reading
from tinybert_jax.errors import InputError
from tinybert_jax.export.encoder import onnx_model
from tinybert_jax.export.probe import Probe
from tinybert_jax.export.product_inputs import largest_inputs
from tinybert_jax.export.quantization import Quantization
from tinybert_jax.export.stablehlo import stablehlo as to_stablehlo
from tinybert_jax.models.directories import replace_files
from tinybert_jax.models.finished import Finished, load_finished
from tinybert_jax.models.pretrained import load_tokenizer, local_directory
from tinybert_jax.models.tokenizers import FILES
from tinybert_jax.pipeline import calibration, dev_file
from tinybert_jax.pipeline.calibration import Calibration
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.quantization import Chosen, choose
from tinybert_jax.settings import NOT_NEGATIVE, check_number
from tinybert_jax.training.hosts import say

# By folder, and named as Hugging Face's tools look for them.
WHOLE, HALF, INTEGERS = "onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx"
STABLEHLO = "stablehlo/model.stablehlo"
TRIED = "onnx/quantization.json"
_ALL = (WHOLE, HALF, INTEGERS, TRIED, STABLEHLO)
_BESIDE = ("config.json", "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", *FILES)


class Exported(NamedTuple):
  """What was written.

  Attributes:
    directory: that holds it.
    files: bytes of each file, by its path there.
    chosen: what became of the ways of writing 8-bit integers; None where there are none.
  """

  directory: Path
  files: dict[str, int]
  chosen: Chosen | None


def export_model(
  model: str | Path,
  out: str | Path | None = None,
  *,
  int8: bool = False,
  fp16: bool = False,
  stablehlo: bool = False,
  calibrate: str | Path | Sequence[str | Path] = (),
  text: str | None = None,
  pair: str | None = None,
  label: str | Sequence[str] = (),
  reading: Reading = AS_FOUND,
  max_loss: float = 0.5,
) -> Exported:
  """Writes a model as ONNX, `onnx/model.onnx`, with whatever else is asked for, and returns what was written.

  Each ONNX file is run beside the model before it is kept. Files of an earlier export are replaced, or removed where
  they are not made again. Nothing is changed until all is made.

  Args:
    model: directory or hub id of a classifier, a masked language model or an encoder.
    out: the directory to write into; by default the model's own. Another one gets configuration and tokenizer too.
    int8: write `onnx/model_quantized.onnx` as well: weights of 8-bit integers, in the smallest way that loses little.
    fp16: write `onnx/model_fp16.onnx` as well, in float16.
    stablehlo: write `stablehlo/model.stablehlo` as well, which `jax.export` loads.
    calibrate: tables of texts, best with labels, that tell what integers lose; by default the run's, where the model
      is in the folder of one.
    text: the column of the texts there; by default found.
    pair: the column of second texts.
    label: the column of the labels, or several of 0 and 1; by default found.
    reading: how text files are read.
    max_loss: points of the score, 0 to 100, that integers may lose; without labels, of the agreement.

  Raises:
    InputError: a model without weights or of an unknown family, tables of another task,
      integers that lose too much, numbers that float16 cannot hold, or an onnxruntime that cannot run the file.
    OSError: the disk is full, or cannot be written.
  """
  check_number("max_loss", max_loss, NOT_NEGATIVE)
  if calibrate and not int8:
    raise InputError("--calibrate measures what --int8 loses; give both")
  sources = measured_on(model, calibrate, text, pair, label, reading, "--int8") if int8 else None
  source = local_directory(model)
  directory = _directory(model, source, out)
  finished = load_finished(model)
  measured = None if sources is None else read_measured(model, finished, sources)
  files, chosen = make(model, finished, measured, max_loss, fp16=fp16, stablehlo=stablehlo)
  stale = [name for name in _ALL if (directory / name).is_file()]
  write(directory, files, None if directory.resolve() == source.resolve() else source, stale)
  return Exported(directory, {name: len(content) for name, content in files.items()}, chosen)


def measured_on(
  model: str | Path,
  calibrate: str | Path | Sequence[str | Path],
  text: str | None,
  pair: str | None,
  label: str | Sequence[str],
  reading: Reading,
  option: str,
) -> Sources:
  """Returns the tables that tell what integers lose: those given, or that of the run whose folder the model is in.

  Raises InputError, naming the option that needs them, where there are none. The others are as of `export_model`.
  """
  paths = [str(each) for each in ((calibrate,) if isinstance(calibrate, str | Path) else calibrate)]
  if not paths:
    if (found := dev_file.beside(model)) is None:
      raise InputError(
        f"{option} is kept only where it loses little: give --calibrate a file of texts, best with labels"
      )
    paths = [str(found)]
  labels = (label,) if isinstance(label, str) else tuple(label)
  return Sources(unlabelled=tuple(paths), text=text, pair=pair, label=labels, reading=reading)


def read_measured(model: str | Path, finished: Finished, sources: Sources) -> Calibration:
  """Returns the rows of the tables as the model reads them; errors as of `calibration.read`."""
  return calibration.read(sources, load_tokenizer(model), finished.loaded.config, finished.model_class, str(model))


def _directory(model: str | Path, source: Path, out: str | Path | None) -> Path:
  if out is not None:
    return Path(out)
  if not Path(model).is_dir():
    raise InputError(f"{model}: a model of the hub, whose files are not to be changed; give --out a directory")
  return source


def make(
  model: str | Path,
  finished: Finished,
  measured: Calibration | None,
  max_loss: float,
  *,
  fp16: bool = False,
  stablehlo: bool = False,
) -> tuple[dict[str, bytes], Chosen | None]:
  """Returns the content of each file by its path, and what became of the ways of writing 8-bit integers.

  `measured` is what these are measured on; None for no integers. The others and the errors are as of `export_model`.
  """
  try:
    return _make(finished, measured, max_loss, fp16=fp16, stablehlo=stablehlo)
  except InputError as error:
    raise InputError(f"{model}: {error}") from error


def _make(
  finished: Finished, measured: Calibration | None, max_loss: float, *, fp16: bool, stablehlo: bool
) -> tuple[dict[str, bytes], Chosen | None]:
  config, params = finished.loaded.config, finished.loaded.params
  model = finished.model_class(config)

  def content(dtype: type[np.floating] = np.float32, quantization: Quantization | None = None) -> bytes:
    made = onnx_model(config, params, finished.model_class, dtype=dtype, quantization=quantization)
    return made.SerializeToString()

  probe = Probe(model, params)
  files, chosen = {WHOLE: content()}, None
  probe.check_whole(files[WHOLE])
  if fp16:
    files[HALF] = content(np.float16)
    probe.check_half(files[HALF])
  if measured is not None:
    for note in measured.notes:
      say(note)
    inputs = largest_inputs(config, params, finished.model_class, measured.some_batches())
    chosen = choose(lambda how: content(quantization=how), files[WHOLE], measured, inputs, max_loss, say)
    files |= {INTEGERS: chosen.model, TRIED: _as_json(chosen, measured)}
  if stablehlo:
    files[STABLEHLO] = to_stablehlo(model, params)
  return files, chosen


def _as_json(chosen: Chosen, measured: Calibration) -> bytes:
  tried = [dataclasses.asdict(one) for one in chosen.tried]
  return (json.dumps({"kept": chosen.kept.name, "rows": len(measured.rows), "tried": tried}, indent=2) + "\n").encode()


def write(directory: Path, files: Mapping[str, bytes], source: Path | None, stale: Sequence[str]) -> None:
  """Writes the files of an export, and removes those of one before; nothing is changed until all is written.

  Args:
    directory: where to.
    files: by path.
    source: the model's directory, where its configuration and tokenizer are to be copied as well.
    stale: paths of the files of an export before.
  """
  copied = [] if source is None else _small_files(source)
  with contextlib.ExitStack() as stack:
    folders = dict.fromkeys(str(Path(name).parent) for name in (*copied, *files, *stale))
    # All is written beside its place before anything is moved: the blocks end together.
    places = {
      folder: stack.enter_context(
        replace_files(directory / folder, [Path(name).name for name in stale if str(Path(name).parent) == folder])
      )
      for folder in folders
    }
    for name, content in files.items():
      (places[str(Path(name).parent)] / Path(name).name).write_bytes(content)
    for name in copied:
      assert source is not None
      shutil.copy(source / name, places[str(Path(name).parent)])


def _small_files(source: Path) -> list[str]:
  """Returns the files of a model's directory that other programs read beside its weights."""
  # Of sentence-transformers: pooling and what else comes after the encoder.
  found = [*(source / file for file in _BESIDE), *source.glob("[0-9]_*/*")]
  return [str(path.relative_to(source)) for path in found if path.is_file()]

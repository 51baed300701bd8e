"""A classifier's logits for batches of full sequences: ours, PyTorch's and ONNX Runtime's."""

import functools
import importlib.util
import io
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.options import Options
from experiments.benchmark.turns import DTYPES, OURS, Stages, Turns, cores, run_turns, torch_device, wait
from tinybert_jax.cli import command_line
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, config_to_dict, load_config
from tinybert_jax.models.encoder import SequenceClassifier, initialize, rounded_once
from tinybert_jax.training.evaluate import logits

PYTORCH, ONNX = "PyTorch", "ONNX Runtime"
TURN_SECONDS = 0.3
_SHAPES = ("1x128", "8x128", "32x128")
_MODULES = ("onnxruntime", "onnx")


class Shape(NamedTuple):
  """Of a batch: sequences and tokens in each."""

  batch_size: int
  length: int

  def __str__(self) -> str:
    return f"{self.batch_size} x {self.length}"


def measure(options: Options) -> dict[tuple[str, Shape], dict[str, float]]:
  """Prints and returns how many times as long as ours each of the other sides takes, by model and shape of a batch.

  All sides have random weights of the same shape, on which times do not depend, and all tokens are unmasked, by a mask.
  Ours is what `evaluate.predict` calls for each batch, from memory of the host to logits that are there.
  """
  device, shapes = torch_device("inference"), [parse(text) for text in options.shapes or _SHAPES]
  dtypes = DTYPES if options.dtype == "auto" else (options.dtype,)
  missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
  if missing:
    print(f"{ONNX} is left out: {' and '.join(missing)} not installed")
  ratios = {}
  for name in options.model:
    config = load_config(name)
    check_positions({name: config}, shapes)
    others: dict[str, Callable[[], Stages]] = {
      PYTORCH: functools.partial(_pytorch, config, shapes, dtypes, device, options.compile)
    }
    if not missing:
      others[ONNX] = functools.partial(_onnx, config, shapes)
    load = os.getloadavg()[0]
    turns = run_turns(ours(config, shapes, dtypes), others, options.repeats or 5)
    print(
      f"Logits of {name}, {config.num_hidden_layers} layers × {config.hidden_size}: {jax.devices()[0].device_kind}, "
      f"{cores()} cores; PyTorch on {device}, {ONNX} on the CPU; {options.repeats or 5} turns of {TURN_SECONDS} s or "
      f"more; load {load:.1f} before"
    )
    ratios |= {(name, shape): _print_times(turns, shape) for shape in shapes}
    turns.print_memory()
  return ratios


def check_positions(models: Mapping[str, EncoderConfig], shapes: Sequence[Shape]) -> None:
  """Raises InputError where a model has fewer positions than a batch has tokens."""
  longest = max(shape.length for shape in shapes)
  for name, config in models.items():
    if longest > config.max_position_embeddings:
      raise InputError(f"--shapes: the model {name} has {config.max_position_embeddings} positions, not {longest}")


def _print_times(turns: Turns, shape: Shape) -> dict[str, float]:
  """Prints the times of each form with batches of a shape, and returns the fastest of each side set to our fastest."""
  print(f"{f'ms a batch of {shape}':52}{'median':>10}{'least':>10}{'of ours':>10}")
  medians: dict[str, dict[str, float]] = {}
  for side, forms in turns.sequences.items():
    for stage, number in forms.items():
      text, _, form = stage.partition("; ")
      if text == str(shape):
        times = 1e3 * np.asarray(turns.seconds[side][stage]) * shape.batch_size / number
        medians.setdefault(side, {})[form] = float(np.median(times))
        same = medians[OURS].get(form.split(",")[0], np.nan)  # ours in the same dtype
        print(f"{f'{side}, {form}':52}{np.median(times):10.2f}{times.min():10.2f}{np.median(times) / same:9.2f}x")
  fastest = {side: min(forms.values()) for side, forms in medians.items()}
  return {side: value / fastest[OURS] for side, value in fastest.items() if side != OURS}


def parse(text: str) -> Shape:
  if not (found := re.fullmatch(r"(\d+)x(\d+)", text)) or "0" in (found[1], found[2]):
    raise InputError(f"--shapes {text}: sequences and tokens are needed, such as 8x128")
  return Shape(int(found[1]), int(found[2]))


def timed(run: Callable[[], object], shape: Shape) -> tuple[Callable[[], None], int]:
  """Returns a turn of as many calls as take a while, and the sequences in it; the first call only warms up."""
  for _ in range(3):
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
  calls = max(1, round(TURN_SECONDS / seconds))

  def turn() -> None:
    for _ in range(calls):
      run()

  return turn, calls * shape.batch_size


def token_ids(config: EncoderConfig, shapes: Sequence[Shape]) -> Iterator[tuple[Shape, np.ndarray]]:
  rng = np.random.default_rng(0)
  for shape in shapes:
    yield shape, rng.integers(1, config.vocab_size, shape, np.int32)


def ours(config: EncoderConfig, shapes: Sequence[Shape], dtypes: Sequence[str]) -> Stages:
  stages = {}
  for dtype in dtypes:
    model = SequenceClassifier(config, jnp.dtype(dtype))
    params = jax.device_put(rounded_once(model, initialize(model, jax.random.key(0))))
    for shape, ids in token_ids(config, shapes):
      batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}

      def run(model: Any = model, params: Any = params, batch: Any = batch) -> None:
        np.asarray(logits(model, params, batch, first_token=True))

      stages[f"{shape}; {dtype}"] = timed(run, shape)
  return stages


def transformer(config: EncoderConfig) -> Any:
  import transformers

  settings = {key: value for key, value in config_to_dict(config).items() if key != "model_type"}
  return transformers.BertForSequenceClassification(transformers.BertConfig(**settings)).eval()


def _pytorch(
  config: EncoderConfig, shapes: Sequence[Shape], dtypes: Sequence[str], device: str, compiled: bool
) -> Stages:
  """Returns the times of transformers' classifier, eager, and of the best PyTorch's, eager and compiled."""
  import torch

  from experiments.benchmark import best_torch
  from experiments.benchmark.best_torch.training import compile_or_not

  command_line.keep_freed_memory()
  examples = []
  for shape, ids in token_ids(config, shapes):
    examples.append((shape, torch.from_numpy(ids).long().to(device)))
  stages: dict[str, tuple[Callable[[], None], int]] = {}

  def add(form: str, call: Callable[..., Any], has_mask_of: "torch.dtype") -> None:
    for shape, ids in examples:
      mask = torch.ones_like(ids).to(has_mask_of)

      def run(ids: Any = ids, mask: Any = mask) -> None:
        with torch.inference_mode():
          call(ids, mask)
        wait(device)

      stages[f"{shape}; {form}"] = timed(run, shape)

  for dtype in dtypes:
    kind = getattr(torch, dtype)
    add(f"{dtype}, transformers, eager", transformer(config).to(device, kind), torch.long)
    best = best_torch.Classifier(config).to(device, kind).eval()
    add(f"{dtype}, best, eager", best, torch.bool)
    if compiled:
      with torch.inference_mode():
        arguments = [(ids, torch.ones_like(ids).bool()) for _, ids in examples]
        fast, how = compile_or_not(best, arguments, compiled=True, backward=False)
      add(f"{dtype}, best, {how}", fast, torch.bool)
  return stages


def _onnx(config: EncoderConfig, shapes: Sequence[Shape]) -> Stages:
  """Returns the times of transformers' classifier, exported by PyTorch, in float32."""
  import onnxruntime

  settings = onnxruntime.SessionOptions()
  settings.intra_op_num_threads = cores()
  session = onnxruntime.InferenceSession(exported(config), settings, providers=["CPUExecutionProvider"])
  stages = {}
  for shape, array in token_ids(config, shapes):
    batch = {"input_ids": array.astype(np.int64), "attention_mask": np.ones(shape, np.int64)}
    stages[f"{shape}; float32"] = timed(functools.partial(session.run, None, batch), shape)
  return stages


def exported(config: EncoderConfig) -> bytes:
  """Returns what PyTorch's own exporter makes of transformers' classifier, with axes of any size."""
  import torch

  file, ids = io.BytesIO(), torch.ones(2, 8, dtype=torch.long)
  names = ["input_ids", "attention_mask"]
  with warnings.catch_warnings(action="ignore"):  # of an exporter that there is a newer one for
    torch.onnx.export(
      transformer(config),
      (ids, torch.ones_like(ids)),
      file,
      input_names=names,
      output_names=["logits"],
      dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
      dynamo=False,  # the newer one needs one more package
    )
  return file.getvalue()

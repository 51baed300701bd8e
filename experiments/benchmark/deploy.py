"""Teacher and student where they are deployed: PyTorch, JAX and ONNX Runtime, by batch, engine and threads."""

import functools
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmark import inference
from experiments.benchmark.inference import Shape
from experiments.benchmark.options import Options
from experiments.benchmark.turns import DTYPES, Stages, Turns, cores, run_turns, torch_device
from tinybert_jax.cli import command_line
from tinybert_jax.errors import InputError
from tinybert_jax.export.encoder import onnx_model
from tinybert_jax.export.quantization import Quantization
from tinybert_jax.models.config import EncoderConfig, load_config
from tinybert_jax.models.encoder import SequenceClassifier, parameter_shapes
from tinybert_jax.models.pretrained import load_tokenizer

PYTORCH, JAX, ONNX, THEIRS = "PyTorch", "JAX", "ONNX Runtime", "PyTorch's ONNX export"
WHOLE, INTEGERS, FROM_TEXT, TOKENIZER = "float32", "int8", "int8 from text", "tokenizer alone"
_NEEDED = ("onnx", "onnxruntime")
_SHAPES = tuple(f"{rows}x{length}" for length in (8, 32, 128) for rows in (1, 8, 32))


class Row(NamedTuple):
  """What a time is of: a model, the shape of its batch, the engine with its threads, and the form of it."""

  model: str
  shape: Shape
  engine: str
  threads: int
  form: str


def measure(options: Options) -> dict[Row, float]:
  """Prints and returns the median milliseconds of each batch.

  Every engine runs in a process of its own for each number of threads, on as many cores, with random weights, on which
  times do not depend. Turns alternate between all of them.
  """
  if torch_device("deploy") != "cpu":
    raise InputError("--suite deploy measures CPUs; set JAX_PLATFORMS=cpu")
  if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
    raise InputError(f"--suite deploy needs {' and '.join(missing)}; run: pip install onnx onnxruntime")
  shapes = [inference.parse(text) for text in options.shapes or _SHAPES]
  models = {name: load_config(name) for name in options.model}
  inference.check_positions(models, shapes)
  if wrong := [threads for threads in options.threads if not 1 <= threads <= cores()]:
    raise InputError(f"--threads {wrong[0]}: it must be from 1 to {cores()}, the cores of this process")
  sides: dict[str, Callable[..., Stages]] = {
    PYTORCH: functools.partial(_pytorch, compiled=options.compile),
    JAX: _jax,
    ONNX: functools.partial(_onnx, tokenizer=_tokenizer(options)),
    THEIRS: _theirs,
  }
  others = {
    f"{side}; {threads}": functools.partial(_on_cores, make, models, shapes, threads)
    for threads in options.threads
    for side, make in sides.items()
  }
  repeats, load = options.repeats or 5, os.getloadavg()[0]
  turns = run_turns({}, others, repeats)
  print(
    f"{_processor()}, {cores()} cores; {repeats} turns of {inference.TURN_SECONDS} s or more; load {load:.1f} before"
  )
  medians = _medians(turns)
  for shape in shapes:
    _print_shape(medians, shape, options.threads)
  _print_ratios(medians, options.model[0], options.model[-1])
  return medians


def _tokenizer(options: Options) -> str | None:
  """Returns the directory of a tokenizer; None where none is here, as a hub id need not be."""
  return options.tokenizer if os.path.isdir(options.tokenizer) else None


def _medians(turns: Turns) -> dict[Row, float]:
  medians = {}
  for side, stages in turns.sequences.items():
    engine, _, threads = side.partition("; ")
    for stage, number in stages.items():
      model, shape, form = stage.split("; ")
      batch = inference.parse(shape.replace(" ", ""))
      milliseconds = 1e3 * np.median(turns.seconds[side][stage]) * batch.batch_size / number
      medians[Row(model, batch, engine, int(threads), form)] = float(milliseconds)
  return medians


def _print_shape(medians: Mapping[Row, float], shape: Shape, threads: Sequence[int]) -> None:
  rows = [row for row in medians if row.shape == shape]
  print(f"\n{f'ms a batch of {shape}':54}" + "".join(f"{f'{number} threads':>12}" for number in threads))
  for model, engine, form in dict.fromkeys((row.model, row.engine, row.form) for row in rows):
    times = [medians[Row(model, shape, engine, number, form)] for number in threads]
    print(f"{f'{os.path.basename(model)}: {engine}, {form}':54}" + "".join(f"{time:12.3f}" for time in times))


def _print_ratios(medians: Mapping[Row, float], teacher: str, student: str) -> None:
  """Prints how many times faster the student's integers are, and the tokenizer's share of an answer from text."""
  print()
  for row, time in medians.items():
    if (row.model, row.form) == (student, INTEGERS):
      others = [(model, engine) for model in dict.fromkeys((teacher, student)) for engine in (PYTORCH, ONNX, THEIRS)]
      ratios = [
        f"{_fastest(medians, row, model, engine) / time:.1f} x {os.path.basename(model)} in {engine}"
        for model, engine in others
      ]
      print(f"{row.shape}, {row.threads} threads: {os.path.basename(student)} as int8 takes 1, {', '.join(ratios)}")
      if alone := medians.get(row._replace(form=TOKENIZER)):
        whole = medians[row._replace(form=FROM_TEXT)]
        print(f"{'':12}from text {whole:.3f} ms, of which the tokenizer takes {alone / whole:.0%}")


def _fastest(medians: Mapping[Row, float], like: Row, model: str, engine: str) -> float:
  """Returns the shortest time of a model in an engine, in float32, for the same batch on as many cores."""
  return min(
    time
    for row, time in medians.items()
    if row[:4] == (model, like.shape, engine, like.threads) and row.form.startswith(WHOLE)
  )


def _processor() -> str:
  try:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
      return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
  except (OSError, StopIteration):
    return jax.devices()[0].device_kind


def _on_cores(
  make: Callable[..., Stages], models: Mapping[str, EncoderConfig], shapes: Sequence[Shape], threads: int
) -> Stages:
  """Returns the stages of an engine, in whose process it uses so many cores."""
  if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
  command_line.keep_freed_memory()
  return {
    f"{name}; {stage}": run
    for name, config in models.items()
    for stage, run in make(config, shapes, threads=threads).items()
  }


def _pytorch(config: EncoderConfig, shapes: Sequence[Shape], *, threads: int, compiled: bool) -> Stages:
  """Returns the times of transformers' classifier, whose attention is PyTorch's, eager and compiled."""
  import torch

  from experiments.benchmark.best_torch.training import compile_or_not

  torch.set_num_threads(threads)
  model = inference.transformer(config)
  examples = [(shape, torch.from_numpy(ids).long()) for shape, ids in inference.token_ids(config, shapes)]

  def logits(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    return model(input_ids=ids, attention_mask=mask).logits

  stages = {}
  with torch.inference_mode():
    fast, how = compile_or_not(
      logits, [(ids, torch.ones_like(ids)) for _, ids in examples], compiled=compiled, backward=False
    )
  for form, call in {"eager": logits, how: fast}.items():
    for shape, ids in examples:

      def run(call: Any = call, ids: Any = ids) -> None:
        with torch.inference_mode():
          call(ids, torch.ones_like(ids))

      stages[f"{shape}; {WHOLE}, {form}"] = inference.timed(run, shape)
  return stages


def _jax(config: EncoderConfig, shapes: Sequence[Shape], *, threads: int) -> Stages:
  return inference.ours(config, shapes, DTYPES)


def _onnx(config: EncoderConfig, shapes: Sequence[Shape], *, threads: int, tokenizer: str | None) -> Stages:
  """Returns the times of our ONNX files from token ids, and of integers from text where there is a tokenizer."""
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: rng.normal(0, 0.05, leaf.shape).astype(np.float32), parameter_shapes(SequenceClassifier(config))
  )
  stages = {}
  for form, quantization in ((WHOLE, None), (INTEGERS, Quantization())):
    model = onnx_model(config, params, SequenceClassifier, quantization=quantization).SerializeToString()
    stages |= _session_stages(model, config, shapes, threads, form)
  if tokenizer:
    stages |= _text_stages(model, config, tokenizer, shapes, threads)
  return stages


def _session_stages(
  model: bytes, config: EncoderConfig, shapes: Sequence[Shape], threads: int, form: str
) -> dict[str, Any]:
  session, stages = _session(model, threads), {}
  for shape, ids in inference.token_ids(config, shapes):
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    batch = {each.name: given[each.name].astype(np.int64) for each in session.get_inputs()}
    stages[f"{shape}; {form}"] = inference.timed(functools.partial(session.run, None, batch), shape)
  return stages


def _text_stages(
  model: bytes, config: EncoderConfig, tokenizer: str, shapes: Sequence[Shape], threads: int
) -> dict[str, Any]:
  """Returns the times of the tokenizer alone, and of texts to answers; words are whole tokens of the vocabulary."""
  os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
  reader, session, stages = load_tokenizer(tokenizer), _session(model, threads), {}
  known = [word for word, number in sorted(reader.get_vocab().items()) if number < config.vocab_size]
  words = [word for word in known if word.isascii() and word.isalpha() and word.islower()]
  rng = np.random.default_rng(0)
  for shape in shapes:
    texts = [" ".join(rng.choice(words, shape.length - 2)) for _ in range(shape.batch_size)]

    def read(texts: list[str] = texts, length: int = shape.length) -> dict[str, np.ndarray]:
      return dict(reader(texts, padding=True, truncation=True, max_length=length, return_tensors="np"))

    def answer(read: Any = read) -> None:
      batch = read()
      session.run(None, {each.name: batch[each.name] for each in session.get_inputs()})

    stages[f"{shape}; {TOKENIZER}"] = inference.timed(read, shape)
    stages[f"{shape}; {FROM_TEXT}"] = inference.timed(answer, shape)
  return stages


def _session(model: bytes, threads: int) -> Any:
  import onnxruntime

  settings = onnxruntime.SessionOptions()
  settings.intra_op_num_threads = threads
  return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def _theirs(config: EncoderConfig, shapes: Sequence[Shape], *, threads: int) -> Stages:
  """Returns the times of what PyTorch's own exporter makes of transformers' classifier."""
  return _session_stages(inference.exported(config), config, shapes, threads, WHOLE)

"""Task distillation against the original program and the best PyTorch: both stages, on sentences of real lengths."""

import collections
import functools
import itertools
import os
from collections.abc import Mapping, Sequence

import datasets
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from experiments.benchmark.options import Options
from experiments.benchmark.roofline import classifier_flops, matmul_rate, step_flops
from experiments.benchmark.step_program import StepProgram
from experiments.benchmark.turns import BEST, DTYPES, ORIGINAL, OURS, Stages, cores, run_turns, torch_device, wait
from experiments.lengths import in_buckets, read_lengths
from tinybert_jax.cli import command_line
from tinybert_jax.data.batches import (
  BatchSource,
  NumpyBatch,
  bucket_lengths,
  pad_batch,
  row_length,
  with_teacher_targets,
)
from tinybert_jax.distillation.layer_map import layer_map
from tinybert_jax.distillation.objectives import (
  initialize_projections,
  intermediate_distillation,
  prediction_distillation,
)
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS, EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize, rounded_once
from tinybert_jax.training import precision
from tinybert_jax.training.evaluate import predict

PREDICTION_EPOCHS = 3
_PROFILED = 8  # steps
STAGES = INTERMEDIATE, PREDICTION = "intermediate, one epoch", f"prediction, {PREDICTION_EPOCHS} epochs"


def measure(
  options: Options, teacher: EncoderConfig = PRESETS["bert-base"], student: EncoderConfig = PRESETS["tinybert-4l-312d"]
) -> dict[str, dict[str, float]]:
  """Prints and returns, by stage, how many times as many sequences a second we train on as each of the PyTorch sides.

  All sides train the same shapes from random weights and load their data as they would in a run. No
  side's first batch of a shape is timed: it is compiled there, which a run does once for each length.
  """
  device, chosen = torch_device("task"), precision.choose(options.dtype)
  dtypes = DTYPES if options.dtype == "auto" else (options.dtype,)
  batch_size, repeats = options.batch_size or 32, options.repeats or 3
  name, all_lengths, max_length = read_lengths(options.lengths, options.max_length, options.data, options.tokenizer)
  if max_length > teacher.longest:
    raise InputError(f"--max-length {max_length}: the models have {teacher.longest} positions")
  all_lengths = np.minimum(all_lengths, max_length)
  buckets = bucket_lengths(all_lengths)
  rng = np.random.default_rng(0)
  # Evenly spaced quantiles: a sample of the same mean, where random draws would be off by a few percent.
  sample = rng.permutation(
    np.quantile(all_lengths, (np.arange(options.sequences) + 0.5) / options.sequences, method="nearest")
  )
  rows = datasets.Dataset.from_dict({"input_ids": [rng.integers(1, teacher.vocab_size, n).tolist() for n in sample]})
  original_rows = [rows[i % len(rows)]["input_ids"] for i in range(options.original_batches * batch_size)]
  load = os.getloadavg()[0]
  batches = BatchSource(rows, batch_size=batch_size, lengths=buckets)
  padded = np.mean([batch["input_ids"].shape[1] for batch in batches])
  full = in_buckets(all_lengths, buckets).mean()
  print(
    f"Task distillation, {name}: {len(all_lengths)} lengths of mean {all_lengths.mean():.1f}, cut at {max_length}\n"
    f"ours: {len(rows)} of them, mean {sample.mean():.1f}; padded to {', '.join(map(str, buckets))}, mean {padded:.1f} "
    f"({full:.1f} if each had a full batch of its own length)\n"
    f"original: {len(original_rows)} of them, padded to {max_length}\n"
    f"{jax.devices()[0].device_kind}, {cores()} cores, {chosen}; PyTorch on "
    f"{device}; batches of {batch_size}, "
    f"medians of {repeats} turns; load {load:.1f} before (other work slows the original down more)\n"
    "Compilation is left out: a run compiles once."
  )
  peak = matmul_rate(chosen.dtype, 2048) if options.profile else None
  best = functools.partial(_best, rows, buckets, batch_size, teacher, student, dtypes, device, options.compile)
  original = functools.partial(_original, original_rows, max_length, batch_size, teacher, student, device)
  ours = OurStages(rows, buckets, batch_size, teacher, student, chosen.dtype)
  turns = run_turns(ours.stages(), {ORIGINAL: original, BEST: best}, repeats)
  ratios = _print_rates(turns.median_rates())
  turns.print_memory()
  for stage, program in ours.programs.items():
    print(f"Ours, {stage}: {program.memory(buckets[-1])} at {buckets[-1]} tokens, by the compiler")
  if peak is not None:
    ours.print_shares(peak)
  return ratios


def _print_rates(rates: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
  """Prints the rates of each side's forms, and returns how many times the others' fastest ours is, by stage."""
  print(f"{'sequences a second':72}{'rate':>8}{'ours is':>9}")
  ratios: dict[str, dict[str, float]] = {}
  for stage in STAGES:
    of_stage = {
      name: {form.partition("; ")[2]: rate for form, rate in forms.items() if form.startswith(stage)}
      for name, forms in rates.items()
    }
    fastest = {name: max(forms.values()) for name, forms in of_stage.items()}
    ratios[stage] = {name: fastest[OURS] / rate for name, rate in fastest.items() if name != OURS}
    for name, forms in of_stage.items():
      for form, rate in forms.items():
        print(f"{f'{stage}: {name}, {form}':72}{rate:8.1f}{fastest[OURS] / rate:8.2f}x")
  return ratios


class OurStages:
  """Both stages as our programs run them, warmed up."""

  def __init__(
    self,
    rows: datasets.Dataset,
    buckets: tuple[int, ...],
    batch_size: int,
    teacher: EncoderConfig,
    student: EncoderConfig,
    dtype: DTypeLike,
  ):
    self._rows, self._dtype, self._shapes = rows, jnp.dtype(dtype).name, (teacher, student)
    self._source = functools.partial(BatchSource, batch_size=batch_size, lengths=buckets)
    self._teacher = SequenceClassifier(teacher, dtype, name="teacher")
    model = SequenceClassifier(student, dtype, name="student")  # names that a profile tells the models by
    params, frozen = initialize(model, jax.random.key(1)), initialize(self._teacher, jax.random.key(0))
    self._teacher_params = jax.device_put(rounded_once(self._teacher, frozen))
    layers = layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
    projections = initialize_projections(student, teacher, jax.random.key(2))

    def shortest(rows: datasets.Dataset) -> list[NumpyBatch]:
      row = rows[[int(np.argmin(row_length(rows)))]]
      return [pad_batch(row, length, batch_size) for length in buckets]

    intermediate = intermediate_distillation(model, self._teacher, layers)
    self.programs = {
      INTERMEDIATE: StepProgram(
        params | {"projections": projections}, self._teacher_params, intermediate, shortest(rows)
      ),
      PREDICTION: StepProgram(params, {}, prediction_distillation(model), shortest(self._with_logits())),
    }

  def stages(self) -> Stages:
    first, second = self.programs.values()
    number = len(self._rows)
    return {
      f"{INTERMEDIATE}; {self._dtype}": (lambda: first.train(self._source(self._rows)), number),
      f"{PREDICTION}; {self._dtype}": (
        lambda: second.train(self._source(self._with_logits(), epochs=PREDICTION_EPOCHS)),
        PREDICTION_EPOCHS * number,
      ),
    }

  def print_shares(self, peak: float) -> None:
    """Prints where the time of both stages' steps goes, at the length that most batches have."""
    teacher, student = self._shapes
    for stage, rows in ((INTERMEDIATE, self._rows), (PREDICTION, self._with_logits())):
      source = self._source(rows)
      batches = [source[step] for step in range(len(source))]
      size, length = collections.Counter(batch["input_ids"].shape for batch in batches).most_common(1)[0][0]
      chosen = [batch for batch in batches if batch["input_ids"].shape[1] == length][:_PROFILED]
      flops = (
        step_flops(teacher, student, size, length)
        if stage == INTERMEDIATE
        else 3 * classifier_flops(student, size, length)
      )
      print(f"Ours, {stage}, batches of {size} × {length}:")
      self.programs[stage].print_shares(chosen, lambda source=source: jax.device_put(source[0]), flops, peak)

  def _with_logits(self) -> datasets.Dataset:
    return with_teacher_targets(self._rows, predict(self._teacher, self._teacher_params, self._rows))


def _best(
  rows: datasets.Dataset,
  buckets: tuple[int, ...],
  batch_size: int,
  teacher: EncoderConfig,
  student: EncoderConfig,
  dtypes: Sequence[str],
  device: str,
  compiled: bool,
) -> Stages:
  """Returns both stages of the best PyTorch, by the forms that they run in."""
  from experiments.benchmark.best_torch.task_stages import make_stages

  command_line.keep_freed_memory()  # as for ours; the original has what PyTorch has by default
  return make_stages(rows, buckets, batch_size, teacher, student, dtypes, device, compiled, STAGES, PREDICTION_EPOCHS)


def _original(
  sequences: Sequence[Sequence[int]],
  max_length: int,
  batch_size: int,
  teacher: EncoderConfig,
  student: EncoderConfig,
  device: str,
) -> Stages:
  """Returns both stages of the original program; one epoch each, as all of its epochs take the same time."""
  from experiments import original

  teacher_model = original.Classifier(teacher, teacher.hidden_size).to(device)
  batches = original.data_loader(sequences, batch_size, max_length)
  stages = {}
  for stage, loss_fn in ((INTERMEDIATE, original.intermediate_loss), (PREDICTION, original.prediction_loss)):
    student_model = original.Classifier(student, teacher.hidden_size).to(device)
    optimizer = original.BertAdam(student_model, 5e-5, 1000)
    train = functools.partial(original.train, student_model, teacher_model, loss_fn, optimizer)
    train(itertools.islice(batches, 1))
    stages[f"{stage}; float32, eager"] = (lambda train=train: [train(batches), wait(device)], len(sequences))
  return stages

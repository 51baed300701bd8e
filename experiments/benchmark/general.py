"""A step of general distillation against the original program's, the best PyTorch's and the device's limit."""

import functools
import importlib.metadata
import itertools
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from experiments.benchmark.options import Options
from experiments.benchmark.roofline import matmul_rate, step_flops
from experiments.benchmark.step_program import StepProgram
from experiments.benchmark.turns import BEST, DTYPES, ORIGINAL, OURS, Stages, cores, run_turns, torch_device, wait
from tinybert_jax.cli import command_line
from tinybert_jax.data.batches import NumpyBatch, pad_batch
from tinybert_jax.distillation.layer_map import layer_map
from tinybert_jax.distillation.objectives import initialize_projections, intermediate_distillation
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS, EncoderConfig
from tinybert_jax.models.encoder import Encoder, initialize, rounded_once

Ids = Int[np.ndarray, "S B L"]  # S steps of B sequences of L tokens


def measure(
  options: Options, teacher: EncoderConfig = PRESETS["bert-base"], student: EncoderConfig = PRESETS["tinybert-4l-312d"]
) -> dict[str, float]:
  """Prints and returns how many times as many sequences a second we train on as each of the PyTorch sides.

  All three take the same random ids in full sequences, as packed text is, from random weights of the same shapes, with
  the student's dropout. Ours is the update of a run, masks and weights of examples included. Compilation is not timed.
  """
  device = torch_device("general")
  on_cpu = jax.default_backend() == "cpu"
  batch_size, length = options.batch_size or (8 if on_cpu else 256), options.length or 128
  number, repeats = options.steps or (2 if on_cpu else 20), options.repeats or 3
  dtypes = DTYPES if options.dtype == "auto" else (options.dtype,)
  if length > teacher.longest:
    raise InputError(f"--length {length}: the models have {teacher.longest} positions")
  load = os.getloadavg()[0]
  ids = np.random.default_rng(0).integers(1, teacher.vocab_size, (number, batch_size, length), np.int32)
  others = {
    ORIGINAL: functools.partial(_original, ids, teacher, student, device),
    BEST: functools.partial(_best, ids, teacher, student, dtypes, device, options.compile),
  }
  size = max(8, min(2048 if on_cpu else 8192, 32 * teacher.hidden_size))  # small for a small model, as in a test
  before = {dtype: matmul_rate(jnp.dtype(dtype), size) for dtype in dtypes}
  programs = {dtype: _ours(ids, teacher, student, dtype) for dtype in dtypes}
  batches = [_full(part) for part in ids]
  ours = {
    dtype: (functools.partial(program.train, batches), number * batch_size) for dtype, program in programs.items()
  }
  turns = run_turns(ours, others, repeats)
  rates = turns.median_rates()
  # Other work may be there before or after, and hide it.
  peaks = {dtype: max(before[dtype], matmul_rate(jnp.dtype(dtype), size)) for dtype in dtypes}
  peak = max(peaks.values())
  measured = ", ".join(f"{dtype} {rate / 1e9:.4g}" for dtype, rate in peaks.items())
  flops = step_flops(teacher, student, batch_size, length)
  print(
    f"General distillation, {_shape(teacher)} to {_shape(student)}, batches of {batch_size} × {length}\n"
    f"{jax.devices()[0].device_kind}, {cores()} cores; PyTorch {importlib.metadata.version('torch')} on "
    f"{device}; medians of {repeats} turns of {number} steps; load {load:.1f} before\n"
    f"A step has {flops / 1e9:.4g} GFLOP of matrix products. GFLOP/s of a product of {size} × {size} with a float32 "
    f"result: {measured}; the highest is the roofline.\n"
    f"{'':44}{'sequences/s':>12}{'ms a step':>11}{'of roofline':>13}{'ours is':>9}"
  )
  ratios = {}
  our_rate = max(rates[OURS].values())  # each side's fastest form is compared
  for name, by_form in rates.items():
    ratios[name] = our_rate / max(by_form.values())
    for form, rate in by_form.items():
      share = rate / batch_size * flops / peak
      print(f"{f'{name}, {form}':44}{rate:12.4g}{1e3 * batch_size / rate:11.1f}{share:13.1%}{our_rate / rate:8.2f}x")
  del ratios[OURS]
  turns.print_memory()
  for dtype, program in programs.items():
    print(f"Ours in {dtype}: {program.memory(length)}, by the compiler")
  if options.profile:
    for dtype, program in programs.items():
      print(f"Ours in {dtype}:")
      program.print_shares(batches, lambda: jax.device_put(_full(ids[0])), flops, peaks[dtype])
  return ratios


def _ours(ids: Ids, teacher: EncoderConfig, student: EncoderConfig, dtype: str) -> StepProgram:
  """Returns our step; the models' names are what a profile tells them by."""
  model = Encoder(student, jnp.dtype(dtype), name="student")
  teacher_model = Encoder(teacher, jnp.dtype(dtype), name="teacher")
  return StepProgram(
    {
      **initialize(model, jax.random.key(1)),
      "projections": initialize_projections(student, teacher, jax.random.key(2)),
    },
    rounded_once(teacher_model, initialize(teacher_model, jax.random.key(0))),
    intermediate_distillation(
      model, teacher_model, layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
    ),
    [_full(ids[0])],
  )


def _full(ids: Int[np.ndarray, "B L"]) -> NumpyBatch:
  return pad_batch({"input_ids": ids}, *ids.shape[::-1])


def _original(ids: Ids, teacher: EncoderConfig, student: EncoderConfig, device: str) -> Stages:
  from experiments import original

  teacher_model = original.Classifier(teacher, teacher.hidden_size).to(device)
  student_model = original.Classifier(student, teacher.hidden_size).to(device)
  optimizer = original.BertAdam(student_model, 5e-5, 1000)
  batches = original.data_loader(ids.reshape(-1, ids.shape[-1]), *ids.shape[1:])
  train = functools.partial(
    original.train, student_model, teacher_model, original.intermediate_loss, optimizer, teacher_graph=True
  )

  def turn():
    train(batches)
    wait(device)

  train(itertools.islice(batches, 1))
  return {"float32, eager": (turn, ids.shape[0] * ids.shape[1])}


def _best(
  ids: Ids,
  teacher: EncoderConfig,
  student: EncoderConfig,
  dtypes: Sequence[str],
  device: str,
  compiled: bool,
) -> Stages:
  """Returns the best PyTorch's step in each dtype, by the form that it runs in."""
  import torch

  from experiments.benchmark import best_torch

  command_line.keep_freed_memory()  # as for ours; the original has what PyTorch has by default
  batches = [torch.from_numpy(part).long() for part in ids]
  layers = layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)

  def turn(step):
    for batch in batches:
      step(batch.to(device))
    wait(device)

  stages = {}
  for dtype in dtypes:
    step, how = best_torch.make_step(
      best_torch.Student(student, teacher.hidden_size).to(device),
      best_torch.Encoder(teacher).to(device),
      layers,
      getattr(torch, dtype),
      compiled=compiled,
      example=batches[0].to(device),
    )
    stages[f"{dtype}, {how}"] = (functools.partial(turn, step), ids.shape[0] * ids.shape[1])
  return stages


def _shape(config: EncoderConfig) -> str:
  return f"BERT {config.num_hidden_layers} × {config.hidden_size}"

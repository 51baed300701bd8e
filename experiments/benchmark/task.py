"""Task distillation against the original program's: both of its stages, on sentences of real lengths."""

import functools
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import datasets
import jax
import numpy as np
from jax.typing import DTypeLike

from experiments.benchmark.options import Options
from experiments.benchmark.turns import OURS, Stages, cores, median_rates, torch_device, wait
from experiments.lengths import in_buckets, read_lengths
from tinybert_jax.data.batches import BatchSource, bucket_lengths, pad_batch, row_length, with_teacher_targets
from tinybert_jax.distillation.layer_map import layer_map
from tinybert_jax.distillation.objectives import (
  initialize_projections,
  intermediate_distillation,
  prediction_distillation,
)
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS, EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize, rounded_once
from tinybert_jax.training import precision, steps
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.optim import adamw, schedule

if TYPE_CHECKING:
  import torch

PREDICTION_EPOCHS = 3
STAGES = INTERMEDIATE, PREDICTION = "intermediate, one epoch", f"prediction, {PREDICTION_EPOCHS} epochs"


def measure(
  options: Options, teacher: EncoderConfig = PRESETS["bert-base"], student: EncoderConfig = PRESETS["tinybert-4l-312d"]
) -> dict[str, float]:
  """Prints and returns how many times as many sequences a second task distillation does as the original program.

  Both sides train the same shapes from random weights and load their data as they would in a run. Neither
  side's first batch of a shape is timed: ours is compiled there, which a run does once for each length.
  """
  device, chosen = torch_device("task"), precision.choose(options.dtype)
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
    f"{jax.devices()[0].device_kind}, {cores()} cores, {chosen}; the original in PyTorch on "
    f"{device.type}, float32; batches of {batch_size}, "
    f"medians of {repeats} turns; load {load:.1f} before (other work slows the original down more)\n"
    "Compilation is left out: a run compiles once."
  )
  original = functools.partial(_original, original_rows, max_length, batch_size, teacher, student, device)
  rates = median_rates(
    _ours(rows, buckets, batch_size, teacher, student, chosen.dtype), {"original": original}, repeats
  )
  ratios = {}
  print(f"{'sequences a second':32}{'ours':>10}{'original':>10}{'ratio':>8}")
  for stage in STAGES:
    ours, theirs = rates[OURS][stage], rates["original"][stage]
    ratios[stage] = ours / theirs
    print(f"{stage:32}{ours:10.1f}{theirs:10.1f}{ratios[stage]:7.1f}x")
  return ratios


def _ours(
  rows: datasets.Dataset,
  buckets: tuple[int, ...],
  batch_size: int,
  teacher: EncoderConfig,
  student: EncoderConfig,
  dtype: DTypeLike,
) -> Stages:
  """Returns each stage, warmed up, and the sequences that it trains on."""
  teacher_model, student_model = SequenceClassifier(teacher, dtype), SequenceClassifier(student, dtype)
  teacher_params = jax.device_put(rounded_once(teacher_model, initialize(teacher_model, jax.random.key(0))))
  params = initialize(student_model, jax.random.key(1))
  projections = initialize_projections(student, teacher, jax.random.key(2))
  layers = layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
  optimizer = adamw(schedule(5e-5, 1000))

  def trainer(params, loss_fn, read_teacher, rows):
    state = steps.create_state(params, optimizer, steps.random_key(0))
    update = steps.jit_update(steps.make_update(loss_fn, optimizer))

    def train(batches):
      nonlocal state
      for batch in batches:
        state, _ = update(state, read_teacher, jax.device_put(batch))
      jax.block_until_ready(state)

    shortest = rows[[int(np.argmin(row_length(rows)))]]
    train([pad_batch(shortest, length, batch_size) for length in buckets])
    return train

  def with_logits():
    return with_teacher_targets(rows, predict(teacher_model, teacher_params, rows))

  train_intermediate = trainer(
    params | {"projections": projections},
    intermediate_distillation(student_model, teacher_model, layers),
    teacher_params,
    rows,
  )
  train_prediction = trainer(params, prediction_distillation(student_model), {}, with_logits())
  source = functools.partial(BatchSource, batch_size=batch_size, lengths=buckets)
  return {
    INTERMEDIATE: (lambda: train_intermediate(source(rows)), len(rows)),
    PREDICTION: (
      lambda: train_prediction(source(with_logits(), epochs=PREDICTION_EPOCHS)),
      PREDICTION_EPOCHS * len(rows),
    ),
  }


def _original(
  sequences: Sequence[Sequence[int]],
  max_length: int,
  batch_size: int,
  teacher: EncoderConfig,
  student: EncoderConfig,
  device: "torch.device",
) -> Stages:
  """Returns what `_ours` does, of the original program."""
  from experiments import original

  teacher_model = original.Classifier(teacher, teacher.hidden_size).to(device)
  batches = original.data_loader(sequences, batch_size, max_length)
  stages = {}
  for stage, loss_fn, epochs in (
    (INTERMEDIATE, original.intermediate_loss, 1),
    (PREDICTION, original.prediction_loss, PREDICTION_EPOCHS),
  ):
    student_model = original.Classifier(student, teacher.hidden_size).to(device)
    optimizer = original.BertAdam(student_model, 5e-5, 1000)
    train = functools.partial(original.train, student_model, teacher_model, loss_fn, optimizer)
    train(itertools.islice(batches, 1))
    stages[stage] = (
      lambda train=train, epochs=epochs: [*(train(batches) for _ in range(epochs)), wait(device)],
      epochs * len(sequences),
    )
  return stages

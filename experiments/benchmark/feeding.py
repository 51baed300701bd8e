"""Whether batches arrive as fast as a device takes them: the prediction stage over a million rows."""

import os
import time
from collections.abc import Callable, Iterable

import datasets
import jax
import numpy as np
import pyarrow as pa

from experiments.benchmark.options import Options
from experiments.benchmark.turns import cores
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length, with_teacher_targets
from tinybert_jax.distillation.objectives import prediction_distillation
from tinybert_jax.models.config import PRESETS, EncoderConfig
from tinybert_jax.models.encoder import Batch, SequenceClassifier, initialize
from tinybert_jax.training import precision, steps
from tinybert_jax.training.optim import adamw, schedule

_LEAST, _MOST = 6, 29  # tokens in a row


def measure(options: Options, student: EncoderConfig = PRESETS["tinybert-4l-312d"], rows: int = 1_000_000) -> float:
  """Prints and returns the share of a run's time for which the device works, while batches are made beside it.

  That is the time of steps on batches that lie on the device, by the time of the same steps on batches from the rows,
  as a run has them; medians of turns. The input alone is timed before.
  """
  batch_size, repeats, number = options.batch_size or 32, options.repeats or 3, options.steps or 200
  chosen, load = precision.choose(options.dtype), os.getloadavg()[0]
  data = _random_rows(rows, student)
  start = time.perf_counter()
  lengths = bucket_lengths(row_length(data), passes=1)
  source = BatchSource(data, batch_size=batch_size, lengths=lengths, steps=number)
  source.indices(0)
  planned = time.perf_counter() - start
  start = time.perf_counter()
  tokens = sum(int(batch["attention_mask"].sum()) for batch in source)
  seconds = time.perf_counter() - start
  print(
    f"Input: {rows:,} rows of {_LEAST} to {_MOST} tokens, batches of {batch_size}; {jax.devices()[0].device_kind}, "
    f"{cores()} cores, {chosen}; load {load:.1f} before\n"
    f"columns checked, lengths chosen and the epoch ordered in {planned:.2f} s; then {number / seconds:,.0f} batches, "
    f"{number * batch_size / seconds:,.0f} rows or {tokens / seconds:,.0f} tokens a second"
  )
  model = SequenceClassifier(student, chosen.dtype)
  optimizer = adamw(schedule(5e-5, number))
  update = steps.jit_update(steps.make_update(prediction_distillation(model), optimizer))
  state = steps.create_state(initialize(model, jax.random.key(0)), optimizer, steps.random_key(0))
  there = [jax.device_put(source[step]) for step in range(number)]

  def train(batches: Iterable[Batch]) -> None:
    nonlocal state
    for batch in batches:
      state, _ = update(state, {}, batch)
    jax.block_until_ready(state)

  train([there[step] for step in source.first_steps().values()])  # compiles
  alone, fed = [], []
  for _ in range(repeats):
    alone.append(_seconds(lambda: train(there)))
    fed.append(_seconds(lambda: train(jax.device_put(batch) for batch in source)))
  share = float(np.median(alone) / np.median(fed))
  print(
    f"prediction stage, {student.shape}: {1e3 * np.median(alone) / number:.1f} ms a step on batches that lie there, "
    f"{1e3 * np.median(fed) / number:.1f} on those from the rows; the device works for {share:.1%} of the time"
  )
  return share


def _seconds(run: Callable[[], None]) -> float:
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


def _random_rows(number: int, student: EncoderConfig) -> datasets.Dataset:
  rng = np.random.default_rng(0)
  ends = np.concatenate([[0], np.cumsum(rng.integers(_LEAST, _MOST + 1, number))]).astype(np.int32)
  ids = pa.ListArray.from_arrays(ends, rng.integers(1, student.vocab_size, ends[-1], np.int32))
  targets = rng.normal(size=(number, student.num_labels)).astype(np.float32)
  return with_teacher_targets(datasets.Dataset(pa.table({"input_ids": ids})), targets)

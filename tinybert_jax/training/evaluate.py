"""Logits over a data set, and what a model costs: FLOPs, latency, throughput."""

import collections
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import datasets
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length
from tinybert_jax.data.ragged import Ragged
from tinybert_jax.data.token_columns import Tables, check_columns, check_fit
from tinybert_jax.distillation.objectives import Params
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Batch, Classifier, apply_head, rounded_once
from tinybert_jax.settings import AT_LEAST_1, check_number
from tinybert_jax.training.parallel import local

_UNDER_WAY = 64  # batches that the device may have before it


def predict(
  model: Classifier,
  params: Params,
  rows: datasets.Dataset,
  *,
  batch_size: int = 64,
  lengths: Sequence[int] | None = None,
  name: str = "the model",
) -> Any:
  """Returns the logits of every row, in the order of the rows; no dropout.

  They are an array N×C in float32; of a model whose logits are of each token, a `Ragged` of the tokens' logits.

  Args:
    model: the module.
    params: its parameters.
    rows: token rows.
    batch_size: rows in a batch.
    lengths: that rows are padded to; by default those they pad least to.
    name: the model's, for errors.

  Raises:
    InputError: rows that the model has no embeddings for, or logits that are not finite, of which no largest one can
      be chosen.
  """
  check_number("batch_size", batch_size, AT_LEAST_1, whole=True)
  check_columns(rows)
  config = model.config
  check_fit(rows, Tables(config.vocab_size, config.type_vocab_size or None, config.longest), name)
  lengths = lengths or bucket_lengths(row_length(rows), at_most=model.config.longest)
  source = BatchSource(rows, batch_size=batch_size, lengths=lengths, shuffle=False, pad_id=model.config.pad_token_id)
  params = jax.device_put(rounded_once(model, local(params)))  # of several processes each predicts by itself
  result = _Collected(row_length(rows))
  under_way: collections.deque[tuple[np.ndarray, Array]] = collections.deque()
  for step, batch in enumerate(source):
    # Batches are sent off before earlier results are fetched, so the device never waits for the host.
    under_way.append((source.indices(step), logits(model, params, batch, first_token=True)))
    if len(under_way) > _UNDER_WAY:
      result.add(*under_way.popleft())
  while under_way:
    result.add(*under_way.popleft())
  return result.finite(name)


class _Collected:
  """The logits of rows, put where they belong: of each row, or of each token of each row."""

  def __init__(self, lengths: np.ndarray):
    self._lengths, self._starts = lengths, np.cumsum(lengths) - lengths
    self._values = np.empty((0, 0), np.float32)
    self._is_ragged = False

  def add(self, indices: np.ndarray, logits: Array) -> None:
    """Takes the logits of the rows of these numbers; what comes after them is padding."""
    found = np.asarray(logits)[: len(indices)]
    if not self._values.size:
      self._is_ragged = found.ndim == 3
      size = int(self._lengths.sum()) if self._is_ragged else len(self._lengths)
      self._values = np.empty((size, found.shape[-1]), np.float32)
    if not self._is_ragged:
      self._values[indices] = found
      return
    for row, values in zip(indices, found, strict=True):
      start, length = self._starts[row], self._lengths[row]
      self._values[start : start + length] = values[:length]

  def finite(self, name: str) -> np.ndarray | Ragged:
    """Returns the logits; InputError where some are not finite."""
    if (wrong := ~np.isfinite(self._values).all(-1)).any():
      rows = (
        np.repeat(np.arange(len(self._lengths)), self._lengths)[wrong] if self._is_ragged else np.flatnonzero(wrong)
      )
      raise InputError(
        f"{name}: the logits of {len(np.unique(rows)):,} of {len(self._lengths):,} rows are not finite (NaN or "
        f"infinite; first in row {rows[0] + 1:,}), so its weights are damaged or its training diverged"
      )
    return Ragged(self._values, self._lengths) if self._is_ragged else self._values


@functools.partial(jax.jit, static_argnums=0, static_argnames="first_token")
def logits(model: Classifier, params: Params, batch: Batch, *, first_token: bool = False) -> Float[Array, "B *L C"]:
  """Returns the logits of one batch; compiled once for each model and shape; `first_token` as for the model."""
  return apply_head(model, params, batch, first_token=first_token)


class Cost(NamedTuple):
  """What a model costs.

  Attributes:
    flops: floating-point operations of one sequence, as the compiler counts them.
    latency_ms: median milliseconds for one sequence at a time.
    throughput: sequences a second, in batches of 32, from the median.
  """

  flops: float
  latency_ms: float
  throughput: float


def compare_costs(
  models: Mapping[str, tuple[Classifier, Params]], *, length: int = 128, repeats: int = 50
) -> dict[str, Cost]:
  """Returns the cost of each model's logits, as `predict` computes them, on full sequences of `length` tokens.

  The turns alternate between the models, and medians are taken, so that a machine that slows down for a
  while does so for all of them.
  """
  runs: dict[int, dict[str, Callable[[], Array]]] = {1: {}, 32: {}}
  flops = {}
  for name, (model, params) in models.items():
    params = jax.device_put(rounded_once(model, params))
    for size, by_name in runs.items():
      ones = jnp.ones((size, length), jnp.int32)
      batch = {"input_ids": ones, "attention_mask": ones}
      by_name[name] = functools.partial(logits, model, params, batch, first_token=True)
      if size == 1:
        flops[name] = _flops(logits.lower(model, params, batch, first_token=True).compile())
  single = median_seconds(runs[1], repeats)
  batched = median_seconds(runs[32], max(1, repeats // 10))
  return {name: Cost(flops[name], 1e3 * single[name], 32 / batched[name]) for name in models}


def _flops(program: jax.stages.Compiled) -> float:
  counted = program.cost_analysis()
  if counted is None:
    raise NotImplementedError(f"JAX counts no operations on {jax.default_backend()}")
  return counted["flops"]


def median_seconds(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
  """Returns the median seconds of each run, taken in turns; the first turn of each only warms up.

  In each turn a run goes twice and the second counts: one that is used again and again finds its weights in the
  processor's cache, out of which those that it takes turns with have put them.

  Args:
    runs: functions that return arrays, whose results are waited for.
    repeats: turns that count.
  """
  seconds: dict[str, list[float]] = {name: [] for name in runs}
  for _ in range(repeats + 1):
    for name, run in runs.items():
      jax.block_until_ready(run())
      start = time.perf_counter()
      jax.block_until_ready(run())
      seconds[name].append(time.perf_counter() - start)
  return {name: float(np.median(values[1:])) for name, values in seconds.items()}

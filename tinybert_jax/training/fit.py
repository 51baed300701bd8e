"""Training from rows and a recipe: the one place where batches, schedule, update and loop meet."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import datasets
import jax

from tinybert_jax.data.batches import BatchSource, NumpyBatch, bucket_lengths, row_length
from tinybert_jax.data.token_columns import tables_of
from tinybert_jax.distillation.objectives import LossFn, Params
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Batch
from tinybert_jax.settings import AT_LEAST_1, LARGEST, POSITIVE, SEED, SHARE, check_number
from tinybert_jax.training import optim, steps
from tinybert_jax.training.loop import Every, Source, TrainResult, train
from tinybert_jax.training.optim import Decay
from tinybert_jax.training.parallel import Form, data_parallel, gather

# Tokens that a step reads in the time that compiling it takes: on two CPU cores 3 to 7 seconds, or 8,000 to 35,000
# tokens, from BERT-base's fine-tuning to the prediction stage of a small student. Elsewhere not measured: a guess.
_COMPILING = {"cpu": 20_000}
_COMPILING_ELSEWHERE = 5_000_000
Place = Callable[[NumpyBatch], Batch]
# Metrics of (parameters, the teacher's parameters, what places a batch on the devices).
Evaluate = Callable[[Params, Params, Place], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How long and how fast a model trains.

  Attributes:
    epochs: passes over the rows.
    batch_size: rows in a batch, of all devices together.
    learning_rate: the peak.
    steps: batches of the run, in place of `epochs`.
    warmup: share of the steps in which the rate rises to its peak.
    decay: how it falls to 0 after that.
    eps: Adam's epsilon; BERT's 1e-6 damps the smallest gradients for most of a short run.
    dropout: whether the student drops.
    accumulate: parts that each batch is computed in, to save memory.
    form: how the devices share a batch, see `parallel.Form`.
    buckets: number of lengths that rows are padded to; by default as many as save more padding than compiling for them
      costs, six at most.
  """

  epochs: int
  batch_size: int
  learning_rate: float
  steps: int | None = None
  warmup: float = 0.1
  decay: Decay = "linear"
  eps: float = 1e-6
  dropout: bool = True
  accumulate: int = 1
  form: Form = "mesh"
  buckets: int | None = None

  def as_inputs(self) -> dict[str, Any]:
    """Returns what a result depends on: how long and how fast, and what else differs from the defaults."""
    left_out = {"steps" if self.steps is None else "epochs", "accumulate", "form"}
    always = {"epochs", "batch_size", "learning_rate", "steps"} - left_out
    return {
      field.name: getattr(self, field.name)
      for field in dataclasses.fields(self)
      if field.name in always
      or (field.name not in left_out and field.name not in always and getattr(self, field.name) != field.default)
    }

  def total_steps(self, rows: int) -> int:
    """Returns the batches of a run over so many rows."""
    return self.epochs * -(-rows // self.batch_size) if self.steps is None else self.steps


def _check(recipe: Recipe, seed: int) -> None:
  """Raises InputError for a number of a recipe that is out of its bounds, or a name that is none."""
  for name in ("epochs", "batch_size", "accumulate", "steps", "buckets"):
    if (value := getattr(recipe, name)) is not None or name not in ("steps", "buckets"):
      check_number(name, value, AT_LEAST_1, whole=True)
  for name, bound in (("learning_rate", POSITIVE), ("warmup", SHARE), ("eps", POSITIVE)):
    check_number(name, getattr(recipe, name), bound)
  if recipe.form not in get_args(Form):
    raise InputError(f"form {recipe.form!r}: it must be one of {', '.join(get_args(Form))}")
  check_number("seed", seed, SEED, whole=True)


def fit(
  directory: str | Path,
  loss_fn: LossFn,
  params: Params,
  rows: datasets.Dataset,
  recipe: Recipe,
  *,
  seed: int = 0,
  pad_id: int = 0,
  lengths: Sequence[int] | None = None,
  at_most: int | None = None,
  as_source: Callable[[BatchSource], Source] = lambda batches: batches,
  teacher_params: Params | None = None,
  evaluate: Evaluate | None = None,
  best_metric: str | None = None,
  every: Every | None = None,
  config: Mapping[str, Any] | None = None,
  title: str = "train",
) -> TrainResult:
  """Returns the result of training `params` by `recipe` over `rows`; its parameters are whole on every device.

  It trains on all devices of all processes; of several processes all call it with the same arguments.

  Args:
    directory: of the run; the same call on a directory that a killed run left goes on there.
    loss_fn: from `distillation.objectives`, or any function of that type.
    params: to start from.
    rows: token rows, as `BatchSource` takes them.
    recipe: how long and how fast.
    seed: random seed for the order of the rows and dropout.
    pad_id: the token that fills up rows.
    lengths: that rows are padded to; by default those they pad least to.
    at_most: tokens that rows are cut to, which bounds the default lengths; by default the model's positions.
    as_source: makes other batches of those of the rows, such as `masking.MaskedBatches`.
    teacher_params: handed to the loss, without a gradient.
    evaluate: see `Evaluate`.
    best_metric: the one of its metrics, higher is better, by which the best parameters are kept.
    every: how often the run logs, evaluates and saves.
    config: options that a directory's earlier run must have had too, JSON values.
    title: on the progress bar.

  Raises:
    InputError: no rows, rows that the model cannot read, a recipe out of bounds, more steps than the device can count,
      or a directory that holds a run with another `config`.
    RunStopped: Ctrl-C, SIGTERM, or too many skipped updates; the state is saved before.
  """
  _check(recipe, seed)
  if (total := recipe.total_steps(len(rows))) > LARGEST:
    raise InputError(f"{title}: {total:,} steps, and at most {LARGEST:,} can be counted; fewer epochs are needed")
  row_lengths = row_length(rows)
  if at_most is None and (tables := tables_of(params)) and tables.positions is not None:
    at_most = max(tables.positions, row_lengths.max(initial=0))  # `train` refuses longer rows
  source = as_source(
    BatchSource(
      rows,
      batch_size=recipe.batch_size,
      lengths=lengths
      or bucket_lengths(
        row_lengths,
        recipe.buckets,
        at_most=at_most,
        passes=total * recipe.batch_size / max(1, len(rows)),
        compiling=_COMPILING.get(jax.default_backend(), _COMPILING_ELSEWHERE),
      ),
      epochs=recipe.epochs,
      steps=recipe.steps,
      seed=seed,
      pad_id=pad_id,
      process=jax.process_index(),
      processes=jax.process_count(),
    )
  )
  schedule = optim.schedule(recipe.learning_rate, len(source), warmup=recipe.warmup, decay=recipe.decay)
  optimizer = optim.adamw(schedule, eps=recipe.eps)
  update, state, teacher_params, place = data_parallel(
    functools.partial(steps.make_update, loss_fn, optimizer, accumulate=recipe.accumulate, dropout=recipe.dropout),
    steps.create_state(params, optimizer, steps.random_key(seed)),
    teacher_params or {},
    recipe.batch_size,
    recipe.form,
  )
  result = train(
    directory,
    update,
    state,
    teacher_params,
    source,
    evaluate=None if evaluate is None else lambda params: evaluate(params, teacher_params, place),
    best_metric=best_metric,
    every=every or Every(),
    config=config,
    title=title,
    place=place,
  )
  return result._replace(params=gather(result.params))

"""The loop: batches in, progress, evaluation, checkpoints; the same call again goes on where it stopped."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import datasets
import jax
import jax.numpy as jnp
import optax

from tinybert_jax.data.batches import NumpyBatch
from tinybert_jax.data.label_column import check_labels
from tinybert_jax.data.token_columns import check_fit, tables_of
from tinybert_jax.distillation.objectives import Params
from tinybert_jax.errors import Diverged, InputError, RunStopped
from tinybert_jax.models.directories import make_directory
from tinybert_jax.models.encoder import Batch
from tinybert_jax.training import hosts
from tinybert_jax.training.checkpoints import Checkpoints
from tinybert_jax.training.hosts import say
from tinybert_jax.training.programs import Programs
from tinybert_jax.training.run_log import RunLog, read_log
from tinybert_jax.training.steps import TrainState, Update
from tinybert_jax.training.stopping import stop_signals

_SKIPPED_AT_MOST = 10  # one update in so many


@runtime_checkable
class BatchIterator(Protocol):
  """What gives the batches one after the other, and goes on from where a run before stopped."""

  def __next__(self) -> NumpyBatch: ...

  def get_state(self) -> dict[str, Any]: ...

  def set_state(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Source(Protocol):
  """The batches of a whole run; `data.batches.BatchSource` and `data.masking.MaskedBatches` are such."""

  @property
  def steps_per_epoch(self) -> int: ...

  def __len__(self) -> int: ...

  def __iter__(self) -> BatchIterator: ...


@dataclasses.dataclass(frozen=True)
class Every:
  """How often a run does what, in steps.

  Attributes:
    log: average the metrics since the last time, to the progress bar, `log.jsonl` and TensorBoard.
    evaluate: evaluate; None for once an epoch. The end of the run always does.
    checkpoint: save the latest state; None for at every evaluation.
    seconds: that pass at least between two saves of the latest state; a stop and the end of the run always save.
  """

  log: int = 20
  evaluate: int | None = None
  checkpoint: int | None = None
  seconds: float = 0.0


class TrainResult(NamedTuple):
  """What a run ends with.

  Attributes:
    params: the best by `best_metric`; the last ones where nothing was evaluated.
    metrics: of the evaluation that was best; empty likewise.
    history: the rows of `log.jsonl`: each has `step` and the means of the metrics since the row before,
      or `step` and an evaluation's.
    state: the last state.
  """

  params: Params
  metrics: Mapping[str, float]
  history: list[dict[str, float]]
  state: TrainState


def train(
  directory: str | Path,
  update: Update,
  state: TrainState,
  teacher_params: Params,
  source: Source,
  *,
  evaluate: Callable[[Params], Mapping[str, float]] | None = None,
  best_metric: str | None = None,
  every: Every = Every(),
  config: Mapping[str, Any] | None = None,
  title: str = "train",
  place: Callable[[NumpyBatch], Batch] = jax.device_put,
  max_skipped_in_a_row: int = 20,
) -> TrainResult:
  """Returns the result of running `update` over every batch of `source`.

  `directory` gets `log.jsonl`, TensorBoard events and `checkpoints/`; a call with the same arguments on a
  directory that a killed run left goes on, and ends with the parameters as if it had not been killed (a
  row of the log that spans the gap is a mean of the steps after it). Of several processes all call it, on
  the same directory; the first writes the log, and all stop where one is told to.

  Args:
    directory: of this run.
    update: a compiled update from `steps`; it donates the state.
    state: to start from.
    teacher_params: handed to the update.
    source: the batches of the whole run.
    evaluate: metrics of the parameters.
    best_metric: the one of its metrics, higher is better, by which the best parameters are kept.
    every: how often.
    config: options that a directory's earlier run must have had too, JSON values.
    title: on the progress bar.
    place: puts a batch on the devices.
    max_skipped_in_a_row: updates with a non-finite gradient in a row that end the run.

  Raises:
    InputError: the directory holds a run with another `config`, or rows have a label, token or position that the model
      has not.
    RunStopped: Ctrl-C, SIGTERM, or too many skipped updates; the state is saved before.
  """
  if isinstance(rows := getattr(source, "rows", None), datasets.Dataset):
    _check_rows(rows, state.params, teacher_params)
  directory = Path(directory)
  make_directory(directory)
  config = json.loads(json.dumps(config or {}))
  total, batches = len(source), iter(source)
  evaluate_every = every.evaluate or source.steps_per_epoch
  checkpoint_every = every.checkpoint or evaluate_every
  teacher_params = jax.tree.map(jnp.asarray, teacher_params)  # not moved in every step
  best, history, step = {}, [], 0
  with contextlib.closing(Checkpoints(directory / "checkpoints")) as checkpoints:

    def check(record: Mapping[str, Any]) -> None:
      if record["config"] != config:
        raise InputError(_other_options(directory, record["config"], config))

    if restored := checkpoints.restore(state, check):
      state, record = restored
      best, history = record["best"], read_log(directory, record["log_rows"])
      batches.set_state(record["batches"])
      step = int(state.step)

    def save():
      record = {"config": config, "best": best, "log_rows": len(history), "batches": batches.get_state()}
      checkpoints.save_latest(step, state, record)

    saved = time.monotonic()

    def is_due() -> bool:
      return not every.seconds or hosts.first_says(lambda: time.monotonic() - saved >= every.seconds)

    with (
      RunLog(directory, history, title, total, step) as log,
      stop_signals() as stop,
      Programs(update, source) as programs,
    ):
      while step < total:
        batch = place(next(batches))
        with log.compiling(batch, source, programs.is_ready(batch)):
          state, metrics = programs(state, teacher_params, batch)
        step += 1
        log.add(metrics)
        if step % every.log == 0 or step == total:
          row = log.write_means(step)
          if row["skipped_in_a_row"] >= max_skipped_in_a_row:
            save()
            checkpoints.wait()
            raise Diverged(
              f"{title}: {int(row['skipped_in_a_row'])} updates in a row had a gradient that was not finite (step "
              f"{step}); {_likely_reason(teacher_params, row['skipped'] == step)}; the parameters before them are "
              f"saved in {directory}"
            )
        if evaluate and (step % evaluate_every == 0 or step == total):
          scores = dict(evaluate(state.params))
          log.write(step, scores)
          if best_metric and (not best or scores[best_metric] > best["metrics"][best_metric]):
            best = {"step": step, "metrics": scores}
            checkpoints.save_best(step, state.params)
        stopped = stop()
        if stopped or step == total or (step % checkpoint_every == 0 and is_due()):
          save()
          saved = time.monotonic()
        if stopped and step < total:
          checkpoints.wait()
          raise RunStopped(
            f"{title}: stopped at step {step} of {total}, which is saved in {directory}; the same command goes on there"
          )
    checkpoints.wait()
    params = checkpoints.restore_best(state.params, best["step"]) if best else state.params
  _check_skipped(title, state, teacher_params)
  return TrainResult(params, best.get("metrics", {}), history, state)


def _check_rows(rows: datasets.Dataset, params: Params, teacher_params: Params) -> None:
  """Raises InputError for labels, tokens or positions for which a model has no class and no embedding."""
  if "classifier" in params:
    check_labels(rows, params["classifier"]["bias"].shape[-1])
  for tables in {tables_of(params), tables_of(teacher_params)}:
    if tables is not None:
      check_fit(rows, tables)


def _check_skipped(title: str, state: TrainState, teacher_params: Params) -> None:
  """Says how many updates of a whole run were skipped; Diverged where they are more than a tenth."""
  skipped, total = int(optax.tree.get(state.opt_state, "total_notfinite", 0)), int(state.step)
  if not skipped:
    return
  number = "all" if skipped == total else f"{skipped:,}"
  sentence = f"{title}: {number} of {total:,} updates were skipped, because a gradient was not finite"
  if skipped * _SKIPPED_AT_MOST > total:
    raise Diverged(f"{sentence}; {_likely_reason(teacher_params, skipped == total)}")
  say(sentence)


def _likely_reason(teacher_params: Params, from_the_start: bool) -> str:
  for path, leaf in jax.tree.leaves_with_path(teacher_params):
    if jnp.issubdtype(leaf.dtype, jnp.floating) and not bool(jnp.isfinite(leaf).all()):
      return f"the teacher's parameter {jax.tree_util.keystr(path, simple=True, separator='/')} is not finite"
  if from_the_start:
    return "from the start, so numbers in labels, targets or the model are likely not finite, or overflow in bfloat16"
  return "a lower learning rate, or float32 in place of bfloat16, may help"


def _other_options(directory: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
  names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
  changes = ", ".join(f"{name} {before.get(name)!r} then and {now.get(name)!r} now" for name in names)
  return f"{directory} holds a run with other options ({changes}); give another directory, or remove this one"

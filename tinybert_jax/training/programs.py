"""The programs of an update, one for each length of the batches: those to come are compiled while the first trains."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp

from tinybert_jax.distillation.objectives import Params
from tinybert_jax.models.encoder import Batch
from tinybert_jax.training.steps import Metrics, TrainState, Update


class Programs:
  """An update that compiles ahead: its first call starts a thread that compiles for the other lengths of the run.

  The results are the update's own. Nothing is compiled ahead for several processes, which would have to do it in the
  same order, nor for an update that cannot be lowered or a source that does not say which lengths its batches have.
  """

  def __init__(self, update: Update, source: Any):
    """Args:
    update: a compiled update from `steps`.
    source: of the batches; `first_steps` gives the number of its first batch of each length.
    """
    self._update, self._source = update, source
    self._ahead: dict[int, Future[Update]] = {}
    self._started = jax.process_count() > 1 or not hasattr(update, "lower") or not hasattr(source, "first_steps")
    self._thread = ThreadPoolExecutor(1, thread_name_prefix="compile")

  def __enter__(self) -> "Programs":
    return self

  def __exit__(self, *_: Any) -> None:
    self._thread.shutdown(cancel_futures=True)  # waits for a program that is being compiled; nothing can stop that

  def __call__(self, state: TrainState, teacher_params: Params, batch: Batch) -> tuple[TrainState, Metrics]:
    """Returns the new state and the metrics; see `steps.make_update`."""
    if program := self._ahead.get(_length(batch)):
      return program.result()(state, teacher_params, batch)
    state, metrics = self._update(state, teacher_params, batch)
    if not self._started:
      self._started = True
      own, theirs, rows = (jax.tree.map(_shape, tree) for tree in (state, teacher_params, dict(batch)))
      for length, step in self._source.first_steps().items():
        if length != _length(batch):
          self._ahead[length] = self._thread.submit(self._compile, own, theirs, rows, step)
    return state, metrics

  def is_ready(self, batch: Batch) -> bool:
    """Returns whether the program for a batch was compiled ahead."""
    program = self._ahead.get(_length(batch))
    return program is not None and program.done()

  def _compile(self, state: TrainState, teacher_params: Params, batch: dict[str, Any], step: int) -> Any:
    """Returns the program for the batch of a step, from the shapes of a state, a teacher and another batch."""
    shapes = {name: batch[name].update(shape=value.shape) for name, value in self._source[step].items()}
    update: Any = self._update  # a jitted function
    return update.lower(state, teacher_params, shapes).compile()


def _length(batch: Batch) -> int:
  return batch["input_ids"].shape[-1] if "input_ids" in batch else 0


def _shape(array: Any) -> jax.ShapeDtypeStruct:
  array = jnp.asarray(array)
  weak_type = getattr(array, "weak_type", False)  # keys have none
  return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding, weak_type=weak_type)

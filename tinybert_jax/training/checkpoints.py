"""The latest and the best checkpoint of a run, by Orbax, written in the background."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from tinybert_jax.training.steps import TrainState


class Checkpoints:
  """`latest/`, the whole state with what a run needs to go on, and `best/`, the best parameters by a score.

  Orbax writes each beside the one before and renames it when complete, so a process killed at any moment
  leaves the older one to read.
  """

  def __init__(self, directory: str | os.PathLike):
    options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
    directory = self._directory = Path(directory).absolute()
    self._latest = ocp.CheckpointManager(directory / "latest", options=options, item_names=("state", "record"))
    self._best = ocp.CheckpointManager(directory / "best", options=options, item_names=("params",))

  def save_latest(self, step: int, state: TrainState, record: dict[str, Any]) -> None:
    """Saves the state and a JSON record; returns when both are copied off the device.

    Here and below a full disk is an OSError, also one that a save before met in the background.
    """
    with _full_disk():
      self._need_space(state)
      _save(
        self._latest,
        step,
        state=ocp.args.StandardSave(_without_key_type(state)),
        record=ocp.args.JsonSave(record),
      )

  def save_best(self, step: int, params: Any) -> None:
    """Saves parameters in the place of the best before."""
    with _full_disk():
      self._need_space(params)
      _save(self._best, step, params=ocp.args.StandardSave(params))

  def latest_record(self) -> dict[str, Any] | None:
    """Returns the record of the saved state; None where nothing was saved."""
    step = self._latest.latest_step()
    if step is None:
      return None
    return self._latest.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]

  def restore_latest(self, state: TrainState) -> TrainState:
    """Returns the saved state, placed as `state` is, whose shapes it must have."""
    saved = _restore(self._latest, "state", _without_key_type(state))
    return saved.replace(key=jax.random.wrap_key_data(saved.key, impl=jax.random.key_impl(state.key)))

  def restore_best(self, params: Any) -> Any:
    """Returns the best parameters, placed as `params` are, whose shapes they must have."""
    return _restore(self._best, "params", params)

  def wait(self) -> None:
    """Returns when everything saved so far is on disk; raises what went wrong in the background."""
    with _full_disk():
      self._latest.wait_until_finished()
      self._best.wait_until_finished()

  def close(self) -> None:
    """Waits for what is being written and lets go of it."""
    with _full_disk(), contextlib.closing(self._best):
      self._latest.close()

  def _need_space(self, tree: Any) -> None:
    """Raises OSError where the disk cannot hold `tree`.

    Orbax's writers would find out too, but leave a page of tracebacks of their threads on stderr.
    """
    needed = 1.05 * sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    if shutil.disk_usage(self._directory).free < 3 * needed:
      self.wait()  # so that a save under way is counted
      if shutil.disk_usage(self._directory).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._directory))


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
  """Turns TensorStore's ValueError for a full disk into the OSError that Python's own files give."""
  try:
    yield
  except ValueError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _without_key_type(state: TrainState) -> TrainState:
  return state.replace(key=jax.random.key_data(state.key))  # Orbax saves plain arrays


def _save(manager: ocp.CheckpointManager, step: int, **items: Any) -> None:
  if step in manager.all_steps():
    return  # a run that went back to an older checkpoint comes by here again with the same numbers
  manager.save(step, args=ocp.args.Composite(**items))


def _restore(manager: ocp.CheckpointManager, name: str, like: Any) -> Any:
  abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  items = ocp.args.Composite(**{name: ocp.args.StandardRestore(abstract)})
  return manager.restore(manager.latest_step(), args=items)[name]

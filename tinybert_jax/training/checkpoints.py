"""The latest and the best checkpoints of a run, by Orbax, written in the background."""

import contextlib
import errno
import functools
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from jax.experimental import multihost_utils

from tinybert_jax.errors import InputError
from tinybert_jax.training import hosts
from tinybert_jax.training.steps import TrainState

Value = TypeVar("Value")
_KEPT = 2  # of the latest: where one cannot be read, the run goes on from the other


class Restored(NamedTuple):
  """Where a run goes on from."""

  state: TrainState
  record: dict[str, Any]


class Checkpoints:
  """`latest/`, the whole state with what a run needs to go on, and `best/`, the best parameters by a score.

  Orbax writes each beside the ones before and renames it when complete, so a process killed at any moment leaves the
  older ones to read. Two of the latest are kept, with the best parameters of their time.
  """

  def __init__(self, directory: str | os.PathLike):
    directory = self._directory = Path(directory).absolute()
    self._latest = ocp.CheckpointManager(
      directory / "latest",
      options=ocp.CheckpointManagerOptions(max_to_keep=_KEPT, cleanup_tmp_directories=True),
      item_names=("state", "record"),
    )
    self._best = ocp.CheckpointManager(
      directory / "best", options=ocp.CheckpointManagerOptions(cleanup_tmp_directories=True), item_names=("params",)
    )
    self._best_of_latest: dict[int, int | None] = {}

  def save_latest(self, step: int, state: TrainState, record: dict[str, Any]) -> None:
    """Saves the state and a JSON record; returns when both are copied off the device.

    Here and below a full disk is an OSError, also one that a save before met in the background.

    Args:
      step: its number.
      state: all of it.
      record: what else a run needs to go on. Where it has a `best` with a `step`, those best parameters are kept too.
    """
    with _full_disk():
      self._need_space(state)
      self._delete_unneeded(record)
      _finish_among_several(self._best)
      _save(
        self._latest,
        step,
        state=ocp.args.StandardSave(_without_key_type(state)),
        record=ocp.args.JsonSave(record),
      )
    self._best_of_latest[step] = _best_step(record)

  def save_best(self, step: int, params: Any) -> None:
    """Saves parameters that are better than the best before."""
    with _full_disk():
      self._need_space(params)
      _finish_among_several(self._latest)
      _save(self._best, step, params=ocp.args.StandardSave(params))

  def restore(
    self, state: TrainState, check: Callable[[dict[str, Any]], None] = lambda record: None
  ) -> Restored | None:
    """Returns the newest checkpoint that can be read, placed as `state` is; None where there is none.

    One that cannot be read, or whose best parameters cannot, is put aside under another name and said. It may be
    damaged, or come from other versions of the packages. Of several processes all call it.

    Args:
      state: of the shapes that the saved one must have.
      check: raises where the record is of another run.

    Raises:
      InputError: a checkpoint of another model.
    """
    found, aside = None, list[Path]()
    steps = sorted(self._latest.all_steps(), reverse=True)
    for step in steps:
      found = _unless_unreadable(functools.partial(self._read_latest, step, state, check))
      best = None if found is None else _best_step(found.record)
      if found is not None and best is not None:
        params = found.state.params
        if _unless_unreadable(functools.partial(self.restore_best, params, best)) is None:
          found = None
          aside.append(self._put_aside("best", best))
      if found is not None:
        break
      aside.append(self._put_aside("latest", step))
    for older in self._latest.all_steps() if found else ():
      with contextlib.suppress(Exception):  # of one that is not needed now
        self._best_of_latest[older] = _best_step(self._record(older))
    if aside:
      where = f"the run goes on from step {step}" if found else "the run begins anew"
      hosts.say(
        f"{self._directory}: what cannot be read, damaged or of other versions of the packages, is put aside there as "
        f"{' and '.join(path.name for path in aside)}; {where}"
      )
    return found

  def restore_best(self, params: Any, step: int | None) -> Any:
    """Returns the best parameters, saved at that step, placed as `params` are; `params` themselves for no step."""
    if step is None:
      return params
    _check_data(self._directory / "best" / str(step) / "params")
    return _restore(self._best, step, "params", params)

  def wait(self) -> None:
    """Returns when everything saved so far is on disk; raises what went wrong in the background."""
    with _full_disk():
      self._latest.wait_until_finished()
      self._best.wait_until_finished()

  def close(self) -> None:
    """Waits for what is being written and lets go of it."""
    with _full_disk(), contextlib.closing(self._best):
      self._latest.close()

  def _record(self, step: int) -> dict[str, Any]:
    return self._latest.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]

  def _read_latest(self, step: int, state: TrainState, check: Callable[[dict[str, Any]], None]) -> Restored:
    record = self._record(step)
    check(record)  # before the state, which with other options may have other shapes
    _check_data(self._directory / "latest" / str(step) / "state")
    self._check_shapes(step, state)
    saved = _restore(self._latest, step, "state", _without_key_type(state))
    key = jax.random.wrap_key_data(saved.key, impl=jax.random.key_impl(state.key))
    return Restored(saved.replace(key=key), record)

  def _check_shapes(self, step: int, state: TrainState) -> None:
    """Raises InputError where a readable checkpoint is of arrays of other names or shapes than `state`."""
    saved = _shapes(ocp.StandardCheckpointHandler().metadata(self._directory / "latest" / str(step) / "state").tree)
    needed = _shapes(_without_key_type(state))
    different = (name for name in saved.keys() | needed.keys() if saved.get(name) != needed.get(name))
    if name := min(different, key=lambda name: (not name.startswith("params"), name), default=None):
      raise InputError(
        f"{self._directory}: holds a run of another model, or of other versions of the packages ({name} is of shape "
        f"{saved.get(name)} there, and {needed.get(name)} is needed); move it away, and the run begins anew"
      )

  def _put_aside(self, kind: str, step: int) -> Path:
    """Moves a checkpoint out of the way; returns its new place."""
    name = f"unreadable-{kind}-{step}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    place = next(path for path in map(self._directory.joinpath, names) if not path.exists())
    checkpoint = self._directory / kind / str(step)
    hosts.on_first(lambda: checkpoint.rename(place) if checkpoint.exists() else None)
    for manager in (self._latest, self._best):
      manager.reload()
    return place

  def _delete_unneeded(self, record: dict[str, Any]) -> None:
    """Deletes best parameters that neither the latest checkpoints nor the one to be saved belong to."""
    kept = {_best_step(record), *(self._best_of_latest.get(step) for step in self._latest.all_steps())}
    for step in self._best.all_steps():
      if step not in kept:
        self._best.delete(step)

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


def _finish_among_several(manager: ocp.CheckpointManager) -> None:
  """Returns when what the manager saves in the background is on disk, where there are several processes.

  In the background they wait for each other at barriers whose names two managers have in common.
  """
  if jax.process_count() > 1:
    manager.wait_until_finished()


def _save(manager: ocp.CheckpointManager, step: int, **items: Any) -> None:
  if step in manager.all_steps():
    return  # a run that went back to an older checkpoint comes by here again with the same numbers
  manager.save(step, args=ocp.args.Composite(**items))


def _restore(manager: ocp.CheckpointManager, step: int, name: str, like: Any) -> Any:
  abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  return manager.restore(step, args=ocp.args.Composite(**{name: ocp.args.StandardRestore(abstract)}))[name]


def _best_step(record: dict[str, Any]) -> int | None:
  """Returns the step of the best parameters that a record knows of."""
  return record["best"]["step"] if record.get("best") else None


def _unless_unreadable(read: Callable[[], Value]) -> Value | None:
  """Returns what `read` does; None on all processes where one of them cannot read its part."""
  try:
    value = read()
  except (InputError, MemoryError, PermissionError, jax.errors.JaxRuntimeError):
    raise
  except Exception:  # Orbax, TensorStore and json raise whatever a damaged file makes of them
    value = None
  is_read = np.array(value is not None)
  if jax.process_count() > 1:
    is_read = multihost_utils.process_allgather(is_read)
  return value if is_read.all() else None


def _check_data(directory: Path) -> None:
  """Raises what reading all data of a checkpoint's item raises.

  Orbax's readers would find out too, but leave pages of tracebacks of their threads on stderr.
  """
  if not (directory / "manifest.ocdbt").is_file():
    return  # in another format, which Orbax knows
  store = tensorstore.KvStore.open({"driver": "ocdbt", "base": {"driver": "file", "path": f"{directory}/"}}).result()
  for name in store.list().result():
    store.read(name).result()


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of arrays by name, the same for a state and for what Orbax knows of a saved one."""
  leaves = jax.tree.leaves_with_path(tree)
  return {"/".join(map(_key_name, path)): tuple(leaf.shape) for path, leaf in leaves if hasattr(leaf, "shape")}


def _key_name(key: Any) -> str:
  return str(next(getattr(key, field) for field in ("key", "name", "idx") if hasattr(key, field)))

"""One run at a time in a folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from tinybert_jax.errors import InputError
from tinybert_jax.models.directories import make_directory


@contextlib.contextmanager
def only_run(folder: Path, *, process: int = 0) -> Iterator[None]:
  """Keeps `folder`, made if need be, for this run while the block lasts, or until the process ends, however it does.

  Of a run's several processes the first alone does so.

  Raises:
    InputError: another run is at work there.
  """
  if process:
    yield
    return
  make_directory(folder)
  lock = filelock.FileLock(folder / ".lock", timeout=0)
  try:
    lock.acquire()
  except filelock.Timeout as error:
    raise InputError(f"{folder}: another run is at work there; wait for its end, or give another --out") from error
  try:
    yield
  finally:
    lock.release()

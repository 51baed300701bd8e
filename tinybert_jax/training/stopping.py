"""Being told to stop, on one process or on any of several."""

import collections
import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator

import jax
import numpy as np

from tinybert_jax.training import steps

_LAG = 2  # steps that a word from the others may take, so that nobody waits for it


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
  """Gives a function that tells whether Ctrl-C or SIGTERM has come; a second one stops at once.

  Of several processes all call it once a step; where one of them was told to stop, it says so to all at the same step.
  """
  with _signals() as told:
    yield told if jax.process_count() == 1 else _by_any_process(told)


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
  received: list[int] = []
  if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
    yield lambda: False
    return

  def handle(number, frame):
    if received:
      raise KeyboardInterrupt
    received.append(number)

  before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield lambda: bool(received)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _by_any_process(told: Callable[[], bool]) -> Callable[[], bool]:
  mesh = steps.data_mesh()
  total = jax.jit(jax.numpy.sum, out_shardings=steps.replicated(mesh))
  place = functools.partial(jax.make_array_from_process_local_data, steps.batch_sharding(mesh))
  under_way: collections.deque[jax.Array] = collections.deque()

  def told_any() -> bool:
    under_way.append(total(place(np.full(jax.local_device_count(), told(), np.int32))))
    return len(under_way) > _LAG and int(under_way.popleft()) > 0

  return told_any

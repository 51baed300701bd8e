"""Alternatives that run in turns, and the machine that they share."""

import importlib.util
import os
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

from tinybert_jax.errors import InputError

Name = TypeVar("Name", bound=Hashable)


def median_rates(runs: Mapping[Name, tuple[Callable[[], object], int]], repeats: int) -> dict[Name, float]:
  """Returns what each run does a second, the median of its turns; the turns alternate.

  Args:
    runs: functions that end when their work is done, warmed up, and the sequences that each works through.
    repeats: turns of each.
  """
  rates = {name: [] for name in runs}
  for _ in range(repeats):
    for name, (run, sequences) in runs.items():
      start = time.perf_counter()
      run()
      rates[name].append(sequences / (time.perf_counter() - start))
  return {name: float(np.median(values)) for name, values in rates.items()}


def cores() -> int:
  """Returns the cores that this process may use, which JAX uses all."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def check_torch(suite: str) -> None:
  """Raises InputError where PyTorch, which no other program here needs, is not installed."""
  if importlib.util.find_spec("torch") is None:
    raise InputError(f"--suite {suite} measures against PyTorch, which is not here; run: pip install torch")

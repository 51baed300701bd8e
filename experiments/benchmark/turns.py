"""Alternatives that run in turns, and the machine that they share."""

import importlib.util
import os
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, TypeVar

import jax
import numpy as np

from tinybert_jax.errors import InputError

if TYPE_CHECKING:
  import torch

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


def torch_device(suite: str) -> "torch.device":
  """Returns the device that PyTorch is measured on, which is of JAX's kind, or the CPU where JAX has a TPU.

  Raises:
    InputError: PyTorch, which no other program here needs, is not installed, or has no GPU and JAX one.
  """
  if importlib.util.find_spec("torch") is None:
    raise InputError(f"--suite {suite} measures against PyTorch, which is not here; run: pip install torch")
  import torch  # seconds to import

  # JAX would take most of a GPU's memory for itself, and PyTorch is to run on the same one.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  if jax.default_backend() != "gpu":
    return torch.device("cpu")
  if not torch.cuda.is_available():
    raise InputError(
      f"--suite {suite}: JAX has a GPU, and PyTorch {torch.__version__} has none; install PyTorch for it, or set "
      "JAX_PLATFORMS=cpu"
    )
  return torch.device("cuda")


def wait(device: "torch.device") -> None:
  """Returns when everything that PyTorch was told to do is done."""
  if device.type == "cuda":
    import torch

    torch.cuda.synchronize()

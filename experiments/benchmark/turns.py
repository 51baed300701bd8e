"""Alternatives that run in turns, and the machine that they share."""

import contextlib
import functools
import importlib.util
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import jax
import numpy as np

from tinybert_jax.corpus.workers import end_with_parent
from tinybert_jax.errors import InputError, WorkerKilled

# By stage: a function that ends when its work is done, warmed up, and the sequences that it works through.
Stages = Mapping[str, tuple[Callable[[], object], int]]
OURS, ORIGINAL, BEST = "ours", "original", "best PyTorch"
DTYPES = ("float32", "bfloat16")  # which the sides have forms in
MUCH_FASTER = 1.25  # a form that takes as many times as long as another of its side need not be measured

_stages: dict[str, tuple[Callable[[], object], int]] = {}  # of the alternative whose process this is


class Turns(NamedTuple):
  """What was measured, by alternative and its stages.

  Attributes:
    sequences: that a turn works through.
    seconds: of each turn.
    memory: peak resident bytes of the alternative's process, all its stages in it.
  """

  sequences: dict[str, dict[str, int]]
  seconds: dict[str, dict[str, list[float]]]
  memory: dict[str, int]

  def median_rates(self) -> dict[str, dict[str, float]]:
    """Returns the sequences a second of each alternative in each of its stages: the medians of its turns."""
    return {
      name: {stage: float(number / np.median(self.seconds[name][stage])) for stage, number in stages.items()}
      for name, stages in self.sequences.items()
    }

  def print_memory(self) -> None:
    """Prints the peak memory of each alternative's process."""
    sizes = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in self.memory.items())
    print(f"GiB of resident memory at its peak, of each side's process with all its forms: {sizes}")


def median_rates(ours: Stages, others: Mapping[str, Callable[[], Stages]], repeats: int) -> dict[str, dict[str, float]]:
  """Returns the median rates of `run_turns`, which see."""
  return run_turns(ours, others, repeats).median_rates()


def run_turns(ours: Stages, others: Mapping[str, Callable[[], Stages]], repeats: int) -> Turns:
  """Returns what each alternative took, ours first, in each of its stages.

  Turns alternate. PyTorch's alternatives each run in a process of their own, as their users run them: no side meets
  another's threads, or memory that another left in pieces. Ours runs in this one, as in every program here, and alone
  holds its device.

  Args:
    ours: what we do.
    others: functions that return what each alternative does, called in its process; its stages take turns with ours,
      the first with the first, and may be fewer.
    repeats: turns of each.

  Raises:
    WorkerKilled: one of those processes is gone.
  """
  sequences = {OURS: {stage: number for stage, (_, number) in ours.items()}}
  run = {OURS: lambda stage: ours[stage][0]()}
  memory = {OURS: peak_memory}
  with contextlib.ExitStack() as stack:
    for name, make in others.items():
      pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent))
      sequences[name] = _in_process(name, pool, _prepare, make)
      run[name] = functools.partial(_in_process, name, pool, _run)
      memory[name] = functools.partial(_in_process, name, pool, peak_memory)
    seconds = {name: {stage: [] for stage in stages} for name, stages in sequences.items()}
    for _ in range(repeats):
      for stages in itertools.zip_longest(*sequences.values()):
        for name, stage in zip(sequences, stages, strict=True):
          if stage is None:
            continue
          start = time.perf_counter()
          run[name](stage)
          seconds[name][stage].append(time.perf_counter() - start)
    return Turns(sequences, seconds, {name: peak() for name, peak in memory.items()})


def peak_memory() -> int:
  """Returns the bytes of memory that this process has had at most.

  Linux's own count where it is: that of `getrusage` begins, in a process that another one started, with the other's.
  """
  try:
    with open("/proc/self/status", encoding="utf-8") as file:
      kibibytes = next(line for line in file if line.startswith("VmHWM")).split()[1]
  except (OSError, StopIteration):
    import resource  # which Windows has not

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size
  return 1024 * int(kibibytes)


def _in_process(name: str, pool: ProcessPoolExecutor, function: Callable, *arguments: object) -> object:
  try:
    return pool.submit(function, *arguments).result()
  except BrokenProcessPool as error:
    raise WorkerKilled(f"the process that measures {name} was killed, perhaps for want of memory") from error


def _prepare(make: Callable[[], Stages]) -> dict[str, int]:
  """Returns the sequences of each stage of PyTorch's alternative, which `_run` can then run."""
  import torch  # seconds to import

  torch.manual_seed(0)
  torch.set_num_threads(cores())
  made = make()
  _stages.update(made)
  return {stage: sequences for stage, (_, sequences) in made.items()}


def _run(stage: str) -> None:
  _stages[stage][0]()


def cores() -> int:
  """Returns the cores that this process may use, which JAX uses all."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def torch_device(suite: str) -> str:
  """Returns the device that PyTorch is measured on, cuda where JAX has a GPU, else cpu.

  On a CPU it does not load PyTorch, which would count as our memory.

  Raises:
    InputError: PyTorch, which no other program here needs, is not installed, or has no GPU and JAX one.
  """
  if importlib.util.find_spec("torch") is None:
    raise InputError(f"--suite {suite} measures against PyTorch, which is not here; run: pip install torch")
  # JAX would take most of a GPU's memory for itself, and PyTorch is to run on the same one.
  os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
  if jax.default_backend() != "gpu":
    return "cpu"
  import torch

  if not torch.cuda.is_available():
    raise InputError(
      f"--suite {suite}: JAX has a GPU, and PyTorch {torch.__version__} has none; install PyTorch for it, or set "
      "JAX_PLATFORMS=cpu"
    )
  return "cuda"


def wait(device: str) -> None:
  """Returns when everything that PyTorch was told to do is done."""
  if device == "cuda":
    import torch

    torch.cuda.synchronize()

"""The log of a training run: means of the metrics to a file, TensorBoard and a progress bar."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from tinybert_jax.without_torch import without_torch

_FILE = "log.jsonl"
_LAST_COUNTS = ("skipped", "skipped_in_a_row")  # counters, of which a mean says nothing


class RunLog:
  """Means of the metrics to `log.jsonl`, TensorBoard and the progress bar; never waits for the device between rows.

  Of several processes all keep the rows, and the first alone writes.
  """

  def __init__(self, directory: Path, history: list[dict[str, float]], title: str, total: int, step: int):
    """Args:
    directory: of the run.
    history: the rows so far, which the file is cut to; new ones are added to it.
    title: on the progress bar.
    total: steps of the run.
    step: steps done.
    """
    self._path, self._history = directory / _FILE, history
    self._pending: list[Mapping[str, Any]] = []
    self._compiled: set[tuple[int, ...]] = set()
    self._writes = jax.process_index() == 0
    if self._writes:
      new = self._path.with_suffix(".new")
      new.write_text("".join(json.dumps(row) + "\n" for row in history), encoding="utf-8")
      new.replace(self._path)
      self._events = _event_writer(directory, step)
    seconds = 0.1 if sys.stderr.isatty() else 30
    self._bar = tqdm(
      desc=title,
      total=total,
      initial=step,
      unit="step",
      mininterval=seconds,
      dynamic_ncols=True,
      disable=not self._writes,
    )
    self._start = time.perf_counter()

  def __enter__(self) -> "RunLog":
    return self

  def __exit__(self, *_) -> None:
    self._bar.close()
    if self._writes:
      self._events.close()

  @contextlib.contextmanager
  def compiling(self, batch: Mapping[str, Any], source: Any, is_ready: bool = False) -> Iterator[None]:
    """Says that a program is compiled, around the first step on batches of a shape, and keeps that out of the rate.

    Args:
      batch: of the step.
      source: of the batches, whose `lengths` tell how many programs there are, if it has them.
      is_ready: the program was compiled ahead, so there is nothing to say.
    """
    shape = tuple(np.shape(batch["input_ids"])) if "input_ids" in batch else ()
    if shape in self._compiled or not self._writes:
      yield
      return
    self._compiled.add(shape)
    if is_ready:
      yield
      return
    number = len(getattr(source, "lengths", ()))
    which = f" length {shape[-1]}" if shape else ""
    self._bar.set_postfix_str(f"compiling{which}" + (f" ({len(self._compiled)} of {number})" if number > 1 else ""))
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    self._bar.set_postfix_str("", refresh=False)
    self._bar.start_t += seconds
    self._bar.last_print_t += seconds

  def add(self, metrics: Mapping[str, Any]) -> None:
    """Takes the metrics of a step, arrays on the device."""
    self._pending.append(metrics)
    self._bar.update()

  def write_means(self, step: int) -> dict[str, float]:
    """Returns and writes the means of what was added since the last time; the counters' last values."""
    fetched = jax.device_get(self._pending)
    row = {name: float(np.mean([metrics[name] for metrics in fetched])) for name in fetched[-1]}
    row |= {name: float(fetched[-1][name]) for name in _LAST_COUNTS}
    now = time.perf_counter()
    row["seconds"], self._start, self._pending = now - self._start, now, []
    self.write(step, row)
    self._bar.set_postfix(loss=f"{row['loss']:.4g}")
    return row

  def write(self, step: int, row: Mapping[str, float]) -> None:
    """Writes a row of numbers."""
    self._history.append({"step": step, **row})
    if not self._writes:
      return
    with open(self._path, "a", encoding="utf-8") as file:
      file.write(json.dumps(self._history[-1]) + "\n")
    for name, value in row.items():
      self._events.add_scalar(name, value, step)


def read_log(directory: Path, rows: int | None) -> list[dict[str, float]]:
  """Returns the first `rows` rows of the log in `directory`: those that a checkpoint knows of; all where it is None."""
  path = directory / _FILE
  return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:rows]] if path.exists() else []


def _event_writer(directory: Path, step: int) -> Any:
  """Returns TensorBoard's writer, which leaves out what an earlier part of the run wrote after `step`."""
  with without_torch():
    from tensorboardX import SummaryWriter
  return SummaryWriter(str(directory), purge_step=step + 1 if step else None)

"""What the student learns from in prediction distillation: teachers' logits, or what came from elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np

from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import row_length
from tinybert_jax.data.ragged import Ragged
from tinybert_jax.models.encoder import apply_head
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.tasks.task import Logits
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.hosts import say

_MUCH = 1_000_000_000  # bytes
_FILE, _OLD_FILE = "teacher_targets.npz", "teacher_logits.npz"  # the second is of version 0.1


class Targets:
  """What the student learns from in prediction distillation: the logits of one teacher, or of several together."""

  def __init__(self, run: TaskRun, teachers: Sequence[Finished], weights: Sequence[float] = ()):
    """Args:
    run: the task, with rows of the teachers' tokens.
    teachers: one or more; their targets are combined as the task says.
    weights: of the teachers; by default equal.
    """
    self._run, self._teachers = run, list(teachers)
    self._weights = tuple(weights) or (1.0,) * len(self._teachers)
    self._dev: dict[str, Any] = {}

  @property
  def fingerprint(self) -> str:
    """The fingerprint of the teacher, or of all and their weights."""
    if len(self._teachers) == 1:
      return self._teachers[0].fingerprint
    return fingerprint.of_text(f"{[teacher.fingerprint for teacher in self._teachers]} {self._weights}")

  @property
  def of_rows(self) -> str:
    """The fingerprint of the token rows that the teachers read; the student's may be other tokens of the same texts."""
    return self._run.rows.of_transfer

  def values(self) -> Logits:
    """Returns the targets of the transfer rows, stored in the run's folder."""
    values = [self.fingerprint, self._run.rows.of_transfer, *precision.as_inputs(self._run.dtype).values()]
    made_from = " ".join([*values, *(["half"] if self._run.half_targets else [])])
    path = self._run.place(_FILE, made_from)
    hosts.on_first(lambda: _rename(self._run.folder / _OLD_FILE, path))
    return stages.stored_logits(path, made_from, self._kept)

  def _kept(self) -> Logits:
    """Returns the targets of the transfer rows, as they are stored; says how much memory they take if it is much."""
    rows, half = self._run.rows.transfer, self._run.half_targets
    model = self._teachers[0].model
    example = {"input_ids": jnp.ones((1, 2), jnp.int32)}
    given = jax.eval_shape(lambda params: apply_head(model, params, example), self._teachers[0].params)
    if given.ndim == 3:
      size = int(row_length(rows).sum()) * given.shape[-1] * (2 if half else 4)
      more = "" if half or size < _MUCH else "; --half-targets takes half of it"
      say(f"{'':13} the teacher's targets take {size / 1e6:,.0f} MB, {given.shape[-1]} numbers for each token{more}")
    values = self.of(rows)
    if not half:
      return values
    return Ragged(_half(values.values), values.lengths) if isinstance(values, Ragged) else _half(values)

  def dev(self, split: str) -> Any:
    """Returns the outputs of the teachers for a dev split's texts."""
    if split not in self._dev:
      rows = self._run.rows.dev[split]
      self._dev[split] = self._run.task.joined(self.of(rows), rows)
    return self._dev[split]

  def of(self, rows: datasets.Dataset) -> Logits:
    """Returns the targets of any token rows."""
    logits = [predict(teacher.model, teacher.params, rows, name="the teacher") for teacher in self._teachers]
    return self._run.task.combine_targets(logits, self._weights)


class GivenTargets:
  """Targets that came from elsewhere, such as a large language model or an ensemble, for the transfer rows."""

  def __init__(self, logits: np.ndarray, dev: Mapping[str, np.ndarray]):
    """Args:
    logits: of the transfer rows.
    dev: of the rows of each dev split, where they are not all labelled.
    """
    self._logits, self._dev = logits, dev
    self.fingerprint = fingerprint.of_params({"targets": logits})

  def values(self) -> np.ndarray:
    """Returns the targets of the transfer rows."""
    return self._logits

  def dev(self, split: str) -> np.ndarray:
    """Returns the targets of a dev split's rows."""
    return self._dev[split]


def _half(values: np.ndarray) -> np.ndarray:
  """Returns values in half precision; those beyond its range become its largest."""
  most = np.finfo(np.float16).max
  return np.clip(values, -most, most).astype(np.float16)


def _rename(old: Path, new: Path) -> None:
  if old.is_file() and not new.exists():
    old.rename(new)

"""Our training step compiled for the shapes that come, with its memory, and the profile of its time."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from experiments.benchmark import shares
from tinybert_jax.data.batches import NumpyBatch
from tinybert_jax.distillation.objectives import LossFn, Params
from tinybert_jax.training import steps
from tinybert_jax.training.optim import adamw, schedule


class StepProgram:
  """The update of a run on a state of its own, compiled once for each length of its batches."""

  def __init__(self, params: Params, teacher_params: Params, loss_fn: LossFn, batches: Sequence[NumpyBatch]):
    """Args:
    params: to train.
    teacher_params: what the loss function reads besides.
    loss_fn: from `objectives`.
    batches: one of each shape that will come.
    """
    optimizer = adamw(schedule(5e-5, 1000))
    self._teacher_params = jax.device_put(teacher_params)
    self._state = steps.create_state(params, optimizer, steps.random_key(0))
    update = steps.jit_update(steps.make_update(loss_fn, optimizer))
    self._programs = {
      batch["input_ids"].shape[1]: update.lower(self._state, self._teacher_params, batch).compile()  # type: ignore[attr-defined]
      for batch in batches
    }
    self.train(batches)

  def train(self, batches: Any) -> None:
    """Trains on the batches, and waits for the end."""
    for batch in batches:
      self._step(jax.device_put(batch))
    jax.block_until_ready(self._state)

  def memory(self, length: int) -> str:
    """Returns what the compiler says of a step's memory."""
    sizes = self._programs[length].memory_analysis()
    if sizes is None:
      return "not told by the compiler"
    arguments, temporary = (size / 2**30 for size in (sizes.argument_size_in_bytes, sizes.temp_size_in_bytes))
    return f"{arguments:.2f} GiB of state, teacher and batch, {temporary:.2f} GiB of temporaries"

  def print_shares(
    self, batches: Sequence[NumpyBatch], make_input: Callable[[], Any], flops: float, peak: float
  ) -> dict[str, float]:
    """Prints where the time of steps of these batches went, all of one length; see `shares.print_shares`.

    Args:
      batches: one for each step.
      make_input: what a step's input takes.
      flops: of the matrix products of a step.
      peak: operations a second.
    """
    on_device = [jax.device_put(batch) for batch in batches]
    state_of = iter(on_device)

    def step() -> Any:
      self._step(next(state_of))
      return self._state

    program = self._programs[batches[0]["input_ids"].shape[1]].as_text()
    profile = shares.record(step, make_input, len(batches))
    return shares.print_shares(profile, program, len(batches), flops, peak)

  def _step(self, batch: Any) -> None:
    self._state, _ = self._programs[batch["input_ids"].shape[1]](self._state, self._teacher_params, batch)

"""Learning-rate schedules and the optimizer, from optax."""

from typing import Literal

import jax
import optax

Decay = Literal["linear", "cosine", "constant"]


def schedule(learning_rate: float, steps: int, *, warmup: float = 0.1, decay: Decay = "linear") -> optax.Schedule:
  """Returns the learning rate by step: linear warm-up from 0, then decay to 0 at `steps`.

  Args:
    learning_rate: the peak.
    steps: of the whole run.
    warmup: the share of `steps` that warms up.
    decay: "linear" as in BERT, "cosine", or "constant" for none.
  """
  warmup_steps = round(steps * warmup)
  rest = max(steps - warmup_steps, 1)
  after = {
    "linear": lambda: optax.linear_schedule(learning_rate, 0.0, rest),
    "cosine": lambda: optax.cosine_decay_schedule(learning_rate, rest),
    "constant": lambda: optax.constant_schedule(learning_rate),
  }[decay]()
  if not warmup_steps:
    return after
  return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup_steps), after], [warmup_steps])


def adamw(
  learning_rate: optax.ScalarOrSchedule,
  *,
  weight_decay: float = 0.01,
  max_grad_norm: float = 1.0,
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-6,
) -> optax.GradientTransformation:
  """Returns AdamW with clipping by global norm, no decay on biases and LayerNorm, that skips non-finite gradients.

  A skipped step leaves parameters and moments as they were; the state's `notfinite_count` counts those in
  a row and `total_notfinite` all of them.

  Args:
    learning_rate: a number or a schedule.
    weight_decay: decoupled, as in Loshchilov & Hutter (arXiv:1711.05101).
    max_grad_norm: the global norm that gradients are scaled down to.
    b1: decay of the first moment.
    b2: decay of the second moment.
    eps: in the denominator; 1e-6 as in the original BERT, where PyTorch has 1e-8.
  """
  inner = optax.chain(
    optax.clip_by_global_norm(max_grad_norm),
    optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=_decays),
  )
  # optax would apply the update after so many skips in a row: here never. The loop stops the run instead.
  return optax.apply_if_finite(inner, max_consecutive_errors=2**31 - 2)


def _decays(params: optax.Params) -> optax.Params:
  """Returns which leaves decay: the matrices, not biases nor LayerNorm scales."""
  return jax.tree.map_with_path(lambda path, _: path[-1].key in ("kernel", "embedding"), params)

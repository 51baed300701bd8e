"""Learning-rate schedules and the optimizer, from optax."""

from typing import get_args

import jax
import jax.numpy as jnp
import optax

from tinybert_jax.choices import Decay
from tinybert_jax.errors import InputError
from tinybert_jax.settings import AT_LEAST_1, DROPOUT, NOT_NEGATIVE, POSITIVE, SHARE, check_number


def schedule(learning_rate: float, steps: int, *, warmup: float = 0.1, decay: Decay = "linear") -> optax.Schedule:
  """Returns the learning rate by step: linear warm-up from 0, then decay to 0 at `steps`.

  Args:
    learning_rate: the peak.
    steps: of the whole run.
    warmup: the share of `steps` that warms up.
    decay: "linear" as in BERT, "cosine", or "constant" for none.

  Raises:
    InputError: a number that is out of bounds, or another name.
  """
  check_number("learning_rate", learning_rate, NOT_NEGATIVE)
  check_number("steps", steps, AT_LEAST_1, whole=True)
  check_number("warmup", warmup, SHARE)
  if decay not in get_args(Decay):
    raise InputError(f"decay {decay!r}: it must be one of {', '.join(get_args(Decay))}")
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

  Raises:
    InputError: a number that is out of bounds.
  """
  if not callable(learning_rate) and not isinstance(learning_rate, jax.Array):
    check_number("learning_rate", learning_rate, NOT_NEGATIVE)
  check_number("weight_decay", weight_decay, NOT_NEGATIVE)
  for name, value, bound in (("max_grad_norm", max_grad_norm, POSITIVE), ("b1", b1, DROPOUT), ("b2", b2, DROPOUT)):
    check_number(name, value, bound)
  check_number("eps", eps, NOT_NEGATIVE)

  def adam(b1, b2):
    return optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=_decays)

  def init(params):
    # optax's state, so that its names stay; its update branches, and on a CPU that copies all moments in every step.
    return optax.apply_if_finite(adam(b1, b2), max_consecutive_errors=0).init(params)

  def update(gradient, state, params):
    norm = optax.tree.norm(gradient)
    finite = jnp.isfinite(norm)
    scale = jnp.minimum(1.0, max_grad_norm / norm)
    clipped = jax.tree.map(lambda g: jnp.where(finite, g * scale, 0), gradient)
    # A skipped step is a gradient of 0 and decays of 1, which leave the moments as they are, bit for bit.
    kept = adam(jnp.where(finite, b1, 1.0), jnp.where(finite, b2, 1.0))
    updates, inner = kept.update(clipped, state.inner_state, params)
    updates = jax.tree.map(lambda u: jnp.where(finite, u, 0), updates)
    inner = jax.tree.map(
      lambda new, old: jnp.where(finite, new, old) if jnp.issubdtype(new.dtype, jnp.integer) else new,  # step counts
      inner,
      state.inner_state,
    )
    skipped = 1 - finite.astype(jnp.int32)
    return updates, optax.ApplyIfFiniteState(
      notfinite_count=(state.notfinite_count + 1) * skipped,
      last_finite=finite,
      total_notfinite=state.total_notfinite + skipped,
      inner_state=inner,
    )

  return optax.GradientTransformation(init, update)


def _decays(params: optax.Params) -> optax.Params:
  """Returns which leaves decay: the matrices, not biases nor LayerNorm scales."""
  return jax.tree.map_with_path(lambda path, _: path[-1].key in ("kernel", "embedding"), params)

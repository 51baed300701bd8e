"""Which numbers a device multiplies fast: the dtype of the inputs of matrix products."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from tinybert_jax.choices import Precision

_CPU_FLAGS = ("amx_bf16", "avx512_bf16")
_FIRST_GPU = 8.0  # NVIDIA's compute capability with products of bfloat16


class Choice(NamedTuple):
  """A dtype of products, and why."""

  dtype: np.dtype
  reason: str

  def __str__(self) -> str:
    return f"{self.dtype.name} products ({self.reason})"


def choose(precision: Precision) -> Choice:
  """Returns the dtype that "auto" stands for on the default device, or the one that is asked for."""
  if precision != "auto":
    return Choice(jnp.dtype(precision), "as asked for")
  return _of_device(jax.devices()[0])


def as_inputs(dtype: DTypeLike) -> dict[str, Any]:
  """Returns what a result depends on: the dtype, where it is not float32, as all of version 0.1's was."""
  name = jnp.dtype(dtype).name
  return {} if name == "float32" else {"dtype": name}


@functools.cache
def _of_device(device: jax.Device) -> Choice:
  low, full = jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float32)
  if device.platform == "tpu":
    return Choice(low, "a TPU multiplies these in hardware")
  if device.platform == "gpu":
    capability = str(getattr(device, "compute_capability", ""))
    try:
      has = float(capability) >= _FIRST_GPU
    except ValueError:  # AMD's are names; all that JAX supports have these products
      has = capability.startswith("gfx")
    return Choice(low if has else full, f"compute capability {capability or 'unknown'}")
  flags = cpu_flags()
  found = [flag for flag in _CPU_FLAGS if flag in flags]
  return (
    Choice(low, f"the CPU has {found[0]}") if found else Choice(full, f"the CPU has neither {' nor '.join(_CPU_FLAGS)}")
  )


def cpu_flags() -> frozenset[str]:
  """Returns the instruction sets that Linux reports for the CPU; none elsewhere."""
  try:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
      lines = (line for line in file if line.startswith("flags"))
      return frozenset(next(lines, "").partition(":")[2].split())
  except OSError:
    return frozenset()

"""The activations of a feed-forward layer, by the names of configurations."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from tinybert_jax.errors import InputError
from tinybert_jax.models import products

_EXACT_GELU = functools.partial(jax.nn.gelu, approximate=False)
# The names of Hugging Face's ACT2FN that configurations use.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  "gelu": _EXACT_GELU,
  "gelu_python": _EXACT_GELU,
  "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
  "gelu_fast": functools.partial(jax.nn.gelu, approximate=True),
  "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
  "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
  "relu": jax.nn.relu,
  "relu2": lambda x: jnp.square(jax.nn.relu(x)),
  "relu6": jax.nn.relu6,
  "leaky_relu": jax.nn.leaky_relu,
  "silu": jax.nn.silu,
  "swish": jax.nn.silu,
  "mish": jax.nn.mish,
  "sigmoid": jax.nn.sigmoid,
  "tanh": jnp.tanh,
  "linear": lambda x: x,
}


def check_supported(name: str) -> None:
  """Raises InputError where no activation has this name."""
  if name not in ACTIVATIONS:
    raise InputError(f"hidden_act {name!r} is not supported; there are {', '.join(ACTIVATIONS)}")


def activate(name: str, x: Float[Array, "..."], products_dtype: DTypeLike) -> Float[Array, "..."]:
  """Returns the activation of ACT2FN's `name`, for a product that rounds it to `products_dtype`.

  The exact GELU is then ½·x·(1 + erf(x/√2)), in half the time on a CPU of JAX's own by erfc. What that loses, relative
  accuracy at large negative x, rounding would lose too: they differ by less than 4e-7 (1 + |x|).

  Raises InputError for an unknown name.
  """
  check_supported(name)
  activation = ACTIVATIONS[name]
  if products.is_rounded(products_dtype) and activation is _EXACT_GELU:
    return 0.5 * x * (1 + jax.lax.erf(x * math.sqrt(0.5)))
  return activation(x)

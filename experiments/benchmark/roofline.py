"""What a step of general distillation computes in matrix products, and how fast the device computes these."""

import functools
import time

import jax
import jax.numpy as jnp

from tinybert_jax.models.config import EncoderConfig

_REPEATS = 10


def step_flops(teacher: EncoderConfig, student: EncoderConfig, batch_size: int, length: int) -> float:
  """Returns the floating-point operations of the matrix products that one step needs.

  The teacher's forward pass, and the student's with its projections three times: forward, and backward twice as much.
  What a program computes besides, such as element-wise work, or a product twice, does not count for it.
  """
  tokens = batch_size * length
  projections = (student.num_hidden_layers + 1) * 2 * tokens * student.hidden_size * teacher.hidden_size
  return _forward_flops(teacher, tokens, length) + 3 * (_forward_flops(student, tokens, length) + projections)


def _forward_flops(config: EncoderConfig, tokens: int, length: int) -> float:
  width, inner = config.hidden_size, config.intermediate_size
  dense = 2 * tokens * (4 * width**2 + 2 * width * inner)
  attention = 2 * 2 * tokens * length * width  # QKᵀ, and the probabilities by V
  return config.num_hidden_layers * (dense + attention)


def classifier_flops(config: EncoderConfig, batch_size: int, length: int) -> float:
  """Returns the floating-point operations of the matrix products up to a classifier's pooled output.

  The last layer is needed for the first token alone, but for its keys and values.
  """
  tokens, width, inner = batch_size * length, config.hidden_size, config.intermediate_size
  last = 2 * 2 * tokens * width**2 + 2 * batch_size * (2 * width**2 + 2 * width * inner) + 2 * 2 * tokens * width
  pooler = 2 * batch_size * width**2
  others = _forward_flops(config, tokens, length) * (config.num_hidden_layers - 1) / config.num_hidden_layers
  return others + last + pooler


def matmul_rate(dtype: jnp.dtype, size: int) -> float:
  """Returns the floating-point operations a second in the product of two matrices of `size` × `size`, at their best.

  The matrices are of `dtype`, their product float32.
  """
  x = jax.random.normal(jax.random.key(0), (size, size), jnp.float32).astype(dtype)
  product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
  seconds = []
  for _ in range(_REPEATS + 1):  # the first, which compiles, is never the best
    start = time.perf_counter()
    jax.block_until_ready(product(x, x))
    seconds.append(time.perf_counter() - start)
  return 2 * size**3 / min(seconds)

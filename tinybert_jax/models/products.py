"""Matrix products whose inputs are rounded to a lower precision and whose sums are float32, forward and backward.

`dtype` is that of a product's inputs. With float32 they are JAX's own. With bfloat16 all three products of a layer, the
one forward and the two of its gradient, have bfloat16 inputs; automatic differentiation alone would multiply a float32
cotangent, which hardware for bfloat16 does not speed up.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_LEAST_ROWS = 4  # of the left matrix on a CPU


def is_rounded(dtype: DTypeLike) -> bool:
  """Returns whether products of this dtype round their float32 inputs."""
  return jnp.dtype(dtype) != jnp.float32


def dot_general(dtype: DTypeLike) -> Any:
  """Returns what `nn.Dense` takes as its `dot_general`: products of the last axis with a matrix's first."""
  if not is_rounded(dtype):
    return jax.lax.dot_general

  def product(x: Array, kernel: Array, dimension_numbers: Any, **_: Any) -> Array:
    if dimension_numbers != (((x.ndim - 1,), (0,)), ((), ())):
      raise ValueError(f"only products of the last axis with the first are rounded, not {dimension_numbers}")
    return dense(x, kernel, dtype)

  return product


def dense(x: Float[Array, "*B D"], kernel: Float[Array, "D F"], dtype: DTypeLike) -> Float[Array, "*B F"]:
  """Returns x·kernel in float32.

  Args:
    x: any batch axes.
    kernel: the matrix.
    dtype: that both are rounded to.
  """
  if not is_rounded(dtype):
    return jnp.matmul(x, kernel)
  rows = x.reshape(-1, x.shape[-1])
  return einsum("nd,df->nf", rows, kernel, dtype).reshape(*x.shape[:-1], kernel.shape[-1])


def einsum(spec: str, a: Float[Array, "..."], b: Float[Array, "..."], dtype: DTypeLike) -> Float[Array, "..."]:
  """Returns the `jnp.einsum` of two arrays in float32.

  Args:
    spec: such as "bqhk,bmhk->bhqm"; every letter stands in at least two of its three parts.
    a: the first.
    b: the second.
    dtype: that both are rounded to.
  """
  if not is_rounded(dtype):
    return jnp.einsum(spec, a, b, preferred_element_type=jnp.float32)
  return _einsum(spec, a, b, jnp.dtype(dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def _einsum(spec: str, a: Array, b: Array, dtype: np.dtype) -> Array:
  return _low_einsum(spec, a.astype(dtype), b.astype(dtype))


def _einsum_forward(spec: str, a: Array, b: Array, dtype: np.dtype) -> tuple[Array, tuple]:
  low = a.astype(dtype), b.astype(dtype)
  return _low_einsum(spec, *low), (*low, _like(a), _like(b))


def _einsum_backward(spec: str, dtype: np.dtype, kept: tuple, cotangent: Array) -> tuple[Array, Array]:
  a, b, like_a, like_b = kept
  of_a, of_b, of_result = spec.replace("->", ",").split(",")
  cotangent = cotangent.astype(dtype)
  a_gradient = _low_einsum(f"{of_result},{of_b}->{of_a}", cotangent, b)
  b_gradient = _low_einsum(f"{of_a},{of_result}->{of_b}", a, cotangent)
  return a_gradient.astype(like_a.dtype), b_gradient.astype(like_b.dtype)


_einsum.defvjp(_einsum_forward, _einsum_backward)


def _low_einsum(spec: str, a: Array, b: Array) -> Array:
  default = functools.partial(jnp.einsum, spec, preferred_element_type=jnp.float32)
  return jax.lax.platform_dependent(a, b, cpu=functools.partial(_einsum_in_rows, spec), default=default)


def _einsum_in_rows(spec: str, a: Array, b: Array) -> Array:
  """Returns the einsum by a product of matrices that lie in memory row by row.

  On a CPU, XLA (of JAX 0.10) multiplies bfloat16 fast only so. It would fold a plain transpose into the product, and
  then compute in float32, or end in an error. A single row would have the right matrix made float32 in each call, a
  matrix that does not change too; so there are more, of zeros.
  """
  of_a, of_b, of_result = spec.replace("->", ",").split(",")
  batch = [letter for letter in of_result if letter in of_a and letter in of_b]
  summed = [letter for letter in of_a if letter in of_b and letter not in of_result]
  rows, columns = ([letter for letter in of_result if letter not in other] for other in (of_b, of_a))
  if rows and columns and of_result.index(columns[0]) < of_result.index(rows[0]):
    return _einsum_in_rows(f"{of_b},{of_a}->{of_result}", b, a)
  size = dict(zip(of_a + of_b, a.shape + b.shape, strict=True))

  def sizes(letters: list[str]) -> list[int]:
    return [size[letter] for letter in letters]

  transposed = list(of_b) == [*batch, *columns, *summed]  # which the right matrix may be
  left = _in_order(a, of_a, [*batch, *rows, *summed])
  right = b if transposed else _in_order(b, of_b, [*batch, *summed, *columns])
  stacked = [math.prod(sizes(batch))] if batch else []
  height, depth, width = (math.prod(sizes(letters)) for letters in (rows, summed, columns))
  left = left.reshape(*stacked, height, depth)
  if height == 1:
    left = jnp.pad(left, [(0, 0)] * (left.ndim - 2) + [(0, _LEAST_ROWS - 1), (0, 0)])
  right = right.reshape(*stacked, *((width, depth) if transposed else (depth, width)))
  axes = tuple(range(len(stacked)))
  contracted = (left.ndim - 1,), (right.ndim - 1 if transposed else right.ndim - 2,)
  product = jax.lax.dot_general(left, right, (contracted, (axes, axes)), preferred_element_type=jnp.float32)
  if height == 1:
    product = product[..., :1, :]
  order = [*batch, *rows, *columns]
  return _in_order(product.reshape(sizes(order)), "".join(order), list(of_result))


def _in_order(array: Array, letters: str, order: list[str]) -> Array:
  """Returns the array with its axes, named by letters, in that order; moved in memory, which a transpose may not do."""
  if list(letters) == order:
    return array
  array = array.transpose([letters.index(letter) for letter in order])
  return with_layout_constraint(array, Layout(major_to_minor=tuple(range(array.ndim))))


def _like(array: Array) -> Array:
  """Returns an empty array that remembers a dtype, for the gradient."""
  return jnp.zeros((0,), array.dtype)

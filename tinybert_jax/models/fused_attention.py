"""Attention whose scores never leave the chip: Pallas kernels for TPU, run by the interpreter elsewhere.

Arrays of batch × heads × length × length are most of what distillation moves through memory; here one head of one
example is in the chip's fast memory at a time. Queries, keys and values come with merged heads, B×L×D, as the matrix
products give them. Dropout's random bytes are drawn in the kernels as well.

Shapes: B batch, L length, D width of the heads together, H heads, K head size; S the student's, T the teacher's.
"""

import dataclasses
import functools
import math
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.extend.random import threefry2x32_p
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int32, UInt32

from tinybert_jax.models.attention import QueryAndKey

# Tokens whose length × length arrays the compiler still fits into the fast memory of every generation from v4 on.
MAX_LENGTH = 256


# An array of the whole batch, its shape, or inside a kernel a reference to one example's, without the axis B.
_Leaf = TypeVar("_Leaf")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Inputs(Generic[_Leaf]):
  """Of one attention layer.

  Attributes:
    query: B×L×S.
    key: B×L×S.
    value: B×L×S.
    mask: B×1×L, floating-point.
    seed: B×1×2, unsigned; None without dropout.
    teacher: its queries and keys, B×L×T each.
  """

  query: _Leaf
  key: _Leaf
  value: _Leaf
  mask: _Leaf
  seed: _Leaf | None
  teacher: tuple[_Leaf, _Leaf] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Gradients(Generic[_Leaf]):
  """Of the inputs that have one, in their shapes."""

  query: _Leaf
  key: _Leaf
  value: _Leaf


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Results(Generic[_Leaf]):
  """Context B×L×S, and the squared error of the scores B×1×L, summed over heads and queries; or their gradients."""

  context: _Leaf
  error: _Leaf | None


@dataclasses.dataclass(frozen=True)
class _Static:
  """Heads, and how many of the 256 values of a random byte drop a probability."""

  heads: int
  dropped: int


def attend(
  query: Float[Array, "B L D"],
  key: Float[Array, "B L D"],
  value: Float[Array, "B L D"],
  mask: Bool[Array | np.ndarray, "B L"],
  *,
  heads: int,
  seed: UInt32[Array, "B 2"] | None = None,
  dropped: int = 0,
) -> Float[Array, "B L D"]:
  """Returns softmax(QKᵀ/√K)V of every head, over the keys in the mask.

  Args:
    query: Q of all heads, head h at h·K to (h+1)·K.
    key: K, likewise.
    value: V, likewise.
    mask: which keys are tokens.
    heads: H.
    seed: random words of each example, from which bytes for dropout of its probabilities are drawn; None for none.
    dropped: a probability whose byte is less is zeroed, the others are scaled by 256/(256 - dropped).

  Raises:
    ValueError: sequences longer than `MAX_LENGTH`.
  """
  inputs = _Inputs(query, key, value, _row(mask.astype(jnp.float32)), _row(seed), None)
  return _attention(_Static(heads, dropped), inputs).context


def attend_and_compare(
  query: Float[Array, "B L S"],
  key: Float[Array, "B L S"],
  value: Float[Array, "B L S"],
  mask: Bool[Array | np.ndarray, "B L"],
  teacher: QueryAndKey,
  *,
  heads: int,
  seed: UInt32[Array, "B 2"] | None = None,
  dropped: int = 0,
) -> tuple[Float[Array, "B L S"], Float[Array, " B"]]:
  """Returns the context, as `attend`, and the squared error of the scores to the teacher's.

  The error is summed over heads and pairs of tokens that are both in the mask. The teacher gets no gradient.
  """
  inputs = _Inputs(query, key, value, _row(mask.astype(jnp.float32)), _row(seed), teacher)
  results = _attention(_Static(heads, dropped), inputs)
  assert results.error is not None  # there is a teacher
  return results.context, jnp.sum(results.error, axis=(1, 2))


def _row(array: Array | np.ndarray | None) -> Array | None:
  return None if array is None else jnp.asarray(array)[:, None, :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(static: _Static, inputs: _Inputs[Array]) -> _Results[Array]:
  length = inputs.mask.shape[-1]
  if length > MAX_LENGTH:
    raise ValueError(f"sequences of {length} tokens do not fit fused attention, which takes {MAX_LENGTH} at most")
  return _run(_forward, static, _results_like(inputs), inputs)


def _attention_forward(static: _Static, inputs: _Inputs[Array]) -> tuple[_Results[Array], _Inputs[Array]]:
  return _attention(static, inputs), inputs


def _attention_backward(static: _Static, inputs: _Inputs[Array], gradients: _Results[Array]) -> tuple[_Inputs]:
  like = _Gradients(_like(inputs.query), _like(inputs.key), _like(inputs.value))
  found = _run(_backward, static, like, inputs, gradients)
  return (_Inputs(found.query, found.key, found.value, None, None, None),)


_attention.defvjp(_attention_forward, _attention_backward)


def _like(array: Array) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _results_like(inputs: _Inputs[Array]) -> _Results[jax.ShapeDtypeStruct]:
  return _Results(_like(inputs.query), None if inputs.teacher is None else _like(inputs.mask))


def _forward(static: _Static, inputs: _Inputs[jax.Ref], results: _Results[jax.Ref]) -> None:
  """The kernel that gives context and error of one example."""
  keep_1xL = inputs.mask[...] > 0
  if inputs.teacher is not None:
    pairs_LxL = _pairs(inputs.mask)
    error_1xL = jnp.zeros_like(inputs.mask)
  for head in range(static.heads):
    take = functools.partial(_head, head=head, heads=static.heads)
    scores_LxL = _scores(take(inputs.query), take(inputs.key))
    probs_LxL = _softmax(scores_LxL, keep_1xL)
    if inputs.seed is not None:
      probs_LxL = _drop(probs_LxL, _random_bytes(inputs.seed[...], head, keep_1xL.shape[1]), static.dropped)
    value_LxK = take(inputs.value)
    _store(results.context, head, static.heads, _product(probs_LxL.astype(value_LxK.dtype), value_LxK))
    if inputs.teacher is not None:
      difference_LxL = scores_LxL - _scores(*map(take, inputs.teacher))
      error_1xL += jnp.sum(jnp.square(difference_LxL) * pairs_LxL, axis=0, keepdims=True)
  if results.error is not None:
    results.error[...] = error_1xL


def _backward(
  static: _Static, inputs: _Inputs[jax.Ref], gradients: _Results[jax.Ref], results: _Gradients[jax.Ref]
) -> None:
  """The kernel that gives the gradients of one example's queries, keys and values; scores are computed again."""
  keep_1xL = inputs.mask[...] > 0
  if gradients.error is not None:
    weight_LxL = 2 * _pairs(inputs.mask) * gradients.error[...]
  for head in range(static.heads):
    take = functools.partial(_head, head=head, heads=static.heads)
    query_LxK, key_LxK, value_LxK, d_context_LxK = map(
      take, (inputs.query, inputs.key, inputs.value, gradients.context)
    )
    dtype = query_LxK.dtype
    scores_LxL = _scores(query_LxK, key_LxK)
    probs_LxL = _softmax(scores_LxL, keep_1xL)
    d_probs_LxL = _product(d_context_LxK, value_LxK, transpose_b=True)
    used_LxL = probs_LxL
    if inputs.seed is not None:
      random_LxL = _random_bytes(inputs.seed[...], head, keep_1xL.shape[1])
      used_LxL = _drop(probs_LxL, random_LxL, static.dropped)
      d_probs_LxL = _drop(d_probs_LxL, random_LxL, static.dropped)
    mean_Lx1 = jnp.sum(d_probs_LxL * probs_LxL, axis=1, keepdims=True)
    # The mask once more for an example without tokens, whose probabilities at the mask are not 0.
    d_scores_LxL = jnp.where(keep_1xL, probs_LxL * (d_probs_LxL - mean_Lx1), 0)
    if inputs.teacher is not None:
      difference_LxL = scores_LxL - _scores(*map(take, inputs.teacher))
      d_scores_LxL += weight_LxL * difference_LxL
    d_scores_LxL /= math.sqrt(query_LxK.shape[-1])
    store = functools.partial(_store, head=head, heads=static.heads)
    store(results.query, values=_product(d_scores_LxL.astype(dtype), key_LxK))
    store(results.key, values=_product(d_scores_LxL.T.astype(dtype), query_LxK))
    store(results.value, values=_product(used_LxL.T.astype(dtype), d_context_LxK))


def _head(array: jax.Ref, head: int, heads: int) -> Array:
  size = array.shape[-1] // heads
  return array[:, head * size : (head + 1) * size]


def _store(array: jax.Ref, head: int, heads: int, values: Array) -> None:
  size = array.shape[-1] // heads
  array[:, head * size : (head + 1) * size] = values.astype(array.dtype)


def _product(a: Array, b: Array, transpose_b: bool = False) -> Array:
  dimensions = (((1,), (1 if transpose_b else 0,)), ((), ()))
  return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def _scores(query_LxK: Array, key_LxK: Array) -> Array:
  return _product(query_LxK, key_LxK, transpose_b=True) * (1 / math.sqrt(query_LxK.shape[-1]))


def _softmax(scores_LxL: Array, keep_1xL: Array) -> Array:
  masked_LxL = jnp.where(keep_1xL, scores_LxL, jnp.finfo(jnp.float32).min)
  powers_LxL = jnp.exp(masked_LxL - jnp.max(masked_LxL, axis=1, keepdims=True))
  return powers_LxL / jnp.sum(powers_LxL, axis=1, keepdims=True)


def _random_bytes(seed_1x2: Array, head: int, length: int) -> Int32[Array, "L L"]:
  """Returns the bytes that decide for a head's probabilities: threefry of the head and a count, keyed by the seed.

  Each count gives eight bytes, which stand below one another by as many rows as there are counts in a column: whole
  tiles of the chip's, so that nothing is moved.
  """
  rows = 8 * -(-length // 64)
  row, column = (jax.lax.broadcasted_iota(jnp.uint32, (rows, length), axis) for axis in (0, 1))
  words = threefry2x32_p.bind(
    jnp.broadcast_to(seed_1x2[:, :1], row.shape),
    jnp.broadcast_to(seed_1x2[:, 1:], row.shape),
    jnp.full_like(row, head),
    row * length + column,
  )
  parts = [(word >> shift) & 255 for word in words for shift in (0, 8, 16, 24)]
  return jnp.concatenate(parts).astype(jnp.int32)[:length]


def _drop(x_LxL: Array, random_LxL: Array, dropped: int) -> Array:
  return jnp.where(random_LxL >= dropped, x_LxL * (256 / (256 - dropped)), 0)


def _pairs(mask: jax.Ref) -> Array:
  """Returns 1 where both tokens of a pair are in the mask, else 0."""
  keys_LxL = jnp.broadcast_to(mask[...], (mask.shape[-1], mask.shape[-1]))
  return keys_LxL * keys_LxL.T


def _run(kernel, static: _Static, like, *inputs):
  """Returns what a kernel gives, `like` in shapes; under a mesh, every device computes its own rows."""
  function = functools.partial(_platform_call, kernel, static, like)
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.manual_axes:
    return function(*inputs)
  # A kernel is opaque to the partitioner, which could only gather the whole batch for it.
  rows = PartitionSpec(mesh.axis_names)
  return jax.shard_map(function, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False)(*inputs)


def _platform_call(kernel, static: _Static, like, *inputs):
  call = functools.partial(_call, kernel, static, like)
  return jax.lax.platform_dependent(
    *inputs, tpu=functools.partial(call, interpret=False), default=functools.partial(call, interpret=True)
  )


def _call(kernel, static: _Static, like, *inputs, interpret: bool):
  batch = inputs[0].query.shape[0]
  like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype), like)
  (results,) = pl.pallas_call(
    functools.partial(kernel, static),
    grid=(batch,),
    in_specs=jax.tree.map(_example, inputs),
    out_specs=(jax.tree.map(_example, like),),
    out_shape=(like,),
    compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",)),
    cost_estimate=_cost(kernel, static, inputs, like),
    interpret=interpret,
    name=f"attention{kernel.__name__}",
  )(*inputs)
  return results


def _example(array: Array | jax.ShapeDtypeStruct) -> pl.BlockSpec:
  return pl.BlockSpec((None, *array.shape[1:]), lambda row: (row, *(0,) * (array.ndim - 1)))


def _cost(kernel, static: _Static, inputs, like) -> pl.CostEstimate:
  """Returns the work for the compiler's count: matrix products, exponentials, and what enters and leaves."""
  batch, length, width = inputs[0].query.shape
  pairs = batch * length * length
  products = width * (2 if kernel is _forward else 5)
  if inputs[0].teacher is not None:
    products += inputs[0].teacher[0].shape[-1]
  return pl.CostEstimate(
    flops=2 * pairs * products,
    transcendentals=pairs * static.heads,
    bytes_accessed=sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves((inputs, like))),
  )

"""Losses of the directions of hidden states, DistilBERT's and PKD's, as pure functions of arrays.

They are masked, and each returns a `WeightedSum`; see `losses`, and there `project` for widths that differ.

Shapes: L length, S and T the width of student and teacher; `*B` any batch axes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from tinybert_jax.distillation.losses import AnyArray, WeightedSum, as_weights, project

_SMALLEST = 1e-12  # squared norm; a shorter vector counts as 0, and has a finite gradient


def cosine_loss(
  student_hidden: Float[AnyArray, "*B L S"],
  teacher_hidden: Float[AnyArray, "*B L T"],
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  projection: Float[AnyArray, "S T"] | None = None,
  bias: Float[AnyArray, " T"] | None = None,
) -> WeightedSum:
  """Returns 1 − cos of hidden states, mean over tokens: DistilBERT's loss (arXiv:1910.01108).

  The sum is over the tokens of all examples, each by its example's weight; the weight is theirs together.

  Args:
    student_hidden: H_S, of the last layer in DistilBERT.
    teacher_hidden: H_T.
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example; default 1.
    projection: learned; needed where the widths differ.
    bias: added to the projection.

  Raises:
    ValueError: widths that differ without a projection, or shapes that do not fit.
  """
  ours, theirs = _directions(student_hidden, teacher_hidden, projection, bias)
  mask, weight = as_weights(mask, example_weight, ours.shape[:-1])
  error = 1 - jnp.sum(ours * theirs, axis=-1)
  return WeightedSum(jnp.sum(jnp.sum(error * mask, axis=-1) * weight), jnp.sum(jnp.sum(mask, axis=-1) * weight))


def pooled_loss(
  student_hidden: Float[AnyArray, "*B L S"],
  teacher_hidden: Float[AnyArray, "*B L T"],
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  projection: Float[AnyArray, "S T"] | None = None,
  bias: Float[AnyArray, " T"] | None = None,
) -> WeightedSum:
  """Returns the squared distance of the first tokens' hidden states, each divided by its norm, mean over examples.

  It is the loss of patient knowledge distillation (arXiv:1908.09355, Section 3.2), which takes it of the layers before
  the last. The sum is over examples by their weight; the weight is theirs together, without examples of no token.

  Args:
    student_hidden: H_S, of which the first token is read.
    teacher_hidden: H_T.
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example; default 1.
    projection: learned; needed where the widths differ.
    bias: added to the projection.

  Raises:
    ValueError: widths that differ without a projection, or shapes that do not fit.
  """
  *batch, length, _ = teacher_hidden.shape
  mask, weight = as_weights(mask, example_weight, (*batch, length))
  weight = weight * (jnp.sum(mask, axis=-1) > 0)
  ours, theirs = _directions(student_hidden[..., :1, :], teacher_hidden[..., :1, :], projection, bias)
  error = jnp.sum(jnp.square(ours - theirs), axis=(-2, -1))
  return WeightedSum(jnp.sum(error * weight), jnp.sum(weight))


def _directions(
  student_hidden: AnyArray, teacher_hidden: AnyArray, projection: AnyArray | None, bias: AnyArray | None
) -> tuple[Array, Array]:
  """Returns both sides' vectors in the teacher's space, divided by their norms."""
  projected = project(student_hidden, teacher_hidden.shape[-1], projection, bias)
  if projected.shape != teacher_hidden.shape:
    raise ValueError(f"hidden states differ in shape: {projected.shape} (projected) and {teacher_hidden.shape}")
  return _unit(projected), _unit(jnp.asarray(teacher_hidden, jnp.float32))


def _unit(vectors: Array) -> Array:
  return vectors * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(vectors), axis=-1, keepdims=True), _SMALLEST))

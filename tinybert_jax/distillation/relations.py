"""MiniLM's losses as pure functions of arrays: divergences of attention distributions and of self-attention relations.

They are masked, and each returns a `WeightedSum`; see `losses`. MiniLM is arXiv:2002.10957, MiniLMv2 arXiv:2012.15828.

Shapes: L length, H heads, S and T the width of student and teacher; `*B` any batch axes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from tinybert_jax.distillation.losses import AnyArray, WeightedSum, as_weights


def relation_loss(
  student_vectors: Float[AnyArray, "*B L S"],
  teacher_vectors: Float[AnyArray, "*B L T"],
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  heads: int,
) -> WeightedSum:
  """Returns the divergence of self-attention relations softmax(AAᵀ/√d), see `distribution_loss` for sum and weight.

  MiniLMv2 (Section 3.1) takes it of queries, of keys and of values, and adds the three up; MiniLM (Section 3.2) takes
  it of values. Widths and attention heads of the models are free.

  Args:
    student_vectors: A of the student, the vectors of all attention heads one after the other.
    teacher_vectors: A of the teacher.
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example; default 1.
    heads: the relation heads that the vectors are split anew into; d is each model's own width of one.

  Raises:
    ValueError: heads that do not divide a width, or shapes that do not fit.
  """
  return distribution_loss(
    relation_scores(student_vectors, heads), relation_scores(teacher_vectors, heads), mask, example_weight
  )


def relation_scores(vectors: Float[AnyArray, "*B L D"], heads: int) -> Float[Array, "*B H L L"]:
  """Returns AAᵀ/√d of each relation head, in float32.

  Args:
    vectors: A, of all heads one after the other.
    heads: to split them into.

  Raises:
    ValueError: heads that do not divide the width.
  """
  vectors = split_heads(vectors, heads)
  scores = jnp.einsum("...qhd,...khd->...hqk", vectors, vectors, preferred_element_type=jnp.float32)
  return scores / jnp.sqrt(vectors.shape[-1])


def split_heads(vectors: Float[AnyArray, "*B L D"], heads: int) -> Float[Array, "*B L H d"]:
  """Returns vectors that are split into heads.

  Raises:
    ValueError: heads that do not divide the width.
  """
  width = vectors.shape[-1]
  if heads < 1 or width % heads:
    raise ValueError(f"vectors of width {width} cannot be split into {heads} relation heads")
  return jnp.reshape(jnp.asarray(vectors), (*vectors.shape[:-1], heads, width // heads))


def distribution_loss(
  student_scores: Float[AnyArray, "*B H L L"],
  teacher_scores: Float[AnyArray, "*B H L L"],
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
) -> WeightedSum:
  """Returns KL(softmax(teacher) ‖ softmax(student)), for each example the mean over heads and tokens.

  A softmax is over the keys that are tokens; padding gets no probability, and as a query it does not count. Of
  attention scores this is MiniLM's loss of attention distributions (Section 3.1), which needs equal head counts.

  The sum is Σₑ wₑ/(H·nₑ) · Σ over heads and token queries of KL, for examples e of the weight wₑ and with nₑ tokens.
  The weight is Σₑ wₑ; an example without tokens adds nothing to either.

  Args:
    student_scores: before the softmax; query axis before key axis.
    teacher_scores: the teacher's, in the same shape.
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example; default 1.

  Raises:
    ValueError: shapes that do not fit.
  """
  if student_scores.shape != teacher_scores.shape:
    if student_scores.ndim > 2 and student_scores.shape[-3] != teacher_scores.shape[-3]:
      raise ValueError(
        f"distributions need equal head counts: the student has {student_scores.shape[-3]}, the teacher "
        f"{teacher_scores.shape[-3]}"
      )
    raise ValueError(f"scores differ in shape: {student_scores.shape} and {teacher_scores.shape}")
  *batch, heads, length, _ = student_scores.shape
  mask, weight = as_weights(mask, example_weight, (*batch, length))
  keys = mask[..., None, None, :] > 0
  ours, theirs = (jax.nn.log_softmax(_masked(scores, keys)) for scores in (student_scores, teacher_scores))
  divergence = jnp.sum(jnp.where(keys, jnp.exp(theirs) * (theirs - ours), 0), axis=(-3, -1))
  tokens = jnp.sum(mask, axis=-1)
  mean = jnp.sum(divergence * mask, axis=-1) / (heads * jnp.maximum(tokens, 1))
  return WeightedSum(jnp.sum(mean * weight), jnp.sum(weight * (tokens > 0)))


def _masked(scores: AnyArray, keys: Array) -> Array:
  return jnp.where(keys, scores.astype(jnp.float32), jnp.finfo(jnp.float32).min)

"""TinyBERT's losses (arXiv:1909.10351, Section 3.1) as pure functions of arrays.

They take the arrays of any model, work under `jax.jit`, `jax.vmap` and `jax.grad`, and accept any leading
batch axes, none included. Each returns a `WeightedSum`, the sum over the valid entries and their number,
so that the parts of a batch that is split over devices or micro-batches add up to the loss of the whole;
`.mean()` is the loss as the paper writes it.

Shapes: L length, H heads, D width, C classes; `*B` any batch axes.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

# "valid" counts the entries that are no padding. "original" is the original program's averaging, which
# padding changes: the mean over all positions and heads, scores at padded key columns set to 0 on both
# sides, and the cross-entropy's mean over batch × classes.
Averaging = Literal["valid", "original"]
AnyArray = Array | np.ndarray


class WeightedSum(NamedTuple):
  """A sum over entries and the entries' total weight; both scalars, float32."""

  total: Float[AnyArray, ""]
  weight: Float[AnyArray, ""]

  def mean(self) -> Float[Array, ""]:
    """Returns total/weight, and 0 where nothing counted."""
    return jnp.asarray(self.total / jnp.where(self.weight == 0, 1, self.weight))

  # A tuple's + would put one behind the other.
  def __add__(self, other: "WeightedSum") -> "WeightedSum":  # type: ignore[override]
    return WeightedSum(self.total + other.total, self.weight + other.weight)


def attention_loss(
  student_scores: Float[AnyArray, "*B H L L"],
  teacher_scores: Float[AnyArray, "*B H L L"],
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  averaging: Averaging = "valid",
) -> WeightedSum:
  """Returns the squared error of attention scores, mean over heads and pairs of tokens (Equation 7).

  Args:
    student_scores: QKᵀ/√d before the softmax; query axis before key axis.
    teacher_scores: the teacher's, with as many heads.
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example; default 1.
    averaging: see `Averaging`.

  Raises:
    ValueError: unequal head counts, or other shapes that do not fit.
  """
  if student_scores.shape != teacher_scores.shape:
    if student_scores.ndim > 2 and student_scores.shape[-3] != teacher_scores.shape[-3]:
      raise ValueError(
        f"attention scores need equal head counts: the student has {student_scores.shape[-3]}, the teacher "
        f"{teacher_scores.shape[-3]}"
      )
    raise ValueError(f"attention scores differ in shape: {student_scores.shape} and {teacher_scores.shape}")
  heads, length = student_scores.shape[-3], student_scores.shape[-1]
  mask, weight = as_weights(mask, example_weight, (*student_scores.shape[:-3], length))
  keys = mask[..., None, None, :]
  pairs = keys * mask[..., None, :, None] if averaging == "valid" else keys
  # Per example first: the mask is broadcast over heads, and an example's weight counts once.
  error = jnp.sum(_squared_error(student_scores, teacher_scores) * pairs, axis=(-3, -2, -1))
  if averaging == "valid":
    return summed_attention_loss(error, heads, mask, weight)
  return WeightedSum(jnp.sum(error * weight), heads * length * length * jnp.sum(weight))


def summed_attention_loss(
  error: Float[AnyArray, "*B"],
  heads: int,
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
) -> WeightedSum:
  """Returns `attention_loss` of squared errors that are summed over heads and pairs of tokens already.

  Args:
    error: of each example.
    heads: that it is summed over.
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example; default 1.

  Raises:
    ValueError: shapes that do not fit.
  """
  mask, weight = as_weights(mask, example_weight, (*error.shape, mask.shape[-1]))
  return WeightedSum(jnp.sum(error * weight), heads * jnp.sum(jnp.square(jnp.sum(mask, axis=-1)) * weight))


def hidden_loss(
  student_hidden: Float[AnyArray, "*B L S"],
  teacher_hidden: Float[AnyArray, "*B L T"],
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  projection: Float[AnyArray, "S T"] | None = None,
  bias: Float[AnyArray, " T"] | None = None,
  averaging: Averaging = "valid",
) -> WeightedSum:
  """Returns the squared error MSE(H_S W, H_T), mean over tokens and the teacher's width (Equation 8).

  Args:
    student_hidden: H_S.
    teacher_hidden: H_T.
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example; default 1.
    projection: W, learned; needed where the widths differ.
    bias: added to the projection; the original program has one, the paper none.
    averaging: see `Averaging`.

  Raises:
    ValueError: widths that differ without a projection, or shapes that do not fit.
  """
  projected = project(student_hidden, teacher_hidden.shape[-1], projection, bias)
  if projected.shape != teacher_hidden.shape:
    raise ValueError(f"hidden states differ in shape: {projected.shape} (projected) and {teacher_hidden.shape}")
  *batch, length, width = teacher_hidden.shape
  mask, weight = as_weights(mask, example_weight, (*batch, length))
  if averaging == "original":
    mask = jnp.ones_like(mask)
  error = jnp.sum(_squared_error(projected, teacher_hidden), axis=-1)
  return WeightedSum(jnp.sum(jnp.sum(error * mask, axis=-1) * weight), width * jnp.sum(jnp.sum(mask, axis=-1) * weight))


def embedding_loss(
  student_embedding: Float[AnyArray, "*B L S"],
  teacher_embedding: Float[AnyArray, "*B L T"],
  mask: Num[AnyArray, "*B L"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  projection: Float[AnyArray, "S T"] | None = None,
  bias: Float[AnyArray, " T"] | None = None,
  averaging: Averaging = "valid",
) -> WeightedSum:
  """Returns MSE(E_S W_e, E_T) of the embedding layers' outputs (Equation 9); as `hidden_loss`."""
  return hidden_loss(
    student_embedding,
    teacher_embedding,
    mask,
    example_weight,
    projection=projection,
    bias=bias,
    averaging=averaging,
  )


def project(
  student_hidden: Float[AnyArray, "*B L S"],
  teacher_width: int,
  projection: Float[AnyArray, "S T"] | None = None,
  bias: Float[AnyArray, " T"] | None = None,
) -> Float[Array, "*B L T"]:
  """Returns H_S W + b in float32: the student's hidden states in the teacher's space.

  Raises:
    ValueError: a projection of the wrong shape, or none where the widths differ.
  """
  width = student_hidden.shape[-1]
  if projection is None:
    if width != teacher_width:
      raise ValueError(
        f"the student is {width} wide and the teacher {teacher_width}: a projection of shape "
        f"({width}, {teacher_width}) is needed"
      )
    return jnp.asarray(student_hidden, jnp.float32)
  if projection.shape != (width, teacher_width):
    raise ValueError(f"the projection has shape {projection.shape}, and ({width}, {teacher_width}) is needed")
  # In the dtype of the hidden states, so that bfloat16 ones keep to fast matrix units.
  projected = jnp.matmul(student_hidden, projection.astype(student_hidden.dtype), preferred_element_type=jnp.float32)
  return projected if bias is None else projected + bias


def prediction_loss(
  student_logits: Float[AnyArray, "*B C"],
  teacher_logits: Float[AnyArray, "*B C"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  temperature: float = 1.0,
  averaging: Averaging = "valid",
) -> WeightedSum:
  """Returns the cross-entropy of softmax(z_S/t) against softmax(z_T/t), mean over examples (Equation 10).

  Args:
    student_logits: z_S.
    teacher_logits: z_T.
    example_weight: the weight of each example; default 1.
    temperature: t; the paper uses 1. The gradient is not rescaled by t².
    averaging: "original" divides by the number of classes besides.

  Raises:
    ValueError: shapes that differ.
  """
  _same_logits(student_logits, teacher_logits)
  target = jax.nn.softmax(teacher_logits.astype(jnp.float32) / temperature)
  log_probs = jax.nn.log_softmax(student_logits.astype(jnp.float32) / temperature)
  _, weight = as_weights(None, example_weight, student_logits.shape)
  classes = student_logits.shape[-1] if averaging == "original" else 1
  return WeightedSum(jnp.sum(-jnp.sum(target * log_probs, axis=-1) * weight), jnp.sum(weight) * classes)


def logit_loss(
  student_logits: Float[AnyArray, "*B C"],
  teacher_logits: Float[AnyArray, "*B C"],
  example_weight: Num[AnyArray, "*B"] | None = None,
) -> WeightedSum:
  """Returns MSE(z_S, z_T), mean over examples and outputs.

  With one output this is the paper's regression loss, against the teacher and not the labels; with
  several it is logit matching (Ba & Caruana, arXiv:1312.6184), the limit of `prediction_loss` at high
  temperature.

  Raises:
    ValueError: shapes that differ.
  """
  _same_logits(student_logits, teacher_logits)
  _, weight = as_weights(None, example_weight, student_logits.shape)
  error = jnp.sum(_squared_error(student_logits, teacher_logits), axis=-1)
  return WeightedSum(jnp.sum(error * weight), jnp.sum(weight) * student_logits.shape[-1])


def binary_prediction_loss(
  student_logits: Float[AnyArray, "*B C"],
  teacher_logits: Float[AnyArray, "*B C"],
  example_weight: Num[AnyArray, "*B"] | None = None,
  *,
  temperature: float = 1.0,
) -> WeightedSum:
  """Returns the binary cross-entropy of sigmoid(z_S/t) against sigmoid(z_T/t), mean over examples and classes.

  It is `prediction_loss` for several labels at once, where each class has a sigmoid of its own.

  Args:
    student_logits: z_S.
    teacher_logits: z_T.
    example_weight: the weight of each example; default 1.
    temperature: t.

  Raises:
    ValueError: shapes that differ.
  """
  _same_logits(student_logits, teacher_logits)
  target = jax.nn.sigmoid(teacher_logits.astype(jnp.float32) / temperature)
  logits = student_logits.astype(jnp.float32) / temperature
  error = -target * jax.nn.log_sigmoid(logits) - (1 - target) * jax.nn.log_sigmoid(-logits)
  return weighted_sum(jnp.mean(error, axis=-1), example_weight)


def weighted_sum(error: Float[AnyArray, "*B"], example_weight: Num[AnyArray, "*B"] | None = None) -> WeightedSum:
  """Returns the errors of examples as a sum and a weight.

  Args:
    error: of each example.
    example_weight: the weight of each example; default 1.
  """
  weight = jnp.ones(error.shape) if example_weight is None else example_weight
  return WeightedSum(jnp.sum(error * weight), jnp.sum(weight))


def as_weights(
  mask: AnyArray | None, example_weight: AnyArray | None, shape: tuple[int, ...]
) -> tuple[Float[Array, "*B L"], Float[Array, "*B"]]:
  """Returns mask and example weight in float32, by default ones, for losses of one's own.

  Args:
    mask: 1 for a token, 0 for padding.
    example_weight: the weight of each example.
    shape: that of the mask: batch axes, and the length.

  Raises:
    ValueError: shapes that do not fit.
  """
  if mask is None:
    mask = jnp.ones(shape)
  if mask.shape != shape:
    raise ValueError(f"the mask has shape {mask.shape}, and {shape} is needed")
  if example_weight is None:
    example_weight = jnp.ones(shape[:-1])
  if example_weight.shape != shape[:-1]:
    raise ValueError(f"example_weight has shape {example_weight.shape}, and {shape[:-1]} is needed")
  return jnp.asarray(mask, jnp.float32), jnp.asarray(example_weight, jnp.float32)


def _squared_error(x: AnyArray, y: AnyArray) -> Array:
  return jnp.square(x.astype(jnp.float32) - y.astype(jnp.float32))


def _same_logits(student_logits: AnyArray, teacher_logits: AnyArray) -> None:
  if student_logits.shape != teacher_logits.shape:
    raise ValueError(f"logits differ in shape: student {student_logits.shape}, teacher {teacher_logits.shape}")

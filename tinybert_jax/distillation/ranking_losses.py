"""Losses of the scores that a cross-encoder gives the passages of a query, as pure functions.

A batch holds passages of several queries, in any order; `groups` says which passages are of one query. Each loss is a
mean over passages, a `WeightedSum`, see `losses`. A row of weight 0 fills up a batch, and is compared with nothing. The
squared error of the scores themselves is `losses.logit_loss`.

As in `similarities`, the batch is the whole one of all devices: inside a mapped function the others' rows are gathered
over `axis_name`, so the sums do not depend on the number of devices.

Shapes: B passages, C those of all devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from tinybert_jax.distillation.losses import AnyArray, WeightedSum, weighted_sum


class _Compared(NamedTuple):
  """A device's passages, those of all devices, and which of these are of the same query."""

  rows: Float[Array, "2 B"]
  columns: Float[Array, "2 C"]
  same: Bool[Array, "B C"]
  weight: Float[Array, " B"]


def margin_loss(
  student_scores: Float[AnyArray, " B"],
  teacher_scores: Float[AnyArray, " B"],
  groups: Int[AnyArray, " B"],
  example_weight: Num[AnyArray, " B"] | None = None,
  *,
  axis_name: str | None = None,
) -> WeightedSum:
  """Returns the squared error of the margins sᵢ − sⱼ between two passages of a query, against the teacher's.

  It is margin-MSE (Hofstätter et al., arXiv:2010.02666, Equation 1). A passage has the mean over all others of its
  query in the batch; of triples (query, positive, negative) that is the paper's. A passage alone adds 0.

  Args:
    student_scores: of the passages; inside a mapped function of its own rows.
    teacher_scores: the teacher's.
    groups: the number of each passage's query.
    example_weight: the weight of each passage; default 1.
    axis_name: of the mapped axis that the batch is split over; None outside of one.
  """
  found = _compared(student_scores, teacher_scores, groups, example_weight, axis_name)
  gap_B, gap_C = found.rows[0] - found.rows[1], found.columns[0] - found.columns[1]
  # A passage's difference to itself is 0, so it only must not be counted.
  error_BxC = jnp.where(found.same, jnp.square(gap_B[:, None] - gap_C[None]), 0)
  others_B = jnp.maximum(jnp.sum(found.same, axis=-1) - 1, 1)
  return weighted_sum(jnp.sum(error_BxC, axis=-1) / others_B, found.weight)


def listwise_loss(
  student_scores: Float[AnyArray, " B"],
  teacher_scores: Float[AnyArray, " B"],
  groups: Int[AnyArray, " B"],
  example_weight: Num[AnyArray, " B"] | None = None,
  *,
  temperature: float = 1.0,
  axis_name: str | None = None,
) -> WeightedSum:
  """Returns KL(P_T ‖ P_S), where P is the softmax of the scores over the passages of a query that the batch holds.

  It is the top-one loss of ListNet (Cao et al. 2007) with the teacher's scores in place of labels. A query's loss
  counts for each of its passages.

  Args:
    student_scores: as for `margin_loss`, likewise the next three.
    teacher_scores: the teacher's.
    groups: the number of each passage's query.
    example_weight: the weight of each passage; default 1.
    temperature: that scores are divided by.
    axis_name: as for `margin_loss`.
  """
  found = _compared(student_scores, teacher_scores, groups, example_weight, axis_name)
  lowest = jnp.finfo(jnp.float32).min
  ours, theirs = (
    jax.nn.log_softmax(jnp.where(found.same, scores[None] / temperature, lowest)) for scores in found.columns
  )
  divergence_B = jnp.sum(jnp.where(found.same, jnp.exp(theirs) * (theirs - ours), 0), axis=-1)
  return weighted_sum(divergence_B, found.weight)


def _compared(
  student_scores: AnyArray,
  teacher_scores: AnyArray,
  groups: AnyArray,
  example_weight: AnyArray | None,
  axis_name: str | None,
) -> _Compared:
  if not student_scores.shape == teacher_scores.shape == groups.shape:
    raise ValueError(f"scores of {student_scores.shape} and {teacher_scores.shape} with groups {groups.shape}")
  rows = jnp.stack([jnp.asarray(student_scores, jnp.float32), jnp.asarray(teacher_scores, jnp.float32)])
  weight = jnp.ones(rows.shape[-1]) if example_weight is None else jnp.asarray(example_weight, jnp.float32)

  def over_all(values: Array) -> Array:
    axis = values.ndim - 1
    return values if axis_name is None else jax.lax.all_gather(values, axis_name, axis=axis, tiled=True)

  number = jnp.asarray(groups)
  same = (number[:, None] == over_all(number)[None]) & (over_all(weight) > 0)[None]
  return _Compared(rows, over_all(rows), same, weight)

"""Losses of texts' embeddings: their directions, and the similarities of the texts of a batch, as pure functions.

Each returns a `WeightedSum`, see `losses`. A row of weight 0 fills up a batch: it is compared with nothing, and nothing
with it. Squared errors of embeddings are `losses.logit_loss`.

Shapes: B rows, E numbers of an embedding; S and T where those of student and teacher differ.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from tinybert_jax.choices import SIMILARITY_TEMPERATURE
from tinybert_jax.distillation.losses import AnyArray, WeightedSum, weighted_sum

_SMALLEST = 1e-12  # squared norm; a shorter vector counts as 0, and has a finite gradient


def embedding_cosine_loss(
  student: Float[AnyArray, "B E"], teacher: Float[AnyArray, "B E"], example_weight: Num[AnyArray, " B"] | None = None
) -> WeightedSum:
  """Returns 1 − cos of the embeddings of student and teacher, mean over texts.

  Of embeddings of norm 1 it is half of their squared distance.

  Args:
    student: embeddings.
    teacher: the teacher's.
    example_weight: the weight of each text; default 1.

  Raises:
    ValueError: shapes that differ.
  """
  if student.shape != teacher.shape:
    raise ValueError(f"embeddings differ in shape: student {student.shape}, teacher {teacher.shape}")
  return weighted_sum(1 - jnp.sum(_directions(student) * _directions(teacher), axis=-1), example_weight)


def similarity_loss(
  student: Float[AnyArray, "B S"],
  teacher: Float[AnyArray, "B T"],
  example_weight: Num[AnyArray, " B"] | None = None,
  *,
  temperature: float = SIMILARITY_TEMPERATURE,
  axis_name: str | None = None,
) -> WeightedSum:
  """Returns KL(P_T ‖ P_S), mean over texts, where P(j | i) is how near text j of the batch is to text i.

  P(· | i) = softmax over j ≠ i of cos(xᵢ, xⱼ)/t, of the student's embeddings and of the teacher's: relations among
  texts, as in relational distillation (Park et al., arXiv:1904.05068) and SEED (arXiv:2101.04731), which takes the
  softmax. The widths of the embeddings may differ. A text without another one adds 0 to the sum, and its weight.

  The batch is the whole one of all devices: under `jax.jit` over a mesh JAX gathers the columns j itself, and inside
  `jax.pmap` and `jax.shard_map` they are gathered over `axis_name` by `all_gather`. So any number of devices gives the
  same sums. Micro-batches of an accumulated gradient are compared within themselves, which is another loss.

  Args:
    student: embeddings; inside a mapped function those of its own rows.
    teacher: the teacher's.
    example_weight: the weight of each text; default 1. Those of weight 0 are no columns either.
    temperature: t.
    axis_name: of the mapped axis that the batch is split over; None outside of one.

  Raises:
    ValueError: unequal numbers of rows.
  """
  if len(student) != len(teacher):
    raise ValueError(f"embeddings of {len(student)} texts by the student, and of {len(teacher)} by the teacher")
  weight = jnp.ones(len(student)) if example_weight is None else jnp.asarray(example_weight, jnp.float32)
  rows = jnp.arange(len(student)) + (0 if axis_name is None else jax.lax.axis_index(axis_name) * len(student))

  def over_all(values: Array) -> Array:
    return values if axis_name is None else jax.lax.all_gather(values, axis_name, tiled=True)

  columns_C = over_all(weight) > 0
  columns_BxC = columns_C[None] & (rows[:, None] != jnp.arange(len(columns_C))[None])

  def log_probabilities(embeddings: AnyArray) -> Array:
    x_BxE = _directions(embeddings)
    cosines_BxC = jnp.einsum("be,ce->bc", x_BxE, over_all(x_BxE), precision="highest")
    return jax.nn.log_softmax(jnp.where(columns_BxC, cosines_BxC / temperature, jnp.finfo(jnp.float32).min))

  ours, theirs = log_probabilities(student), log_probabilities(teacher)
  divergence_B = jnp.sum(jnp.where(columns_BxC, jnp.exp(theirs) * (theirs - ours), 0), axis=-1)
  return weighted_sum(divergence_B, weight)


def _directions(vectors: AnyArray) -> Float[Array, "B E"]:
  x = jnp.asarray(vectors, jnp.float32)
  return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), _SMALLEST))

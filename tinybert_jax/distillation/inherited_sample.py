"""What every fit of an inherited student reads, and the forms that a fit's matrix takes.

A matrix with a bias is one whose last row is the bias; where a family has none, that row is 0.

Shapes: B batch, L length, D and d hidden size of teacher and student, p inputs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tinybert_jax.distillation import activations, least_squares
from tinybert_jax.distillation.activations import States
from tinybert_jax.models.config import EncoderConfig

Part = dict[str, Any]  # of a tree of parameters


class Sample(NamedTuple):
  """What every fit reads.

  Attributes:
    masks: 1 for each token that attention sees, B×L for each batch.
    weights: 1 for each token that counts, likewise.
    basis: the student's units from the teacher's, orthonormal, D×d.
    teacher: its shape.
    student: its shape.
  """

  masks: States
  weights: States
  basis: Float[np.ndarray, "D d"]
  teacher: EncoderConfig
  student: EncoderConfig

  def restoring(self) -> Float[np.ndarray, "p D"]:
    """Returns the map from the student's units to the teacher's that knows of no others, with a bias of 0."""
    return self.with_last_row(self.basis.T, False)

  def fit(
    self,
    moments: least_squares.Moments,
    near: Float[np.ndarray, "p q"],
    has_bias: bool,
    ridge: float = least_squares.RIDGE,
  ) -> Float[np.ndarray, "p q"]:
    """Returns `least_squares.fit`; without bias, that of the other rows, and a last row of 0."""
    if has_bias:
      return least_squares.fit(moments, near, ridge)
    of_others = least_squares.Moments(moments.of_inputs[:-1, :-1], moments.with_targets[:-1])
    return self.with_last_row(least_squares.fit(of_others, near[:-1], ridge), False)

  @staticmethod
  def with_last_row(matrix: Float[np.ndarray, "p q"], has_it: bool) -> Float[np.ndarray, "r q"]:
    """Returns the matrix with a last row of 0 for the bias, where it has none."""
    return matrix if has_it else np.concatenate([matrix, np.zeros((1, matrix.shape[1]))])


def normalised_fit(
  theirs: Mapping[str, Any], sums: States, targets: States, weights: States, sample: Sample
) -> tuple[Part, States]:
  """Returns the LayerNorm that brings each normalised unit nearest to the teacher's, and its result.

  For a unit's normalised values n and the teacher's y, the scale is cov(n, y)/var(n), the bias mean(y) - scale·mean(n);
  in a family without bias the scale is the mean of n·y over that of n². The student's mean and deviation are those of
  its own units, so the teacher's scales do not fit as they are.

  Args:
    theirs: the teacher's LayerNorm.
    sums: what the student's normalises.
    targets: what the teacher's gives.
    weights: of the tokens.
    sample: of texts.
  """
  inputs = [activations.normalised(each, sample.student.layer_norm_eps) for each in sums]
  total = activations.Sums()
  for n, y, weight in zip(inputs, targets, weights, strict=True):
    total.add(*activations.unit_moments(n, activations.onto(y, single(sample.basis)), weight))
  count, n, y, squares, products = total.total
  n, y, squares, products = (each / count for each in (n, y, squares, products))
  near, tiny = np.mean(theirs["scale"]), 1e-6
  if "bias" not in theirs:
    scale = single((products + tiny * near) / (squares + tiny))
    return {"scale": scale}, [scale * each for each in inputs]
  scale = single((products - n * y + tiny * near) / (squares - n * n + tiny))
  bias = single(y - scale * n)
  return {"scale": scale, "bias": bias}, [scale * each + bias for each in inputs]


def with_bias(part: Mapping[str, Any]) -> Float[np.ndarray, "p q"]:
  """Returns a dense layer's kernel with its bias, or 0, as last row."""
  kernel = np.asarray(part["kernel"], np.float64)
  bias = np.asarray(part["bias"]) if "bias" in part else np.zeros(kernel.shape[1])
  return np.concatenate([kernel, bias[None]])


def as_part(matrix: Float[np.ndarray, "p q"], has_bias: bool = True) -> Part:
  """Returns the parameters of a dense layer."""
  kernel = {"kernel": single(matrix[:-1])}
  return {**kernel, "bias": single(matrix[-1])} if has_bias else kernel


def single(matrix: Any) -> np.ndarray:
  """Returns an array in float32."""
  return np.asarray(matrix, np.float32)

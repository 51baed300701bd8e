"""The units of a narrow layer: directions of the wide one's hidden units, and a choice of its inner units."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

_ROUNDS = 16  # in which inner units are left out


def principal_units(moments: Sequence[Float[np.ndarray, "D D"]], number: int) -> Float[np.ndarray, "D d"]:
  """Returns orthonormal directions, the student's hidden units from the teacher's, that hold most of the energy.

  They span the leading eigenvectors of the summed second moments. LayerNorm subtracts the mean of the student's units,
  and so takes out what they hold along (1, …, 1); a reflection (Householder 1958) turns the weakest eigenvector there.
  The rest it divides by its deviation, which no rotation changes; so as far as the teacher's scales are equal, it does
  to these directions what the teacher's did to its units.

  Args:
    moments: second moments C of the teacher's hidden units in several layers; each counts by its share, C/tr(C).
    number: d.
  """
  vectors = np.linalg.eigh(sum(each / np.trace(each) for each in moments))[1][:, : -number - 1 : -1]
  largest = np.argmax(np.abs(vectors), 0)
  vectors = vectors * np.sign(vectors[largest, range(number)])  # which the decomposition leaves open
  normal = np.eye(number)[-1] - 1 / np.sqrt(number)
  return vectors - 2 * np.outer(vectors @ normal, normal) / max(normal @ normal, 1e-12)


def choose_inner_units(
  moments: Float[np.ndarray, "F F"], outputs: Float[np.ndarray, "F q"], number: int, ridge: float = 1e-4
) -> Int[np.ndarray, " number"]:
  """Returns the units of a hidden layer, in rising order, that its outputs can do without least of all.

  The optimal brain surgeon (Hassibi & Stork 1993) with a whole unit for a weight: without unit j, and with the other
  units' outgoing weights refitted, the mean squared error grows by ‖wⱼ‖²/(C⁻¹)ⱼⱼ. Units leave in rounds.

  Args:
    moments: second moments C of the units.
    outputs: their outgoing weights; the row wⱼ is unit j's.
    number: of units to keep.
    ridge: added to C's diagonal, as a share of its mean.
  """
  width = len(moments)
  inverse = np.linalg.inv(moments + ridge * np.trace(moments) / width * np.eye(width))
  weights, kept = np.asarray(outputs, np.float64), np.arange(width)
  at_a_time = max(1, -(-(width - number) // _ROUNDS))
  while len(kept) > number:
    order = np.argsort((weights**2).sum(1) / np.diag(inverse), kind="stable")
    out = order[: min(at_a_time, len(kept) - number)]
    stay = np.setdiff1d(np.arange(len(kept)), out)
    across = inverse[np.ix_(stay, out)] @ np.linalg.inv(inverse[np.ix_(out, out)])
    weights = weights[stay] - across @ weights[out]
    inverse = inverse[np.ix_(stay, stay)] - across @ inverse[np.ix_(out, stay)]
    kept = kept[stay]
  return kept

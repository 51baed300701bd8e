"""Closed forms that fit a narrow layer to a wide one, from second moments of what goes through both; in float64.

Shapes: p inputs (a last one that is always 1 makes the bias), q outputs, K rank, E outputs of a whole head.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular

Matrix = Float[np.ndarray, "_ _"]
RIDGE = 1e-4  # of the mean second moment of an input
_JITTER = 1e-6  # of each input's own, where inputs depend on each other


class Moments(NamedTuple):
  """Sums over tokens: XᵀX of the inputs X, and XᵀY of inputs and targets."""

  of_inputs: Float[np.ndarray, "p p"]
  with_targets: Float[np.ndarray, "p q"]


def fit(moments: Moments, near: Float[np.ndarray, "p q"], ridge: float = RIDGE) -> Float[np.ndarray, "p q"]:
  """Returns the matrix W that minimises ‖XW − Y‖² + λ‖W − W₀‖², which is W₀ + (XᵀX + λI)⁻¹(XᵀY − XᵀX·W₀).

  Where W₀ is exact already, it is W₀ at any λ; directions that the sample does not show stay those of W₀.

  Args:
    moments: of X and Y.
    near: W₀.
    ridge: λ as a share of the mean diagonal element of XᵀX.
  """
  of_inputs, with_targets = moments
  weight = ridge * np.trace(of_inputs) / len(of_inputs)
  return near + np.linalg.solve(of_inputs + weight * np.eye(len(of_inputs)), with_targets - of_inputs @ near)


def root(second_moment: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p p"]:
  """Returns a lower triangular L with LLᵀ = C, but for a jitter that keeps it regular."""
  scale = np.sqrt(np.maximum(np.diag(second_moment), 1e-12 * np.trace(second_moment)))
  correlation = second_moment / scale / scale[:, None]
  return scale[:, None] * cholesky(correlation + _JITTER * np.eye(len(scale)), lower=True)


def low_rank_scores(
  query: Float[np.ndarray, "p E"],
  key: Float[np.ndarray, "p E"],
  rank: int,
  inputs: Float[np.ndarray, "p p"],
  groups: Sequence[Sequence[int]] | None = None,
) -> tuple[Float[np.ndarray, "p K"], Float[np.ndarray, "p K"]]:
  """Returns A and B of `rank` columns whose scores xᵀABᵀy are nearest to xᵀQKᵀy on the mean over inputs x and y.

  The mean of (xᵀMy)² over independent x and y is ‖LᵀML‖², with E[xxᵀ] = LLᵀ. So the best is the truncated singular
  value decomposition of LᵀQ(LᵀK)ᵀ (Eckart & Young 1936), taken back by L⁻ᵀ; both sides share the singular values.

  Rotary positions turn pairs of components, each pair by a frequency of its own. As complex numbers, a pair adds
  Re(xᵀq·(kᵀy)*·exp(iθΔ)) to the scores of tokens that are Δ apart. So the best single pair for several of about one
  frequency is their complex sum's truncated decomposition.

  Args:
    query: Q, the head's queries from the inputs.
    key: K, likewise.
    rank: K in the shapes.
    inputs: L, see `root`.
    groups: with rotary positions, the pairs of Q and K that each of the `rank`/2 new pairs stands for, which may be
      none; component j is paired with the j-th of the second half.
  """
  if groups is not None:
    complex_query, complex_key = (
      _undo(inputs, each) for each in _low_rank_pairs(inputs.T @ query, inputs.T @ key, groups)
    )
    return _as_halves(complex_query), _as_halves(complex_key)
  left, right = _low_rank(inputs.T @ query, inputs.T @ key, rank)
  return _undo(inputs, left), _undo(inputs, right)


def low_rank_map(
  first: Float[np.ndarray, "p E"], second: Float[np.ndarray, "E q"], rank: int, inputs: Float[np.ndarray, "p p"]
) -> tuple[Float[np.ndarray, "p K"], Float[np.ndarray, "K q"]]:
  """Returns A and B of `rank` whose xᵀAB is nearest to xᵀVO on the mean over inputs x: reduced-rank regression.

  The mean is ‖Lᵀ(VO − AB)‖² with E[xxᵀ] = LLᵀ, so it is the truncated decomposition of LᵀVO, taken back by L⁻ᵀ.

  Args:
    first: V, the head's values from the inputs.
    second: O, the outputs from the values.
    rank: K in the shapes.
    inputs: L, see `root`.
  """
  left, right = _low_rank(inputs.T @ first, second.T, rank)
  return _undo(inputs, left), right.T


def _low_rank(a: np.ndarray, b: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the factors of the best approximation of ab*, each with the roots of the singular values."""
  (q_a, r_a), (q_b, r_b) = np.linalg.qr(a), np.linalg.qr(b)
  u, singular, vt = np.linalg.svd(r_a @ r_b.conj().T)
  roots = np.sqrt(singular[:rank])
  return q_a @ u[:, :rank] * roots, q_b @ vt[:rank].conj().T * roots


def _low_rank_pairs(a: Matrix, b: Matrix, groups: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
  """Returns for each group of pairs the complex columns whose product is nearest to the sum of theirs."""
  first, second = (each[:, : each.shape[1] // 2] + 1j * each[:, each.shape[1] // 2 :] for each in (a, b))
  nothing = np.zeros((len(a), 1), complex)
  found = [
    _low_rank(first[:, list(group)], second[:, list(group)], 1) if group else (nothing, nothing) for group in groups
  ]
  left, right = zip(*found, strict=True)
  return np.concatenate(left, 1), np.concatenate(right, 1)


def _as_halves(pairs: np.ndarray) -> Matrix:
  return np.concatenate([pairs.real, pairs.imag], 1)


def _undo(inputs: Matrix, factor: np.ndarray) -> np.ndarray:
  return solve_triangular(inputs, factor, lower=True, trans="T")

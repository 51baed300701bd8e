"""The closed forms against singular value decompositions and solvers of numpy, in float64."""

import numpy as np
import pytest

from tinybert_jax.distillation import units
from tinybert_jax.distillation.least_squares import Moments, fit, low_rank_map, low_rank_scores, root


def draw(*shape, seed=0):
  return np.random.default_rng((seed, *shape)).normal(size=shape)


def symmetric_root(matrix):
  values, vectors = np.linalg.eigh(matrix)
  return (vectors * np.sqrt(values)) @ vectors.T


def test_a_fit_is_the_solution_of_the_rows_with_the_penalty_as_further_rows():
  x, y, near = draw(50, 6), draw(50, 3), draw(6, 3)
  weight = 0.1 * np.trace(x.T @ x) / 6
  # λ‖W − W₀‖² is the squared error of further rows √λ·I with targets √λ·W₀.
  rows = np.concatenate([x, np.sqrt(weight) * np.eye(6)])
  targets = np.concatenate([y, np.sqrt(weight) * near])
  expected = np.linalg.lstsq(rows, targets)[0]
  np.testing.assert_allclose(fit(Moments(x.T @ x, x.T @ y), near, 0.1), expected, rtol=1e-9)


def test_what_fits_already_stays():
  x, near = draw(4, 6), draw(6, 3)  # fewer rows than inputs
  np.testing.assert_allclose(fit(Moments(x.T @ x, x.T @ (x @ near)), near), near, rtol=1e-10)


@pytest.mark.parametrize("rank", [1, 3])
def test_the_scores_of_a_rank_are_the_optimum_under_the_inputs_covariance(rank):
  query, key, x = draw(7, 5), draw(7, 5, seed=1), draw(40, 7)
  moments = x.T @ x / len(x)
  half = symmetric_root(moments)
  singular = np.linalg.svd(half @ query @ key.T @ half)[1]
  a, b = low_rank_scores(query, key, rank, root(moments))
  error = np.linalg.norm(half @ (query @ key.T - a @ b.T) @ half) ** 2
  np.testing.assert_allclose(error, np.sum(singular[rank:] ** 2), rtol=1e-4)
  # The mean over all pairs of rows, written out.
  pairs = x @ (query @ key.T - a @ b.T) @ x.T
  np.testing.assert_allclose(np.mean(pairs**2), error, rtol=1e-9)


def test_a_pair_for_several_rotary_pairs_is_the_optimum_at_every_distance():
  query, key, x = draw(7, 6), draw(7, 6, seed=1), draw(40, 7)
  a, b = low_rank_scores(query, key, 4, root(x.T @ x / len(x)), [[0], [1, 2]])

  def turned(matrix, angle):  # the scores of all pairs of rows whose pairs are turned by that angle, pair by pair
    left, right = (x @ each[:, : each.shape[1] // 2] + 1j * x @ each[:, each.shape[1] // 2 :] for each in matrix)
    return [
      np.real(np.outer(*sides.T) * np.exp(1j * angle)) for sides in np.stack([left, right.conj()], -1).swapaxes(0, 1)
    ]

  for angle in (0.0, 1.0, 2.5):
    (alone, *grouped), (first, second) = turned((query, key), angle), turned((a, b), angle)
    np.testing.assert_allclose(first, alone, atol=1e-4)
    assert np.linalg.norm(second - sum(grouped)) < np.linalg.norm(sum(grouped))
  half = symmetric_root(x.T @ x / len(x))
  pairs = [half @ (each[:, 1:3] + 1j * each[:, 4:]) for each in (query, key)]
  new = [half @ (each[:, 1] + 1j * each[:, 3]) for each in (a, b)]
  product = pairs[0] @ pairs[1].conj().T
  error = np.linalg.norm(product - np.outer(new[0], new[1].conj()))
  np.testing.assert_allclose(error, np.linalg.svd(product)[1][1], rtol=1e-4)


@pytest.mark.parametrize("rank", [1, 3])
def test_the_map_of_a_rank_is_the_optimum_of_reduced_rank_regression(rank):
  first, second, x = draw(7, 5), draw(5, 6), draw(40, 7)
  # The textbook's way: project the fitted outputs on their leading right singular vectors.
  fitted = x @ first @ second
  vectors = np.linalg.svd(fitted)[2][:rank]
  a, b = low_rank_map(first, second, rank, root(x.T @ x / len(x)))
  np.testing.assert_allclose(x @ a @ b, fitted @ vectors.T @ vectors, atol=1e-4)


def test_principal_units_hold_the_most_energy_and_lose_the_least_to_layer_norm():
  x = draw(200, 8) * [9, 1, 5, 2, 7, 3, 4, 1]
  moments = x.T @ x
  basis = units.principal_units([moments, 3 * moments], 5)
  values, vectors = np.linalg.eigh(moments)
  np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-12)
  np.testing.assert_allclose(np.trace(basis.T @ moments @ basis), values[-5:].sum())
  # What LayerNorm subtracts is the share of the weakest of the five eigenvectors.
  np.testing.assert_allclose(np.abs(basis @ np.full(5, 5**-0.5)), np.abs(vectors[:, -5]), atol=1e-9)


def test_the_inner_unit_that_leaves_costs_least_of_all():
  x, outputs = draw(60, 6) * [1, 1, 1, 1, 0.2, 1], draw(6, 4)
  errors = []
  for out in range(6):
    stay = [unit for unit in range(6) if unit != out]
    refitted = np.linalg.lstsq(x[:, stay], x @ outputs)[0]
    errors.append(np.linalg.norm(x[:, stay] @ refitted - x @ outputs))
  kept = units.choose_inner_units(x.T @ x, outputs, 5, ridge=1e-12)
  assert set(range(6)) - set(kept) == {int(np.argmin(errors))}

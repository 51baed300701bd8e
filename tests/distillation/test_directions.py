"""DistilBERT's and PKD's losses against PyTorch in float64, and their gradients."""

import functools

import jax
import numpy as np
import pytest
import torch

from tinybert_jax.distillation.directions import cosine_loss, pooled_loss

L, S, T = 4, 3, 5
LENGTHS = (4, 2, 0)
MASK = (np.arange(L) < np.array(LENGTHS)[:, None]).astype(np.int32)
WEIGHT = np.array([1.0, 0.5, 3.0], np.float32)
GENERATOR = np.random.default_rng(0)
STUDENT, TEACHER = (GENERATOR.normal(size=(3, L, width)).astype(np.float32) for width in (S, T))
PROJECTION, BIAS = GENERATOR.normal(size=(S, T)).astype(np.float32), GENERATOR.normal(size=T).astype(np.float32)
LOSSES = {"cosine": cosine_loss, "pooled": pooled_loss}


def in_torch(name):
  """Sum, weight and the gradient of the mean."""
  ours = torch.tensor(STUDENT, dtype=torch.float64, requires_grad=True)
  projected = ours @ torch.tensor(PROJECTION, dtype=torch.float64) + torch.tensor(BIAS, dtype=torch.float64)
  total, weight = torch.zeros((), dtype=torch.float64), 0.0
  for example, tokens in enumerate(LENGTHS):
    theirs = torch.tensor(TEACHER[example], dtype=torch.float64)
    if name == "cosine" and tokens:
      loss = torch.nn.CosineEmbeddingLoss(reduction="sum")
      total = total + WEIGHT[example] * loss(projected[example, :tokens], theirs[:tokens], torch.ones(tokens))
      weight += WEIGHT[example] * tokens
    elif tokens:
      ours_unit, theirs_unit = (torch.nn.functional.normalize(x[0], dim=-1) for x in (projected[example], theirs))
      total = total + WEIGHT[example] * torch.nn.functional.mse_loss(ours_unit, theirs_unit, reduction="sum")
      weight += WEIGHT[example]
  (total / weight).backward()
  return (total.item(), weight), ours.grad.numpy()


@pytest.mark.parametrize("name", LOSSES)
def test_sum_weight_and_gradient_are_pytorchs_and_padding_changes_nothing(name):
  loss = functools.partial(LOSSES[name], projection=PROJECTION, bias=BIAS)

  @jax.jit
  def run(ours, *rest):
    def mean(ours):
      result = loss(ours, *rest)
      return result.mean(), result

    (_, result), gradient = jax.value_and_grad(mean, has_aux=True)(ours)
    return result, gradient

  result, gradient = run(STUDENT, TEACHER, MASK, WEIGHT)
  sum_and_weight, torch_gradient = in_torch(name)
  np.testing.assert_allclose(result, sum_and_weight, rtol=1e-5)
  np.testing.assert_allclose(gradient, torch_gradient, atol=1e-6)

  pads = [(0, 1), (0, 2), (0, 0)]
  more = (np.pad(STUDENT, pads, constant_values=1e4), np.pad(TEACHER, pads, constant_values=-7))
  padded, padded_gradient = run(*more, np.pad(MASK, pads[:2]), np.pad(WEIGHT, (0, 1)))
  np.testing.assert_allclose(padded, result, rtol=1e-6)
  padded_gradient = np.array(padded_gradient)
  np.testing.assert_allclose(padded_gradient[:3, :L], gradient, atol=1e-7)
  padded_gradient[:3, :L] = 0
  assert not padded_gradient.any()

  parts = [loss(STUDENT[part], TEACHER[part], MASK[part], WEIGHT[part]) for part in (slice(0, 1), slice(1, 3))]
  np.testing.assert_allclose(parts[0] + parts[1], result, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_vectors_of_norm_zero_have_a_finite_gradient(name):
  @jax.jit
  def run(ours, theirs):
    return jax.value_and_grad(lambda *pair: LOSSES[name](*pair, MASK, WEIGHT).mean(), argnums=(0, 1))(ours, theirs)

  zeros = np.zeros_like(TEACHER)
  for ours, theirs in ((zeros, TEACHER), (TEACHER, zeros), (zeros, zeros), (zeros + np.float32(1e-30), TEACHER)):
    value, gradients = run(ours, theirs)
    assert np.isfinite(value) and np.isfinite(gradients).all()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", LOSSES)
def test_what_does_not_fit_is_refused(name):
  with pytest.raises(ValueError, match=r"a projection of shape \(3, 5\) is needed"):
    LOSSES[name](STUDENT, TEACHER, MASK)
  with pytest.raises(ValueError, match="differ in shape"):
    LOSSES[name](TEACHER[:2], TEACHER, MASK)

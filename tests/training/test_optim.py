import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from tinybert_jax.training.optim import adamw, schedule


def test_schedule_is_that_of_transformers():
  from transformers import get_linear_schedule_with_warmup

  parameter = torch.nn.Parameter(torch.zeros(1))
  optimizer = torch.optim.SGD([parameter], lr=0.5)
  theirs = get_linear_schedule_with_warmup(optimizer, 3, 30)
  ours = schedule(0.5, 30, warmup=0.1)
  for step in range(31):
    np.testing.assert_allclose(ours(step), theirs.get_last_lr()[0], atol=1e-7)
    optimizer.step()
    theirs.step()


def test_other_decays():
  assert schedule(0.5, 30, warmup=0, decay="constant")(29) == 0.5
  np.testing.assert_allclose(schedule(0.5, 20, warmup=0.5, decay="cosine")(15), 0.25, atol=1e-6)
  np.testing.assert_allclose(schedule(0.5, 1)(0), 0.5)


def test_updates_are_pytorchs_adamw_with_clipping_and_without_decay_on_biases_and_norms():
  rng = np.random.default_rng(0)
  start = {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2), "scale": rng.normal(size=2)}
  start = {name: value.astype(np.float32) for name, value in start.items()}
  params = {"dense": {name: jnp.asarray(value) for name, value in start.items()}}
  theirs = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
  optimizer = adamw(0.1, weight_decay=0.3, max_grad_norm=0.5, eps=1e-6)
  torch_optimizer = torch.optim.AdamW(
    [
      {"params": [theirs["kernel"]], "weight_decay": 0.3},
      {"params": [theirs["bias"], theirs["scale"]], "weight_decay": 0.0},
    ],
    lr=0.1,
    eps=1e-6,
  )
  state = optimizer.init(params)
  for _ in range(5):
    gradient = {name: rng.normal(size=value.shape).astype(np.float32) for name, value in start.items()}
    updates, state = optimizer.update({"dense": gradient}, state, params)
    params = optax.apply_updates(params, updates)
    for name, parameter in theirs.items():
      parameter.grad = torch.tensor(gradient[name])
    torch.nn.utils.clip_grad_norm_(theirs.values(), 0.5)
    torch_optimizer.step()
  for name, parameter in theirs.items():
    np.testing.assert_allclose(params["dense"][name], parameter.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad):
  params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
  optimizer = adamw(0.1)
  state = optimizer.init(params)
  gradient = {"kernel": jnp.full((2, 2), bad), "bias": jnp.ones(2)}
  updates, after = optimizer.update(gradient, state, params)
  assert not updates["kernel"].any() and not updates["bias"].any()
  assert optax.tree.get(after, "notfinite_count") == optax.tree.get(after, "total_notfinite") == 1
  np.testing.assert_array_equal(optax.tree.get(after, "mu")["bias"], 0)

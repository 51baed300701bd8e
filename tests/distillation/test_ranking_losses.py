"""Losses of rankings, query by query in numpy, and on eight devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tinybert_jax.distillation.ranking_losses import listwise_loss, margin_loss
from tinybert_jax.training import steps
from tinybert_jax.training.parallel import data_parallel, mapped_axis

TEMPERATURE = 2.0


def numbers():
  """Sixteen rows: queries of one to five passages anywhere in the batch, and three rows that fill it up."""
  rng = np.random.default_rng(0)
  order = rng.permutation(16)
  groups = np.repeat([7, 3, 0, 4, 9], [5, 4, 3, 1, 3])  # the last are the rows that do not count
  batch = {
    "inputs": rng.normal(size=(16, 3)).astype(np.float32),
    "teacher_targets": rng.normal(size=(16, 1)).astype(np.float32),
    "group": np.where(np.arange(16) < 13, groups, 0).astype(np.int32),
    "example_weight": (np.arange(16) < 13).astype(np.float32),
  }
  return {name: value[order] for name, value in batch.items()}, rng.normal(size=3).astype(np.float32)


def expected(batch, kernel):
  """The means over passages of both losses."""
  kept = batch["example_weight"] > 0
  student, teacher = (batch["inputs"].astype(np.float64) @ kernel)[kept], batch["teacher_targets"][kept, 0]
  margin = listwise = 0.0
  for query in np.unique(batch["group"][kept]):
    s, t = (values[batch["group"][kept] == query] for values in (student, teacher))
    if len(s) > 1:
      margin += sum(((a - c) - (b - d)) ** 2 for a, b in zip(s, t) for c, d in zip(s, t)) / (len(s) - 1)  # noqa: B905
    p, q = (np.exp(values / TEMPERATURE) / np.exp(values / TEMPERATURE).sum() for values in (t, s))
    listwise += len(s) * (p * np.log(p / q)).sum()
  return margin / 13, listwise / 13


def loss_fn(params, _teacher, batch, _key):
  compared = batch["inputs"] @ params["kernel"], batch["teacher_targets"][:, 0], batch["group"], batch["example_weight"]
  return {
    "margin": margin_loss(*compared, axis_name=mapped_axis()),
    "listwise": listwise_loss(*compared, temperature=TEMPERATURE, axis_name=mapped_axis()),
  }


def test_losses_are_those_of_each_query_by_itself_on_any_number_of_devices():
  batch, kernel = numbers()
  optimizer, changes = optax.sgd(1.0), {}
  for form in ("one", "mesh", "pmap"):
    make = functools.partial(steps.make_update, loss_fn, optimizer, dropout=False)
    state = steps.create_state({"kernel": jnp.asarray(kernel)}, optimizer, jax.random.key(0))
    update, teacher, place = steps.jit_update(make()), {}, jax.device_put
    if form != "one":
      update, state, teacher, place = data_parallel(make, state, {}, 16, form)
    after, metrics = update(state, teacher, place(batch))
    np.testing.assert_allclose([metrics["margin"], metrics["listwise"]], expected(batch, kernel), rtol=1e-5)
    changes[form] = np.asarray(after.params["kernel"]) - kernel
  np.testing.assert_allclose(changes["mesh"], changes["one"], atol=1e-5)
  np.testing.assert_allclose(changes["pmap"], changes["one"], atol=1e-5)
  # The gradient, by finite differences in float64.
  for place, step in enumerate(1e-5 * np.eye(3)):
    slope = (sum(expected(batch, kernel + step)) - sum(expected(batch, kernel - step))) / 2e-5
    assert -changes["one"][place] == pytest.approx(slope, rel=1e-3, abs=1e-4)

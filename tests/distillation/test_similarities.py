"""Losses of embeddings against PyTorch, on one device and on eight."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from tinybert_jax.distillation.similarities import embedding_cosine_loss, similarity_loss
from tinybert_jax.training import steps
from tinybert_jax.training.parallel import data_parallel, mapped_axis

ROWS, TEMPERATURE = 13, 0.1  # and three that fill up the batch


def numbers():
  rng = np.random.default_rng(0)
  inputs, teacher = rng.normal(size=(16, 5)), rng.normal(size=(16, 7))
  weight = np.where(np.arange(16) < ROWS, 1.0, 0.0)
  inputs[ROWS:], teacher[ROWS:] = 0, 1e3  # what stands in such rows is not to be read
  order = rng.permutation(16)
  batch = {"inputs": inputs, "teacher_targets": teacher, "example_weight": weight}
  return {name: value[order].astype(np.float32) for name, value in batch.items()}, rng.normal(size=(5, 4))


def theirs(batch, kernel):
  """The losses, and the gradient of the mean of the second, by PyTorch in float64, of the rows that count."""
  kept = batch["example_weight"] > 0
  x, t = (torch.tensor(batch[name][kept], dtype=torch.float64) for name in ("inputs", "teacher_targets"))
  kernel = torch.tensor(kernel, requires_grad=True)
  cos = lambda y: torch.nn.functional.cosine_similarity(y[:, None], y[None], dim=-1)  # noqa: E731
  off = ~torch.eye(len(x), dtype=torch.bool)
  ours, target = (torch.log_softmax(cos(y)[off].view(len(x), -1) / TEMPERATURE, -1) for y in (x @ kernel, t))
  loss = torch.nn.functional.kl_div(ours, target, log_target=True, reduction="batchmean")
  loss.backward()
  return loss.item(), kernel.grad.numpy()


def loss_fn(params, _teacher, batch, _key):
  found = batch["inputs"] @ params["kernel"]
  weight = batch["example_weight"]
  return {
    "prediction": similarity_loss(
      found, batch["teacher_targets"], weight, temperature=TEMPERATURE, axis_name=mapped_axis()
    )
  }


@pytest.mark.parametrize("form", ["one", "mesh", "pmap"])
def test_similarities_are_pytorchs_on_any_number_of_devices(form):
  batch, kernel = numbers()
  optimizer = optax.sgd(1.0)  # so that the change of the parameters is the gradient
  make = functools.partial(steps.make_update, loss_fn, optimizer, dropout=False)
  state = steps.create_state({"kernel": jnp.asarray(kernel, jnp.float32)}, optimizer, jax.random.key(0))
  if form == "one":
    update, teacher, place = steps.jit_update(make()), {}, jax.device_put
  else:
    update, state, teacher, place = data_parallel(make, state, {}, 16, form)
  after, metrics = update(state, teacher, place(batch))
  loss, gradient = theirs(batch, kernel)
  np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
  np.testing.assert_allclose(kernel - np.asarray(after.params["kernel"]), gradient, atol=1e-5)


def test_directions_are_pytorchs_and_a_single_text_has_no_similarity():
  batch, _ = numbers()
  x, t, weight = batch["inputs"][:, :4], batch["teacher_targets"][:, :4], batch["example_weight"]
  compiled = jax.jit(
    lambda: (embedding_cosine_loss(x, t, weight), similarity_loss(x, t, (np.arange(16) == 3).astype(np.float32)))
  )
  cosine, alone = compiled()
  kept = weight > 0
  expected = 1 - torch.nn.functional.cosine_similarity(torch.tensor(x[kept]), torch.tensor(t[kept]))
  np.testing.assert_allclose(cosine.total, expected.sum(), rtol=1e-5)
  assert (cosine.weight, alone.total, alone.weight) == (ROWS, 0, 1)

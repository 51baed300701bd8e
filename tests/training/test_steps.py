import functools

import jax
import numpy as np
import pytest

from tinybert_jax.distillation.objectives import (
  initialize_projections,
  intermediate_distillation,
  prediction_distillation,
)
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.training import steps
from tinybert_jax.training.optim import adamw, schedule

STUDENT = EncoderConfig(
  vocab_size=60,
  hidden_size=12,
  num_hidden_layers=1,
  num_attention_heads=2,
  intermediate_size=24,
  labels=("a", "b", "c"),
)
TEACHER = EncoderConfig(
  vocab_size=60,
  hidden_size=16,
  num_hidden_layers=2,
  num_attention_heads=2,
  intermediate_size=32,
  labels=("a", "b", "c"),
)
UPDATES = 20


def batches(rows=16, length=12, number=UPDATES):
  """Batches whose rows, and so the blocks that devices get, differ much in valid tokens."""
  rng = np.random.default_rng(0)
  for _ in range(number):
    lengths = np.sort(rng.integers(1, length + 1, rows))
    yield {
      "input_ids": rng.integers(1, 60, (rows, length)).astype(np.int32),
      "attention_mask": (np.arange(length) < lengths[:, None]).astype(np.int32),
      "token_type_ids": np.zeros((rows, length), np.int32),
      "example_weight": (rng.random(rows) > 0.2).astype(np.float32),
    }


def setup(loss="intermediate"):
  student, teacher = SequenceClassifier(STUDENT), SequenceClassifier(TEACHER)
  keys = jax.random.split(jax.random.key(0), 3)
  params = initialize(student, keys[0])
  if loss == "intermediate":
    params["projections"] = initialize_projections(STUDENT, TEACHER, keys[2])
    loss_fn = intermediate_distillation(student, teacher, (2,))
  else:
    loss_fn = prediction_distillation(student, teacher, temperature=2.0)
  optimizer = adamw(schedule(1e-2, UPDATES), weight_decay=0.1)
  return loss_fn, optimizer, steps.create_state(params, optimizer, jax.random.key(1)), initialize(teacher, keys[1])


def run(update, state, teacher_params, place=lambda batch: batch):
  for batch in batches():
    state, metrics = update(state, teacher_params, place(batch))
  return jax.device_get((state.params, metrics))


def assert_close(ours, reference, tolerance=5e-5):
  for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(reference), strict=True):
    # Key biases have no gradient but rounding (softmax does not see them): below 1e-6 a leaf counts as zero.
    scale = max(np.max(np.abs(b)), 1e-6)
    assert np.max(np.abs(a - b)) <= tolerance * scale, jax.tree_util.keystr(path)


@functools.cache
def one_device(loss):
  loss_fn, optimizer, state, teacher_params = setup(loss)
  update = steps.jit_update(steps.make_update(loss_fn, optimizer, dropout=False))
  return run(update, state, teacher_params)


@pytest.mark.parametrize(
  ("loss", "params", "accumulate"),
  [("intermediate", "replicated", 1), ("intermediate", "sharded", 2), ("prediction", "sharded", 1)],
)
def test_mesh_gives_the_parameters_of_one_device(loss, params, accumulate):
  loss_fn, optimizer, state, teacher_params = setup(loss)
  mesh = steps.data_mesh()
  sharding = steps.state_sharding(state, mesh, params)
  update = steps.mesh_update(
    steps.make_update(loss_fn, optimizer, dropout=False, accumulate=accumulate), mesh, sharding
  )
  place = functools.partial(jax.device_put, device=steps.batch_sharding(mesh))
  ours, metrics = run(
    update, jax.device_put(state, sharding), jax.device_put(teacher_params, steps.replicated(mesh)), place
  )
  assert_close(ours, one_device(loss)[0])
  assert_close(metrics["loss"], one_device(loss)[1]["loss"])


@pytest.mark.parametrize(("loss", "accumulate"), [("intermediate", 1), ("intermediate", 2), ("prediction", 1)])
def test_pmap_gives_the_parameters_of_one_device(loss, accumulate):
  loss_fn, optimizer, state, teacher_params = setup(loss)
  make = functools.partial(steps.make_update, loss_fn, optimizer)
  update = steps.pmap_update(make, dropout=False, accumulate=accumulate)
  place = functools.partial(steps.split_batch, devices=8)
  ours, metrics = run(update, steps.replicate(state), steps.replicate(teacher_params), place)
  assert_close(steps.unreplicate(ours), one_device(loss)[0])
  assert_close(steps.unreplicate(metrics)["loss"], one_device(loss)[1]["loss"])


def test_accumulation_on_one_device():
  loss_fn, optimizer, state, teacher_params = setup()
  update = steps.jit_update(steps.make_update(loss_fn, optimizer, dropout=False, accumulate=4))
  ours, metrics = run(update, state, teacher_params)
  assert_close(ours, one_device("intermediate")[0])
  assert_close(metrics["loss"], one_device("intermediate")[1]["loss"])


def test_a_batch_that_does_not_split_is_refused():
  loss_fn, optimizer, state, teacher_params = setup()
  with pytest.raises(ValueError, match="16 rows cannot be split into 3"):
    steps.make_update(loss_fn, optimizer, accumulate=3)(state, teacher_params, next(batches()))


def test_a_gradient_that_is_not_finite_skips_the_update_and_is_counted():
  loss_fn, optimizer, state, teacher_params = setup("prediction")
  update = steps.jit_update(steps.make_update(loss_fn, optimizer, dropout=False))
  batch = next(batches())
  logits = np.zeros((16, 3), np.float32)
  before = jax.device_get(state.params)
  state, metrics = update(state, teacher_params, batch | {"teacher_targets": np.full_like(logits, np.nan)})
  assert (metrics["skipped"], metrics["skipped_in_a_row"]) == (1, 1)
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.params), before)
  state, metrics = update(state, teacher_params, batch | {"teacher_targets": logits})
  state, metrics = update(state, teacher_params, batch | {"teacher_targets": logits})
  assert (metrics["skipped"], metrics["skipped_in_a_row"]) == (1, 0)
  assert np.any(jax.device_get(state.params)["classifier"]["kernel"] != before["classifier"]["kernel"])


def test_dropout_follows_the_seed_and_changes_with_the_step():
  loss_fn, optimizer, state, teacher_params = setup()
  update = jax.jit(steps.make_update(loss_fn, optimizer))
  batch = next(batches())
  first = update(state, teacher_params, batch)[1]["loss"]
  assert first == update(state, teacher_params, batch)[1]["loss"]
  assert first != update(state.replace(step=state.step + 1), teacher_params, batch)[1]["loss"]
  assert first != update(state.replace(key=jax.random.key(7)), teacher_params, batch)[1]["loss"]

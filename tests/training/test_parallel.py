import functools

import jax
import numpy as np
import pytest
from test_steps import assert_close, batches, one_device, setup

from tinybert_jax.training import steps
from tinybert_jax.training.parallel import data_parallel, gather


@pytest.mark.parametrize(("form", "accumulate"), [("mesh", 1), ("sharded", 2), ("pmap", 1), ("pmap", 2)])
def test_every_form_gives_the_numbers_of_one_device(form, accumulate):
  loss_fn, optimizer, state, teacher_params = setup()
  make = functools.partial(steps.make_update, loss_fn, optimizer, dropout=False, accumulate=accumulate)
  update, state, teacher_params, place = data_parallel(make, state, teacher_params, 16, form)
  for batch in batches():
    state, metrics = update(state, teacher_params, place(batch))
  assert int(state.step) == 20  # without a device axis in any form, so that a run goes on in another one
  assert_close(jax.device_get(gather(state.params)), one_device("intermediate")[0])
  assert_close(jax.device_get(metrics["loss"]), one_device("intermediate")[1]["loss"])


def test_sharded_parameters_are_spread_and_gathered():
  loss_fn, optimizer, state, teacher_params = setup()
  make = functools.partial(steps.make_update, loss_fn, optimizer)
  placed = data_parallel(make, state, teacher_params, 16, "sharded")[1]
  spread = [leaf for leaf in jax.tree.leaves(placed.opt_state) if not leaf.is_fully_replicated]
  assert spread and all(leaf.addressable_shards[0].data.size * 8 == leaf.size for leaf in spread)
  whole = gather(placed.params)
  assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(whole))
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(whole), jax.device_get(state.params))


def test_a_batch_that_the_devices_cannot_share():
  loss_fn, optimizer, state, teacher_params = setup()
  make = functools.partial(steps.make_update, loss_fn, optimizer, dropout=False)
  update, state, teacher_params, place = data_parallel(make, state, teacher_params, 12)  # then one device does it
  _, metrics = update(state, teacher_params, place(next(batches(rows=12))))
  assert np.isfinite(metrics["loss"])
  with pytest.raises(ValueError, match="12 rows cannot be divided among 8 devices"):
    data_parallel(make, *setup()[2:], 12, "pmap")

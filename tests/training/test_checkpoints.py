import contextlib
import shutil
import types

import jax
import numpy as np
import pytest

from tinybert_jax.training import steps
from tinybert_jax.training.checkpoints import Checkpoints
from tinybert_jax.training.optim import adamw


def state(seed=0):
  params = {"dense": {"kernel": jax.random.normal(jax.random.key(seed), (4, 8))}}
  return steps.create_state(params, adamw(0.1), jax.random.key(seed + 1))


def assert_same(a, b):
  np.testing.assert_array_equal(jax.random.key_data(a.key), jax.random.key_data(b.key))
  for x, y in zip(jax.tree.leaves(a.replace(key=0)), jax.tree.leaves(b.replace(key=0)), strict=True):
    np.testing.assert_array_equal(x, y)


def test_state_and_record_come_back_and_only_the_latest_is_kept(tmp_path):
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
    assert checkpoints.latest_record() is None
    checkpoints.save_latest(3, state(1), {"next": 3})
    checkpoints.save_latest(7, state(2), {"next": 7})
    checkpoints.save_best(7, state(2).params)
    checkpoints.wait()
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
    assert checkpoints.latest_record() == {"next": 7}
    assert_same(checkpoints.restore_latest(state()), state(2))
    params = checkpoints.restore_best(state().params)
    np.testing.assert_array_equal(params["dense"]["kernel"], state(2).params["dense"]["kernel"])
  assert [path.name for path in (tmp_path / "latest").iterdir() if path.name.isdigit()] == ["7"]


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
    checkpoints.save_latest(3, state(1), {"next": 3})
    checkpoints.wait()
  (tmp_path / "latest" / "9.orbax-checkpoint-tmp-0" / "state").mkdir(parents=True)
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
    assert checkpoints.latest_record() == {"next": 3}


@pytest.mark.parametrize("params", ["replicated", "sharded"])
def test_a_state_on_a_mesh_comes_back_to_any_other_placement(tmp_path, params):
  mesh = steps.data_mesh()
  sharding = steps.state_sharding(state(), mesh, params)
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
    checkpoints.save_latest(1, jax.device_put(state(1), sharding), {})
    checkpoints.wait()
    alone = checkpoints.restore_latest(state())
    spread = checkpoints.restore_latest(jax.device_put(state(), sharding))
  assert_same(alone, state(1))
  assert_same(spread, state(1))
  assert spread.params["dense"]["kernel"].sharding == sharding.params["dense"]["kernel"]


def test_a_full_disk_is_an_os_error_whatever_orbax_makes_of_it(tmp_path, monkeypatch):
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:

    def save(*_, **__):
      raise ValueError("RESOURCE_EXHAUSTED: Error writing local file")

    monkeypatch.setattr(checkpoints._latest, "save", save)
    with pytest.raises(OSError, match="No space left"):
      checkpoints.save_latest(1, state(), {})


def test_too_little_space_is_found_before_writing(tmp_path, monkeypatch):
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
    checkpoints.save_latest(1, state(1), {})
    checkpoints.wait()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10))
    with pytest.raises(OSError, match="No space left on device"):
      checkpoints.save_latest(2, state(2), {})
    with pytest.raises(OSError, match="No space left on device"):
      checkpoints.save_best(2, state(2).params)
    assert_same(checkpoints.restore_latest(state()), state(1))

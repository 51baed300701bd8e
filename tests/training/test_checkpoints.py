import contextlib
import os
import shutil
import types

import jax
import numpy as np
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.training import steps
from tinybert_jax.training.checkpoints import Checkpoints
from tinybert_jax.training.optim import adamw


def state(seed=0, width=8):
  params = {"dense": {"kernel": jax.random.normal(jax.random.key(seed), (4, width))}}
  return steps.create_state(params, adamw(0.1), jax.random.key(seed + 1))


def assert_same(a, b):
  np.testing.assert_array_equal(jax.random.key_data(a.key), jax.random.key_data(b.key))
  for x, y in zip(jax.tree.leaves(a.replace(key=0)), jax.tree.leaves(b.replace(key=0)), strict=True):
    np.testing.assert_array_equal(x, y)


def steps_in(directory):
  return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Checkpoints at 3, 5, 7 and 9 of states 3 to 9, whose best parameters are those of 5 and 9."""
  directory = tmp_path_factory.mktemp("saved")
  with contextlib.closing(Checkpoints(directory)) as checkpoints:
    assert checkpoints.restore(state()) is None
    best = {}
    for step in (3, 5, 7, 9):
      if step in (5, 9):
        checkpoints.save_best(step, state(step).params)
        best = {"step": step}
      checkpoints.save_latest(step, state(step), {"next": step, "best": best})
    checkpoints.wait()
  return directory


@pytest.fixture
def copy(saved, tmp_path):
  shutil.copytree(saved, tmp_path / "copy")
  return tmp_path / "copy"


def restore(directory, like=None):
  with contextlib.closing(Checkpoints(directory)) as checkpoints:
    found = checkpoints.restore(like or state())
    return found and (*found, checkpoints.restore_best(state().params, found.record["best"].get("step")))


def test_state_record_and_best_come_back_and_two_are_kept(copy):
  found, record, best = restore(copy)
  assert_same(found, state(9))
  assert record == {"next": 9, "best": {"step": 9}}
  np.testing.assert_array_equal(best["dense"]["kernel"], state(9).params["dense"]["kernel"])
  assert steps_in(copy / "latest") == [7, 9] and steps_in(copy / "best") == [5, 9]


def test_a_half_written_checkpoint_is_passed_over(copy):
  (copy / "latest" / "11.orbax-checkpoint-tmp-0" / "state").mkdir(parents=True)
  assert restore(copy)[1]["next"] == 9


def truncate(path):
  os.truncate(path, path.stat().st_size // 2)


def empty(path):
  os.truncate(path, 0)


def remove(path):
  path.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, remove])
@pytest.mark.parametrize("item", ["latest/9/state", "latest/9/record", "best/9/params"])
def test_what_cannot_be_read_is_put_aside_and_the_one_before_is_taken(copy, capfd, item, damage):
  for path in (copy / item).rglob("*"):
    if path.is_file() and (path.parent.name == "d" or path.name == "metadata"):
      damage(path)
  found, record, best = restore(copy)
  assert_same(found, state(7))
  assert record["best"] == {"step": 5}
  np.testing.assert_array_equal(best["dense"]["kernel"], state(5).params["dense"]["kernel"])
  names = ["unreadable-best-9", "unreadable-latest-9"] if item.startswith("best") else ["unreadable-latest-9"]
  assert sorted(path.name for path in copy.glob("unreadable-*")) == names
  out, err = capfd.readouterr()
  assert f"put aside there as {' and '.join(names)}; the run goes on from step 7" in out and out.count("\n") == 1
  assert "Traceback" not in err
  assert restore(copy)[1]["next"] == 7
  assert capfd.readouterr().out == ""


def test_of_three_left_by_a_kill_the_step_that_is_told_is_the_one_that_is_taken(copy, capsys):
  shutil.copytree(copy / "latest" / "7", copy / "latest" / "3")  # the oldest, which was about to be deleted
  remove(copy / "latest" / "9" / "record" / "metadata")
  assert restore(copy)[1]["next"] == 7
  assert "the run goes on from step 7" in capsys.readouterr().out


def test_what_is_put_aside_is_saved_anew_under_its_step(copy):
  remove(copy / "latest" / "9" / "record" / "metadata")
  with contextlib.closing(Checkpoints(copy)) as checkpoints:
    again = checkpoints.restore(state()).record
    checkpoints.save_latest(9, state(9), again | {"next": 9})
  assert restore(copy)[1]["next"] == 9


def test_a_folder_that_lacks_all_its_files_does_not_count(copy):
  for step in (7, 9):
    shutil.rmtree(copy / "latest" / str(step))
    (copy / "latest" / str(step)).mkdir()
  assert restore(copy) is None


def test_with_nothing_readable_the_run_begins_anew(copy, capsys):
  for step in (7, 9):
    remove(copy / "latest" / str(step) / "record" / "metadata")
  assert restore(copy) is None
  assert "unreadable-latest-9 and unreadable-latest-7; the run begins anew" in capsys.readouterr().out
  assert steps_in(copy / "latest") == []


def test_a_checkpoint_of_another_model_is_refused_and_kept(copy):
  with pytest.raises(InputError, match=r"params/dense/kernel is of shape \(4, 8\) there, and \(4, 9\) is needed"):
    restore(copy, state(width=9))
  assert steps_in(copy / "latest") == [7, 9]


def test_the_check_of_the_record_comes_first(copy):
  def check(record):
    raise InputError(f"of {record['next']}")

  with contextlib.closing(Checkpoints(copy)) as checkpoints, pytest.raises(InputError, match="of 9"):
    checkpoints.restore(state(width=9), check)


@pytest.mark.parametrize("params", ["replicated", "sharded"])
def test_a_state_on_a_mesh_comes_back_to_any_other_placement(tmp_path, params):
  mesh = steps.data_mesh()
  sharding = steps.state_sharding(state(), mesh, params)
  with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
    checkpoints.save_latest(1, jax.device_put(state(1), sharding), {})
    checkpoints.wait()
    alone = checkpoints.restore(state()).state
    spread = checkpoints.restore(jax.device_put(state(), sharding)).state
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
    assert_same(checkpoints.restore(state()).state, state(1))

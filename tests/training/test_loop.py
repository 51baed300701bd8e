import json
import os
import random
import signal
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run
from processes import Started
from tensorboard_events import read_scalars

from tinybert_jax.errors import InputError, RunStopped


def start(directory, sleep=0.02):
  return Started(tiny_run.__file__, directory, sleep, devices=1)


def steps_done(directory):
  log = Path(directory) / "log.jsonl"
  return json.loads(log.read_text().splitlines()[-1])["step"] if log.is_file() and log.stat().st_size else 0


def wait_for_step(directory, step, process):
  while steps_done(directory) < step and process.poll() is None:
    time.sleep(0.01)


@pytest.mark.drill
def test_killed_five_times_a_run_ends_with_the_same_bits(tmp_path):
  assert start(tmp_path / "whole", sleep=0).wait() == 0
  rng = random.Random(0)
  for kill in range(5):
    process = start(tmp_path / "killed")
    wait_for_step(tmp_path / "killed", 8 + 8 * kill, process)
    time.sleep(rng.random() * 0.15)  # anywhere: in a step, an evaluation, a checkpoint being written
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
  assert start(tmp_path / "killed", sleep=0).wait() == 0
  whole, killed = (np.load(tmp_path / name / "result.npz") for name in ("whole", "killed"))
  assert set(whole) == set(killed)
  for name in whole:
    np.testing.assert_array_equal(whole[name], killed[name], err_msg=name)
  logs = [
    [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
    for name in ("whole", "killed")
  ]
  scores = [[row for row in log if "accuracy" in row] for log in logs]
  assert scores[0] == scores[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, number):
  process = start(tmp_path / "run")
  wait_for_step(tmp_path / "run", 6, process)
  process.send_signal(number)
  _, errors = process.communicate()
  assert "RunStopped: train: stopped at step" in errors and "the same command goes on there" in errors
  stopped = steps_done(tmp_path / "run")
  result = tiny_run.run(tmp_path / "run")
  assert result.state.step == 56 and stopped < 56


def test_a_finished_run_gives_its_result_again_and_trains_no_more(tmp_path):
  first = tiny_run.run(tmp_path)
  log = (tmp_path / "log.jsonl").read_text()

  def refuse(batch):
    raise AssertionError("trained again")

  again = tiny_run.run(tmp_path, corrupt=refuse)
  jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
  assert (first.metrics, first.history) == (again.metrics, again.history)
  assert (tmp_path / "log.jsonl").read_text() == log


def test_the_best_parameters_are_kept_and_not_the_last(tmp_path):
  seen = []

  def evaluate(params):
    seen.append(jax.device_get(params))
    return {"accuracy": {2: 0.5, 3: 0.5}.get(len(seen), 0.1)}  # best at the second; the third only equals it

  result = tiny_run.run(tmp_path, epochs=3, evaluate=evaluate)
  assert result.metrics == {"accuracy": 0.5} and len(seen) == 5
  jax.tree.map(np.testing.assert_array_equal, result.params, seen[1])
  assert np.any(seen[1]["classifier"]["kernel"] != seen[-1]["classifier"]["kernel"])


def test_other_options_in_the_same_directory_are_refused(tmp_path):
  tiny_run.run(tmp_path, epochs=1)
  with pytest.raises(InputError, match=r"learning_rate 0\.01 then and 0\.02 now"):
    tiny_run.run(tmp_path, epochs=1, learning_rate=0.02)


def test_too_many_skipped_updates_stop_the_run_and_keep_it(tmp_path):
  calls = iter(range(1000))

  def corrupt(batch):
    weight = batch["example_weight"] * (np.nan if next(calls) >= 10 else 1)
    return jax.device_put(batch | {"example_weight": jnp.asarray(weight)})

  with pytest.raises(RunStopped, match="4 updates in a row had a gradient that was not finite"):
    tiny_run.run(tmp_path, corrupt=corrupt, max_skipped_in_a_row=4)
  rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
  assert [row["skipped"] for row in rows if "skipped" in row] == [0, 0, 0, 0, 0, 2, 4]


def test_tensorboard_gets_what_the_log_has(tmp_path):
  result = tiny_run.run(tmp_path, epochs=2)
  scalars = read_scalars(tmp_path)
  losses = {row["step"]: row["loss"] for row in result.history if "loss" in row}
  assert scalars["loss"].keys() == losses.keys()
  np.testing.assert_allclose(list(scalars["loss"].values()), list(losses.values()), rtol=1e-6)
  assert "accuracy" in scalars


def skip(number):
  """Returns what makes the first updates of a run not finite, so many of them, one in two."""
  calls = iter(range(1000))

  def corrupt(batch):
    call = next(calls)
    weight = batch["example_weight"] * (np.nan if call % 2 == 0 and call < 2 * number else 1)
    return jax.device_put(batch | {"example_weight": jnp.asarray(weight)})

  return corrupt


def test_a_few_skipped_updates_are_said_at_the_end(tmp_path, capsys):
  assert tiny_run.run(tmp_path, epochs=3, corrupt=skip(2)).state.step == 21
  assert "train: 2 of 21 updates were skipped, because a gradient was not finite" in capsys.readouterr().out


def test_more_than_a_tenth_of_skipped_updates_is_no_success_and_stays_none(tmp_path):
  for corrupt in (skip(3), None):
    with pytest.raises(RunStopped, match=r"3 of 21 updates were skipped.*a lower learning rate"):
      tiny_run.run(tmp_path, epochs=3, corrupt=corrupt)


@pytest.mark.parametrize(
  ("teacher", "reason"), [({}, "labels, targets or the model"), ({"a": {"kernel": jnp.array([np.nan])}}, "a/kernel")]
)
def test_a_run_of_skipped_updates_alone_fails_with_the_likely_reason(tmp_path, teacher, reason):
  with pytest.raises(RunStopped, match=f"all of 7 updates were skipped.*{reason}"):
    tiny_run.run(tmp_path, epochs=1, corrupt=skip_all, teacher_params=teacher)


def skip_all(batch):
  return jax.device_put(batch | {"example_weight": jnp.asarray(batch["example_weight"] * np.nan)})


@pytest.mark.parametrize("item", ["latest", "best"])
def test_a_run_whose_newest_checkpoint_is_damaged_ends_with_the_same_bits(tmp_path, item, capsys):
  whole = tiny_run.run(tmp_path, epochs=2)
  newest = max((tmp_path / "checkpoints" / item).iterdir(), key=lambda path: int(path.name))
  for path in newest.rglob("d/*"):
    os.truncate(path, 40)
  again = tiny_run.run(tmp_path, epochs=2)
  jax.tree.map(np.testing.assert_array_equal, whole.params, again.params)
  jax.tree.map(np.testing.assert_array_equal, whole.state.params, again.state.params)
  assert whole.metrics == again.metrics
  assert "put aside" in capsys.readouterr().out and list((tmp_path / "checkpoints").glob(f"unreadable-{item}-*"))

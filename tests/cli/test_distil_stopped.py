"""`tinybert-jax distil` that is killed, or finds the disk full: the same command ends with the same bits."""

import errno
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from small_distil import SHAPE, SHORT, greetings, write
from small_glue import TEACHER, write_encoder
from stopped_distil import Killed, killing, run, weights

from tinybert_jax.pipeline import stage_fit
from tinybert_jax.training.checkpoints import Checkpoints


@pytest.fixture
def given(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  monkeypatch.setattr(stage_fit, "SAVE_SECONDS", 0)  # at every evaluation
  return {
    "pretrained": write_encoder(tmp_path / "encoder", TEACHER),
    "train": write(tmp_path / "train.csv", greetings(40)),
    **SHORT,
    **SHAPE,
  }


def full(where, name, when=lambda *args: True):
  """Has the disk be full as a function of a module or a class writes."""
  before = getattr(where, name)

  def write_nothing(*args, **more):
    if when(*args):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))
    return before(*args, **more)

  return lambda monkeypatch: monkeypatch.setattr(where, name, write_nothing)


PLACES = {
  "checkpoint": full(Checkpoints, "save_latest"),
  "targets": full(np, "savez"),
  "metrics": full(Path, "write_text", lambda path, *_: "metrics" in path.name),
}


@pytest.mark.drill
def test_a_kill_in_each_stage_and_a_full_disk_lose_nothing(given, tmp_path, monkeypatch, capsys):
  run(given, tmp_path / "undisturbed")
  student, out = weights(tmp_path / "undisturbed"), tmp_path / "stopped"
  stop_by_full_disk(given, out, "checkpoint", monkeypatch, capsys)
  stop_by_kill(given, out, "teacher", monkeypatch)
  stop_by_kill(given, out, "intermediate", monkeypatch)
  stop_by_full_disk(given, out, "targets", monkeypatch, capsys)
  stop_by_kill(given, out, "prediction", monkeypatch)
  stop_by_full_disk(given, out, "metrics", monkeypatch, capsys)
  assert not (out / "metrics.json").exists()
  run(given, out)
  ours = weights(out)
  assert ours.keys() == student.keys()
  for name, value in student.items():
    np.testing.assert_array_equal(ours[name], value, err_msg=name)
  assert json.loads((out / "metrics.json").read_text())["student"]["accuracy"] >= 0
  left = {path.name for path in out.iterdir() if path.name.startswith(".") or "unfinished" in path.name}
  assert left == {".lock"}


def stop_by_kill(given, out, stage, monkeypatch):
  with monkeypatch.context() as patch:
    killing(stage)(patch)
    with pytest.raises(Killed):
      run(given, out)
  assert (out / f"{stage}.unfinished").is_dir() and not (out / stage).exists()


def stop_by_full_disk(given, out, place, monkeypatch, capsys):
  capsys.readouterr()
  with monkeypatch.context() as patch:
    PLACES[place](patch)
    with pytest.raises(SystemExit) as ended:
      run(given, out)
  last = capsys.readouterr().err.strip().splitlines()[-1]
  assert ended.value.code == 2 and "No space left on device; free some space" in last, (place, last)

"""Each kind of task in `tinybert-jax distil`: killed in every stage, and on eight devices."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file
from small_kinds import KINDS, options_of
from stopped_distil import Killed, keep_bare, killing, run, weights

from tinybert_jax.pipeline import stage_fit
from tinybert_jax.training.loop import Every

STAGES = ("intermediate", "prediction")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
  keep_bare(monkeypatch)


def killed_while_targets_are_written(monkeypatch):
  def write_a_part(file, **arrays):
    file.write(b"PK")
    raise Killed

  monkeypatch.setattr(np, "savez", write_a_part)


def stages_of(given):
  return (("teacher",) if "pretrained" in given else ()) + STAGES


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_in_each_stage_ends_with_the_bits_of_one_that_was_not(kind, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  given, whole, out = options_of(kind, tmp_path), tmp_path / "whole", tmp_path / "killed"
  run(given, whole)
  for stage in stages_of(given):
    if stage == "prediction":
      with monkeypatch.context() as patch:
        killed_while_targets_are_written(patch)
        with pytest.raises(Killed):
          run(given, out)
      assert not (out / "teacher_targets.npz").exists()
    with monkeypatch.context() as patch:
      killing(stage)(patch)
      with pytest.raises(Killed):
        run(given, out)
    assert (out / f"{stage}.unfinished").is_dir() and not (out / stage).exists()
  run(given, out)
  for stage in (*stages_of(given), "student"):
    for file in sorted((whole / stage).rglob("model.safetensors")):
      ours, theirs = (load_file(each) for each in (out / file.relative_to(whole), file))
      assert ours.keys() == theirs.keys()
      for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=f"{file}: {name}")
  ours, theirs = (json.loads((each / "metrics.json").read_text()) for each in (out, whole))
  for name in ("teacher", "student", "agreement", "retrieval"):
    assert ours.get(name) == theirs.get(name)
  assert {path.name for path in out.iterdir() if "unfinished" in path.name} == set()
  capsys.readouterr()
  run(given, out)
  assert " done " not in capsys.readouterr().out


@pytest.mark.drill
@pytest.mark.parametrize("kind", KINDS)
def test_eight_devices_give_the_numbers_of_one(kind, tmp_path, monkeypatch):
  # With large steps, rounding grows from one to the next.
  given = {name: 1e-3 if "rate" in name else value for name, value in options_of(kind, tmp_path).items()}
  monkeypatch.setattr(stage_fit, "Every", lambda **often: Every(**{**often, "log": 2}))
  for devices in (1, 8):
    monkeypatch.setattr(jax, "device_count", lambda devices=devices: devices)
    run(given, tmp_path / str(devices))
  for stage in stages_of(given):
    logs = [path.parent for path in (tmp_path / "8" / stage).rglob("log.jsonl")]
    assert logs
    for log in logs:
      ours, theirs = (
        [json.loads(row) for row in (tmp_path / name / log.relative_to(tmp_path / "8") / "log.jsonl").open()]
        for name in ("8", "1")
      )
      assert len(ours) == len(theirs) > 1
      for row, other in zip(ours, theirs, strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - {"seconds", "steps_per_second", "tokens_per_second", "time", "examples_per_second"}:
          near = 1e-2 if name == "grad_norm" else 1e-3
          assert row[name] == pytest.approx(other[name], rel=near, abs=1e-5), (stage, name)
  ours, theirs = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("8", "1"))
  for name in ("teacher", "student"):
    assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5)
  ours, theirs = (weights(tmp_path / name) for name in ("8", "1"))
  for name, value in theirs.items():
    # The fit of a student's first weights enlarges what rounding has left between the two teachers.
    assert np.linalg.norm(ours[name] - value) <= 0.02 * np.linalg.norm(value) + 1e-3, name

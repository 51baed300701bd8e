"""`tinybert-jax distil` run by its options, and killed."""

import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from tinybert_jax.cli import command_line, distil
from tinybert_jax.pipeline import deployed, evaluation, measurement, report, stage_fit
from tinybert_jax.training.checkpoints import Checkpoints
from tinybert_jax.training.evaluate import Cost


class Killed(BaseException):
  """What no program catches."""


def keep_bare(patch):
  """Has runs use one device, save at every evaluation, and leave out pictures and timings, which take seconds."""
  patch.setattr(jax, "device_count", lambda: 1)
  patch.setattr(stage_fit, "SAVE_SECONDS", 0)
  patch.setattr(report, "write", lambda *_: None)
  patch.setattr(deployed, "measure", lambda *_: {})
  patch.setattr(evaluation, "attention_maps", lambda *_: None)
  patch.setattr(measurement, "compare_costs", lambda models, **_: dict.fromkeys(models, Cost(1.0, 1.0, 1.0)))


def run(given, out):
  """Runs the command with these options."""
  arguments = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in given.items()]
  command_line.run(distil.main, distil.Options, "tinybert-jax distil", [*arguments, f"--out={out}"])


def weights(out):
  return load_file(out / "student" / "model.safetensors")


def killing(stage):
  """Has the process end as it saves the first checkpoint of a stage."""
  start, save, directory_of = Checkpoints.__init__, Checkpoints.save_latest, {}

  def remember(self, directory):
    directory_of[self] = str(directory)
    start(self, directory)

  def save_and_end(self, *args):
    save(self, *args)
    self.wait()
    if f"{stage}.unfinished" in directory_of[self]:
      raise Killed

  def patch(monkeypatch):
    monkeypatch.setattr(Checkpoints, "__init__", remember)
    monkeypatch.setattr(Checkpoints, "save_latest", save_and_end)

  return patch


def loses_nothing_when_killed(given, finished, out, monkeypatch, capsys):
  """Checks that a run killed in prediction distillation goes on to the bits of the finished one, and is reused."""
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  monkeypatch.setattr(stage_fit, "SAVE_SECONDS", 0)  # at every evaluation
  shutil.copytree(finished, out)
  for name in ("prediction", "student"):
    shutil.rmtree(out / name)
  with monkeypatch.context() as patch:
    killing("prediction")(patch)
    with pytest.raises(Killed):
      run(given, out)
  run(given, out)
  ours = weights(out)
  for name, value in weights(finished).items():
    np.testing.assert_array_equal(ours[name], value, err_msg=name)
  capsys.readouterr()
  run(given, out)
  assert capsys.readouterr().out.count("reused") == 5

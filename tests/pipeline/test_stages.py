import json
import shutil

import jax
import numpy as np
import pytest
from small_tokenizer import word_tokenizer

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.stages import Made, stored_logits

CONFIG = EncoderConfig(vocab_size=7, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4)
INPUTS = {"task": "RTE", "stage": "teacher", "epochs": 3, "start": "0" * 32}


@pytest.fixture
def stage(tmp_path):
  """A function that runs a stage with some inputs changed; `made` lists the directories it worked in."""
  made = []

  def make(work, stop):
    made.append(work)
    (work / "log.jsonl").write_text("{}\n")
    if stop:
      raise KeyboardInterrupt
    return Made(CONFIG, initialize(SequenceClassifier(CONFIG), jax.random.key(len(made))), {"accuracy": 0.5})

  def run(stop=False, **changes):
    return stages.run(tmp_path / "RTE" / "teacher", INPUTS | changes, lambda work: make(work, stop), TOKENS, "")

  run.made, run.folder = made, tmp_path / "RTE" / "teacher"
  return run


TOKENS = word_tokenizer()


def test_a_finished_stage_is_reused_and_says_so(stage, capsys):
  first, again = stage(), stage()
  assert len(stage.made) == 1
  assert first.fingerprint == again.fingerprint
  assert first.record["accuracy"] == 0.5
  assert "reused from" in capsys.readouterr().out
  assert {path.name for path in stage.folder.parent.iterdir()} == {"teacher"}
  assert (stage.folder / "training" / "log.jsonl").is_file()
  assert not (stage.folder / "training" / "inputs.json").exists()


def test_other_inputs_make_it_again_and_it_says_which(stage, capsys):
  first = stage()
  second = stage(epochs=4, start="1" * 32)
  out = capsys.readouterr().out
  assert "done again: epochs was 3 and is 4, start changed" in out
  assert second.fingerprint != first.fingerprint
  assert stages.load(stage.folder, "RTE").fingerprint == second.fingerprint


def test_the_finished_stage_stays_until_the_new_one_is_complete(stage):
  first = stage()
  with pytest.raises(KeyboardInterrupt):
    stage(stop=True, epochs=4)
  assert stages.load(stage.folder, "RTE").fingerprint == first.fingerprint
  assert stage(epochs=4).fingerprint != first.fingerprint
  assert stage.made[-1] == stage.made[-2]  # it went on where it had stopped


def test_an_unfinished_run_with_other_inputs_is_put_aside(stage, capsys):
  for epochs in (3, 4, 5):
    with pytest.raises(KeyboardInterrupt):
      stage(stop=True, epochs=epochs)
  kept = sorted(path.name for path in stage.folder.parent.iterdir())
  assert kept == ["teacher.unfinished", "teacher.unfinished-1", "teacher.unfinished-2"]
  assert "an unfinished run is kept in" in capsys.readouterr().out


def test_what_a_kill_at_the_end_leaves_is_cleared(stage):
  """The process ended after the stage was put in its place, or between the two renames."""
  first = stage()
  shutil.copytree(stage.made[0].parent / "teacher" / "training", stage.made[0])
  (stage.made[0] / "inputs.json").write_text(json.dumps(INPUTS))
  half = stage.folder.with_name(".teacher.0123abcd")
  half.mkdir()
  stage.folder.rename(stage.folder.with_name(f"{half.name}.old"))
  assert stage().fingerprint == first.fingerprint and len(stage.made) == 1
  assert [path.name for path in stage.folder.parent.iterdir()] == ["teacher"]


def test_a_record_that_tells_nothing_is_refused(stage):
  stage()
  (stage.folder / "stage.json").write_text("{}")
  with pytest.raises(InputError, match=r"teacher/stage\.json: does not tell what the stage was made from"):
    stage()


def test_folders_that_are_not_this_tasks_are_refused(stage):
  stage()
  other = stage.folder.parents[1] / "MRPC" / "teacher"
  shutil.copytree(stage.folder, other)
  with pytest.raises(InputError, match="MRPC/teacher: holds a stage of the task RTE, not of MRPC"):
    stages.run(other, INPUTS | {"task": "MRPC"}, lambda work: None, TOKENS, "")
  (other / "stage.json").unlink()
  with pytest.raises(InputError, match=r"holds no stage\.json, so it was not made by this program"):
    stages.load(other, "MRPC")
  with pytest.raises(InputError, match=r"RTE/prediction: not there yet; run that stage first \(--stages prediction"):
    stages.load(stage.folder.with_name("prediction"), "RTE")


@pytest.mark.parametrize("is_made", [True, False])
def test_links_to_empty_folders_are_written_through(stage, tmp_path, is_made):
  disk = tmp_path / "disk"
  stage.folder.parent.mkdir()
  stages.unfinished(stage.folder).symlink_to(disk / "work")
  stage.folder.symlink_to(disk / "teacher")
  if is_made:
    (disk / "work").mkdir(parents=True)
    (disk / "teacher").mkdir()
  with pytest.raises(InputError, match=r"teacher: not there yet; run that stage first"):
    stages.load(stage.folder, "RTE")
  first = stage()
  assert stage().fingerprint == first.fingerprint and len(stage.made) == 1
  assert stage(epochs=4).fingerprint != first.fingerprint
  assert stage.folder.is_symlink() and (disk / "teacher" / "stage.json").is_file()
  assert sorted(path.name for path in disk.iterdir()) == ["teacher", "work"] and not any((disk / "work").iterdir())
  assert all(path.is_symlink() for path in stage.folder.parent.iterdir())


def test_logits_are_computed_once_and_again_when_something_changed(tmp_path, capsys):
  path, calls = tmp_path / "task" / "logits.npz", []

  def compute():
    calls.append(1)
    return np.full((2, 3), float(len(calls)))

  assert stored_logits(path, "a", compute)[0, 0] == stored_logits(path, "a", compute)[0, 0] == 1
  assert capsys.readouterr().out == ""
  assert stored_logits(path, "b", compute)[0, 0] == 2
  assert "of another teacher or other data, or damaged; computed anew" in capsys.readouterr().out
  path.write_bytes(path.read_bytes()[:50])
  assert stored_logits(path, "b", compute)[0, 0] == 3
  assert [child.name for child in path.parent.iterdir()] == ["logits.npz"]

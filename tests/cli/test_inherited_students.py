"""`--student-from teacher` in `distil`, `glue` and `general`."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from small_distil import SHORT, greetings, refused, write, write_teacher
from small_distil import options as distil_options
from small_general import write_inputs
from small_glue import STUDENT, TEACHER, write_config, write_encoder

from tinybert_jax.cli import distil, general
from tinybert_jax.distillation import inherited
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.pretrained import load_pretrained
from tinybert_jax.pipeline import distil_models
from tinybert_jax.pipeline.distil_settings import StudentOptions
from tinybert_jax.pipeline.student_choice import Student

FROM_TEACHER = {"student_from": "teacher"}
BY_DEFAULT: dict[str, str | None] = {"student_from": None}


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight


def stage(folder):
  return json.loads((folder / "stage.json").read_text())


def test_distil_begins_with_the_teachers_weights(tmp_path, capsys):
  teacher = write_teacher(tmp_path / "teacher", num_hidden_layers=2)
  train = write(tmp_path / "train.csv", greetings(60))
  given = {
    "teacher": teacher,
    "train": train,
    "out": tmp_path / "out",
    **SHORT,
    "student_layers": 1,
    "student_width": 8,
  }
  distil.main(
    distil_options(**given, **BY_DEFAULT, stages=("teacher", "intermediate", "prediction", "labels", "evaluate"))
  )
  made = {name: stage(tmp_path / "out" / name) for name in ("inherited", "intermediate", "labels")}
  assert 0 <= made["inherited"]["score"] <= 1
  told = {row["name"]: row for row in json.loads((tmp_path / "out" / "metrics.json").read_text())["stages"]}
  assert told["inherited"]["score"] == made["inherited"]["score"]
  # Both stages that train a student from the start begin with the same one.
  assert made["intermediate"]["inputs"]["student"] == made["labels"]["inputs"]["student"]
  start = load_pretrained(tmp_path / "out" / "inherited", SequenceClassifier, finished=True)
  assert start.config.hidden_size == 8 and np.abs(start.params["classifier"]["kernel"]).max() > 0
  capsys.readouterr()
  distil.main(
    distil_options(**given, **FROM_TEACHER, stages=("teacher", "intermediate", "prediction", "labels", "evaluate"))
  )
  assert capsys.readouterr().out.count("reused from") == 6
  # Without the first stage, the second begins with the teacher's weights at once.
  alone = {**given, "out": tmp_path / "alone"}
  distil.main(distil_options(**alone, **BY_DEFAULT, stages=("teacher", "prediction")))
  begun = stage(tmp_path / "alone" / "prediction")["inputs"]["student"]
  assert begun == made["intermediate"]["inputs"]["student"] and not (tmp_path / "alone" / "intermediate").exists()


def test_general_begins_with_the_teachers_weights(tmp_path):
  write_inputs(tmp_path)
  options = general.Options(
    corpus=(str(tmp_path / "text.txt"),), held_out=0.1, cache=tmp_path / "cache", pretrained=str(tmp_path / "teacher"),
    student=str(tmp_path / "student.json"), max_length=32, steps=2, batch_size=16, learning_rate=1e-9, dtype="float32",
    evaluate_every=2,
  )  # fmt: skip
  losses = {}
  for start in ("teacher", None):
    chosen = dataclasses.replace(options, out=tmp_path / f"from-{start}", student_from=start)
    general.main(chosen)
    losses[start] = json.loads((chosen.out / "metrics.json").read_text())
  # At so small a rate nothing is learnt: these are the losses of the first weights and projections.
  assert losses["teacher"]["held_out_loss"] < 0.5 * losses[None]["held_out_loss"]
  inputs = [stage(tmp_path / f"from-{start}" / "model")["inputs"] for start in ("teacher", None)]
  assert inputs[0].pop("student_from") == f"teacher, method {inherited.METHOD}" and inputs[0] == inputs[1]


def test_what_does_not_go_together_is_one_sentence(tmp_path, capsys):
  teacher = write_teacher(tmp_path / "teacher", num_hidden_layers=2)
  train = write(tmp_path / "train.csv", greetings(20))
  given = ["--train", train, "--teacher", teacher, "--student-from", "teacher", "--out", tmp_path / "out"]
  larger = write_config(tmp_path / "larger.json", dataclasses.replace(TEACHER, hidden_size=32))
  deeper = write_config(tmp_path / "deeper.json", dataclasses.replace(TEACHER, num_hidden_layers=3))
  for student, problem in (
    (larger, "the student is 32 wide, and the teacher 16"),
    (deeper, "the student has 3 layers, and the teacher 2"),
    (write_encoder(tmp_path / "encoder", STUDENT), "has weights of its own"),
  ):
    assert problem in refused(capsys, *given, "--student", student)


def test_a_shape_that_the_teachers_weights_do_not_make_begins_at_random_and_says_why(capsys):
  fewer = Student(dataclasses.replace(TEACHER, num_attention_heads=1), None, "")
  assert distil_models.inherits(StudentOptions(), Student(TEACHER, None, ""), TEACHER, has_teacher=True)
  assert not distil_models.inherits(StudentOptions(), fewer, TEACHER, has_teacher=True)
  assert "begins with random weights, as it cannot have its teacher's: the student has 1" in capsys.readouterr().out

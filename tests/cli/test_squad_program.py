"""`python -m experiments.squad` is `distil --kind spans` with the paper's settings."""

import pytest
from small_distil import refused

from tinybert_jax.cli import squad
from tinybert_jax.cli.squad_options import Options


def test_the_papers_settings(tmp_path):
  for split in ("train", "dev"):
    (tmp_path / f"{split}-v2.0.json").touch()
  made = squad.settings(Options(pretrained="bert", data=tmp_path, version="2.0", out=tmp_path / "out"))
  training, data = made.training, made.data
  assert (training.intermediate_epochs, training.prediction_epochs, training.teacher_epochs) == (5, 3, 3)
  assert (training.intermediate_learning_rate, training.prediction_learning_rate) == (5e-5, 3e-5)
  assert {training.teacher_batch_size, training.intermediate_batch_size, training.prediction_batch_size} == {16}
  assert (made.max_length, data.doc_stride, data.max_query_length, data.kind) == (384, 128, 64, "spans")
  assert data.dev == (str(tmp_path / "dev-v2.0.json"),) and made.out == tmp_path / "out" / "v2.0"
  of_hub = squad.settings(Options(teacher="squad-bert"))
  assert of_hub.data.train == ("rajpurkar/squad::train",) and of_hub.teachers.teacher == ("squad-bert",)


@pytest.mark.parametrize(
  ("options", "said"),
  [([], "who teaches?"), (["--pretrained", "x", "--data", "."], "train-v1.1.json and dev-v1.1.json: no such file")],
)
def test_what_is_missing_gets_one_sentence(capsys, tmp_path, monkeypatch, options, said):
  monkeypatch.chdir(tmp_path)
  assert said in refused(capsys, *options, program=squad)

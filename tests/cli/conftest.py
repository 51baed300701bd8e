"""A run of `experiments.glue` that its test files share; others have fixtures of their own by these names."""

import shutil

import jax
import pytest
from glue_files import write_task
from small_glue import STUDENT, TEACHER, changed, write_config, write_encoder

from tinybert_jax.cli import glue as program
from tinybert_jax.cli.glue_options import Options
from tinybert_jax.pipeline import deployed, evaluation, report


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Data, an encoder, a student's shape, and one finished run, made once."""
  root = tmp_path_factory.mktemp("glue")
  write_task(root / "data", "RTE", rows=120)
  options = Options(
    task="rte",
    data=root / "data",
    out=root / "out",
    pretrained=write_encoder(root / "encoder", TEACHER),
    student=write_config(root / "student.json", STUDENT),
    no_augment=True,
    dtype="float32",
    teacher_epochs=4,
    teacher_batch_size=8,
    teacher_learning_rate=1e-2,
    intermediate_epochs=1,
    intermediate_batch_size=8,
    intermediate_learning_rate=1e-2,
    prediction_epochs=2,
    prediction_batch_size=8,
    prediction_learning_rate=1e-2,
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "device_count", lambda: 1)
    program.main(options)
  return options


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
  """Leaves out the report of a test's own runs, whose pictures take seconds; the runs that files share have it."""
  monkeypatch.setattr(report, "write", lambda *_: None)
  monkeypatch.setattr(deployed, "measure", lambda *_: {})
  monkeypatch.setattr(evaluation, "attention_maps", lambda *_: None)


@pytest.fixture
def options(made, tmp_path, monkeypatch):
  """The options of that run with an empty --out, on one device."""
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight
  return changed(made, out=tmp_path / "out")


@pytest.fixture
def finished(made, options):
  """The same with a copy of the finished run in --out."""
  shutil.copytree(made.out, options.out)
  return options

"""A folder with the files that pages and examples name; trainings are short and timings made up, to save time."""

import math
import sys

import jax
import pytest
import stand_ins

from tinybert_jax import fit
from tinybert_jax.data.batches import BatchSource
from tinybert_jax.pipeline import budget, deployed, measurement, report, shape
from tinybert_jax.training.evaluate import Cost

_MOST_STEPS = 12


@pytest.fixture(scope="session")
def files(tmp_path_factory):
  folder = tmp_path_factory.mktemp("files")
  stand_ins.write(folder)
  return folder


@pytest.fixture
def workplace(files, monkeypatch):
  """The current directory: the folder with the files, and what earlier pages left there; on one device."""
  monkeypatch.chdir(files)
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight
  monkeypatch.setattr(sys.modules[fit.__module__], "BatchSource", short_source)
  monkeypatch.setattr(shape, "_times_faster", lambda *_: 11.0)
  monkeypatch.setattr(measurement, "compare_costs", lambda models, **_: dict.fromkeys(models, Cost(1.0, 1.0, 1.0)))
  monkeypatch.setattr(budget, "measure", lambda *_: budget.Speed(1.0, 1.0))
  monkeypatch.setattr(report, "write", lambda *_: None)  # its pictures take seconds
  monkeypatch.setattr(deployed, "measure", lambda *_: {})
  return files


def short_source(rows, *, batch_size, epochs, steps, **options):
  """Returns the batches of a training, at most a dozen."""
  steps = steps or epochs * math.ceil(len(rows) / batch_size)
  return BatchSource(rows, batch_size=batch_size, epochs=epochs, steps=min(steps, _MOST_STEPS), **options)

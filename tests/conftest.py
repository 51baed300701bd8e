"""Settings for the whole suite: CPU, eight devices, no network."""

import atexit
import os
import pathlib
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from tally import told

# Before jax is imported: eight CPU devices for the parallel forms, and no accelerator by accident.
os.environ["JAX_PLATFORMS"] = "cpu"
# The tests compile far more than they compute: no optimisations, no fusion emitters (half the time), no split modules.
os.environ["XLA_FLAGS"] = (
  "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
  "--xla_cpu_parallel_codegen_split_count=1 --xla_cpu_use_fusion_emitters=false"
)
os.environ["HF_HUB_OFFLINE"] = "1"
# The experiments are not installed; processes that tests start find them here.
ROOT = str(pathlib.Path(__file__).parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Many tests compile the same programs, each for itself; a cache on disk spares most of that.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="tinybert_jax-tests-")
  atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"  # smaller ones take longer to write than they spare

# The same few examples in every run; HYPOTHESIS_PROFILE=many for a hunt of half an hour.
settings.register_profile("few", max_examples=30, derandomize=True, database=None, deadline=None)
settings.register_profile(
  "many", max_examples=2_000, database=None, deadline=None, suppress_health_check=[*HealthCheck]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))


# Of the drill's random moments, the same in all of its processes; printed in the end, so that they can be had again.
os.environ.setdefault("DRILL_SEED", str(int.from_bytes(os.urandom(2), "big")))


def pytest_terminal_summary(terminalreporter):
  """Tells in one line what the drill has tried."""
  if line := told([report for reports in terminalreporter.stats.values() for report in reports]):
    terminalreporter.write_line(line)


def pytest_collection_modifyitems(items):
  """Whole programs first: the long files begin early, and the short ones fill up the end."""
  first = ("cli", "experiments", "training", "tests", "docs")
  items.sort(key=lambda item: first.index(item.path.parent.name) if item.path.parent.name in first else len(first))


@pytest.fixture
def unchecked():
  """Turns the checks of types and shapes off, for tests of the library's own errors for values that do not fit."""
  from jaxtyping import config  # loads JAX, so not before the settings above

  config.update("jaxtyping_disable", True)
  yield
  config.update("jaxtyping_disable", False)

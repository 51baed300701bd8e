"""A virtual environment of its own, for packages that need others than this one has."""

import importlib.util
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from markdown_pages import ROOT

_UNREACHABLE = re.compile(r"connection broken|NewConnectionError|name resolution|unreachable|timed out", re.IGNORECASE)
_SECONDS = 1500


def make(folder: Path, *requirements: str) -> Path:
  """Returns the Python of a new environment with these packages; skips the test where pip reaches no index."""
  if importlib.util.find_spec("pip") is None:
    pytest.skip("pip is not installed")
  venv.create(folder, symlinks=True)
  python = folder / "bin" / "python"
  done = subprocess.run(
    [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", *requirements],
    capture_output=True, text=True, timeout=_SECONDS, check=False,
  )  # fmt: skip
  if done.returncode and _UNREACHABLE.search(done.stderr):
    pytest.skip("pip reaches no index")
  assert done.returncode == 0, done.stderr
  return python


def pinned(*names: str) -> list[str]:
  """Returns these packages at the versions of constraints.txt."""
  lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
  return [line for line in lines if line.partition("==")[0] in names]

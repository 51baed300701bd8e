"""Packages of npm and the browser, for tests that are skipped where these are missing."""

import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|network")


def install(folder, *packages):
  """Runs `npm install` in a folder; skips the test where there is no npm, or no registry that it reaches."""
  if not shutil.which("npm"):
    pytest.skip("npm is not installed")
  done = subprocess.run(
    ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages],
    cwd=folder, capture_output=True, text=True, timeout=300,
  )  # fmt: skip
  if done.returncode and _UNREACHABLE.search(done.stderr):
    pytest.skip("npm reaches no registry")
  assert done.returncode == 0, done.stderr

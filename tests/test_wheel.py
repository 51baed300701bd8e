"""The wheel: one top-level package with its data files, and a program that runs without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """A wheel, built from a copy of what it needs."""
  root = tmp_path_factory.mktemp("wheel")
  source = root / "source"
  ignored = shutil.ignore_patterns("__pycache__")
  for folder in ("tinybert_jax", "experiments", "tests"):
    shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
  for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(ROOT / file, source)
  run("-c", f"from setuptools import build_meta; build_meta.build_wheel({str(root)!r})", cwd=source)
  (path,) = root.glob("*.whl")
  return path


def run(*arguments, cwd, **environment):
  done = subprocess.run(
    [sys.executable, *map(str, arguments)], cwd=cwd, env=os.environ | environment, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_it_holds_one_package_with_all_of_its_files(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"tinybert_jax"}
  ours = {str(path.relative_to(ROOT)) for path in (ROOT / "tinybert_jax").rglob("*") if path.is_file()}
  assert {path for path in ours if "__pycache__" not in path} <= set(names)
  assert "tinybert_jax/py.typed" in names


def test_its_program_runs_in_another_directory(wheel, tmp_path):
  site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
  elsewhere.mkdir()
  run("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", site, wheel, cwd=elsewhere)
  said = run(site / "bin" / "tinybert-jax", "--help", cwd=elsewhere, PYTHONPATH=str(site))
  assert "tinybert-jax COMMAND" in said and "distil" in said
  where = run("-c", "import tinybert_jax; print(tinybert_jax.__file__)", cwd=elsewhere, PYTHONPATH=str(site))
  assert Path(where.strip()).is_relative_to(site)

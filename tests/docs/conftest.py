"""A folder with the files that pages and examples name, the same for each page."""

import shutil

import jax
import pytest
import stand_ins


@pytest.fixture(scope="session")
def files(tmp_path_factory):
  folder = tmp_path_factory.mktemp("files")
  stand_ins.write(folder)
  return folder


@pytest.fixture
def workplace(files, tmp_path, monkeypatch):
  """The current directory: a copy of the files, on one device."""
  shutil.copytree(files, tmp_path / "work")
  monkeypatch.chdir(tmp_path / "work")
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight
  return tmp_path / "work"

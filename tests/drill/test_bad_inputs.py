"""Bad inputs from a table: one sentence with the words that are needed, exit code 2, and nothing changed on disk."""

import importlib
import os
import shlex
import shutil
import sys

import bad_inputs
import pytest

from tinybert_jax.cli import command_line
from tinybert_jax.training import fit

pytestmark = pytest.mark.drill


@pytest.mark.parametrize("bad", bad_inputs.ALL, ids=lambda bad: f"{bad.program}: {bad.says}")
def test_a_bad_input_is_refused(bad, inputs, tmp_path, monkeypatch, capfd, tally):
  folder = tmp_path / "here"
  shutil.copytree(inputs, folder)
  for name, content in bad.files.items():
    write(folder / name, content)
  (folder / "out").mkdir()
  (folder / "out" / "kept.txt").write_text("kept")
  before = content_of(folder)
  monkeypatch.chdir(folder)
  monkeypatch.setattr(fit, "train", too_late)
  tally.tried("bad input")
  code, said = run(bad, capfd)
  assert code == 2, said
  assert said.count("\n") == 1 and "Traceback" not in said, said
  assert bad.says in said
  assert content_of(folder) == before
  tally.survived("bad input")


def too_late(*_, **__):
  raise AssertionError("it is taken, and training begins")


def run(bad, capfd):
  """Returns the exit code and what stands on stderr, but for progress bars."""
  main = importlib.import_module(f"tinybert_jax.cli.{bad.program}").main
  options = importlib.import_module(f"tinybert_jax.cli.{bad.program}_options").Options
  words = shlex.split(bad.options)
  capfd.readouterr()
  try:
    command_line.run(main, options, bad.program, [*words, *([] if "--out" in words else ["--out", "out"])])
  except SystemExit as ended:
    sys.stderr.flush()
    lines = capfd.readouterr().err.splitlines(keepends=True)
    return ended.code, "".join(line for line in lines if "\r" not in line and "B/s]" not in line)
  return 0, "it is taken"


def write(path, content):
  made = content(path) if callable(content) else content
  if made is None:
    path.unlink()
  else:
    path.write_bytes(made if isinstance(made, bytes) else made.encode())


def content_of(folder):
  """Returns the bytes of every file by its path; locks are no content, nor is what runs have in common in `runs`."""
  return {
    os.path.relpath(path, folder): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != ".lock" and path.relative_to(folder).parts[0] != "runs"
  }

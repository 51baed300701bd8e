import ctypes
import dataclasses
import errno
import importlib.machinery
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Literal

import pytest

from tinybert_jax.cli import command_line, distil, mlm
from tinybert_jax.errors import InputError, RunStopped, WorkerKilled


@dataclasses.dataclass(frozen=True)
class Options:
  """What it does."""

  size: int = 3
  """How large, in tokens."""
  debug: bool = False
  """Show the traceback of an error."""


def run(monkeypatch, error, *arguments):
  def main(options):
    raise error

  monkeypatch.setattr("sys.argv", ["program", *arguments])
  command_line.run(main, Options, "python -m experiments.test")


@pytest.mark.parametrize(
  ("error", "sentence"),
  [
    (InputError("data.tsv, line 3: no label"), "data.tsv, line 3: no label\n"),
    (RunStopped("stopped at step 3"), "stopped at step 3\n"),
    (WorkerKilled("a process was killed"), "a process was killed\n"),
    (
      OSError(errno.ENOSPC, "No space left on device", "runs/x"),
      "cannot read or write runs/x: No space left on device; free",
    ),
    (KeyboardInterrupt(), "stopped; the same command"),
    (MemoryError("Unable to allocate 256. GiB"), "this machine's memory does not suffice; smaller batches"),
  ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(monkeypatch, capsys, error, sentence):
  with pytest.raises(SystemExit) as exit_:
    run(monkeypatch, error)
  captured = capsys.readouterr()
  assert exit_.value.code == 2 and captured.err.startswith(sentence) and captured.out == ""
  assert captured.err.count("\n") == 1
  with pytest.raises(type(error)):
    run(monkeypatch, error, "--debug")


def test_a_run_of_some_stages_names_the_next():
  usual = ("teacher", "intermediate", "prediction", "evaluate")
  said = command_line.what_is_next(("teacher",), usual, Path("runs/x"))
  assert (
    said == "\nThe stage teacher is in runs/x. Next: the same command with --stages intermediate prediction evaluate"
  )
  both = command_line.what_is_next(("prediction", "labels"), usual, Path("runs/x"))
  assert both.startswith("\nThe stages prediction, labels are in") and both.endswith("--stages evaluate")


@pytest.mark.parametrize("size", [3, 10_000_000])
def test_output_that_nobody_reads_ends_the_program_without_a_word(monkeypatch, capsys, size):
  reading, writing = os.pipe()
  os.close(reading)
  with os.fdopen(writing, "w") as unread:
    monkeypatch.setattr("sys.stdout", unread)
    with pytest.raises(SystemExit) as exit_:
      command_line.run(lambda options: print("x" * options.size), Options, "test", ["--size", str(size)])
  assert exit_.value.code == 128 + signal.SIGPIPE and capsys.readouterr().err == ""


def test_another_pipe_that_broke_is_told(monkeypatch, capsys, tmp_path):
  with open(tmp_path / "out", "w") as read_later:
    monkeypatch.setattr("sys.stdout", read_later)
    with pytest.raises(SystemExit) as exit_:
      run(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe"))
  assert exit_.value.code == 2 and capsys.readouterr().err.startswith("cannot read or write: Broken pipe")


def test_a_defect_of_the_program_keeps_its_traceback(monkeypatch):
  with pytest.raises(ZeroDivisionError):
    run(monkeypatch, ZeroDivisionError())


def test_unknown_options_and_values_exit_with_2(monkeypatch, capsys):
  for arguments in (["--sise", "3"], ["--size", "three"]):
    with pytest.raises(SystemExit) as exit_:
      run(monkeypatch, None, *arguments)
    assert exit_.value.code == 2
  assert "--size" in capsys.readouterr().err


def test_help_explains_the_options(monkeypatch, capsys):
  with pytest.raises(SystemExit) as exit_:
    run(monkeypatch, None, "--help")
  text = capsys.readouterr().out
  assert exit_.value.code == 0 and "python -m experiments.test" in text and "How large, in tokens" in text


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_freed_memory_is_kept_for_the_next_allocation():
  """A process that allocates, writes and frees 64 MB again and again has its pages cleared by the kernel once."""
  program = f"""
import ctypes, resource
{"{}"}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
faults = []
for _ in range(10):
  block = libc.malloc({2**26})
  ctypes.memset(block, 1, {2**26})
  libc.free(block)
  faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[0])
"""
  kept = "from tinybert_jax.cli.command_line import keep_freed_memory; keep_freed_memory()"
  without, with_it = (
    int(subprocess.run([sys.executable, "-c", program.format(line)], capture_output=True, check=True, text=True).stdout)
    for line in ("", kept)
  )
  assert with_it < 100 < 10_000 < without


@pytest.mark.parametrize(
  ("module", "program", "expected"),
  [
    ("tinybert_jax.cli.main", "/x/tinybert_jax/cli/main.py", "python -m tinybert_jax.cli.main glue --out 'a b'"),
    ("experiments.glue", "/x/experiments/glue.py", "python -m experiments.glue glue --out 'a b'"),
    (None, "/x/bin/tinybert-jax", "tinybert-jax glue --out 'a b'"),
    (None, "experiments/glue.py", "python -m experiments.glue glue --out 'a b'"),
  ],
)
def test_the_command_can_be_given_again(monkeypatch, module, program, expected):
  main = types.ModuleType("__main__")
  main.__spec__ = module and importlib.machinery.ModuleSpec(module, None)
  monkeypatch.setitem(sys.modules, "__main__", main)
  monkeypatch.setattr(sys, "argv", [program, "glue", "--out", "a b"])
  assert command_line.command() == expected


@dataclasses.dataclass(frozen=True)
class ShownOptions:
  """What it does."""

  words: int | None = None
  """How many words it takes, where the
  text of this option goes on in a second line."""
  names: tuple[str, ...] = ()
  """Names."""
  kind: Literal["big", "small"] | None = None
  """Kind."""
  debug: bool = False
  """Show the traceback of an error."""


def test_help_shows_kinds_of_values_and_no_default_that_tells_nothing(capsys):
  with pytest.raises(SystemExit):
    command_line.run(lambda options: None, ShownOptions, "test", ["--help"])
  help_text = capsys.readouterr().out
  assert "None" not in help_text and "(default" not in help_text
  assert "--words INT" in help_text and "--kind {big,small}" in help_text
  lines = [line.strip("│ ") for line in help_text.splitlines()]
  assert "where the text of this option" in " ".join(lines)
  assert not any(line in ("where the", "the") for line in lines)


@pytest.mark.parametrize(
  ("module", "words", "option"),
  [
    (mlm, ["--text="], "--text"),
    (mlm, ["--text", "a.txt", ""], "--text"),
    (mlm, ["--text", "a.txt", "--out", " "], "--out"),
    (distil, ["--out="], "--out"),
  ],
)
def test_an_empty_path_is_not_the_current_folder(capsys, module, words, option):
  with pytest.raises(SystemExit) as ended:
    command_line.run(module.main, module.Options, "program", words)
  assert ended.value.code == 2
  assert capsys.readouterr().err == f"{option} is empty; give a name, or . for the current folder\n"

"""Programs in processes of their own that begin with the library loaded: forks of one that has loaded it."""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
  [
    *("tinybert_jax.cli.distil", "tinybert_jax.cli.general", "tinybert_jax.cli.glue"),
    # What those load when they first need it.
    *("transformers.models.auto.tokenization_auto", "sklearn.metrics", "scipy.stats", "tensorboardX"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg"),
  ]
)


class Started:
  """A program that runs, with the attributes and methods of `subprocess.Popen` that tests need."""

  def __init__(self, program, *arguments, cwd=None, devices=None):
    """Args:
    program: path of a file, name of a module, or statements.
    *arguments: of the command.
    cwd: the directory that it runs in.
    devices: CPU devices that it has; by default those of the tests.
    """
    files = [tempfile.NamedTemporaryFile("w+", encoding="utf-8") for _ in range(2)]  # noqa: SIM115
    self._out, self._error = files
    flags = os.environ["XLA_FLAGS"]
    if devices:
      flags = flags.replace("device_count=8", f"device_count={devices}")
    words = [str(word) for word in arguments]
    self._process = _context.Process(
      target=_run, args=(str(program), words, str(cwd or os.getcwd()), flags, [file.name for file in files])
    )
    self._process.start()

  @property
  def returncode(self):
    return self._process.exitcode

  def poll(self):
    return self._process.exitcode

  def wait(self, timeout=300):
    """Returns the exit code, negative for a signal."""
    self._process.join(timeout)
    assert self._process.exitcode is not None, "the process does not end"
    return self._process.exitcode

  def communicate(self, timeout=300):
    """Returns what the program wrote to stdout and stderr, when it has ended."""
    try:
      self.wait(timeout)
    finally:
      texts = [Path(file.name).read_text(encoding="utf-8") for file in (self._out, self._error)]
    return tuple(texts)

  def send_signal(self, number):
    os.kill(self._process.pid, number)

  def kill(self):
    self._process.kill()


def _run(program, arguments, cwd, flags, files):
  """Runs a program as `python program arguments` does, its output going to files."""
  for number, file in enumerate(files, start=1):
    os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
  sys.stdin = open(os.devnull)  # noqa: SIM115
  os.chdir(cwd)
  os.environ["XLA_FLAGS"] = flags  # which XLA reads when it is first used
  sys.argv = [program, *arguments]
  try:
    if program.endswith(".py"):
      runpy.run_path(program, run_name="__main__")
    elif " " in program:
      sys.argv[0] = "-c"
      exec(program, {"__name__": "__main__"})
    else:
      runpy.run_module(program, run_name="__main__", alter_sys=True)
  finally:
    with contextlib.suppress(Exception):
      atexit._run_exitfuncs()  # which such a process would leave out

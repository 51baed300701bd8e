"""What every experiment's command line does: options from a dataclass, and errors as one sentence."""

import dataclasses
import errno
import logging
import os
import sys
from collections.abc import Callable
from typing import TypeVar

import jax
import tyro

from tinybert_jax.errors import InputError, RunStopped

Options = TypeVar("Options")
_GOES_ON = "the same command goes on from the last checkpoint"


def run(main: Callable[[Options], None], options_class: type[Options], prog: str) -> None:
  """Parses the options and runs `main` on them; bad input ends in one sentence on stderr and exit code 2.

  Args:
    main: the experiment.
    options_class: a dataclass whose docstrings are the help, with a field `debug` that shows tracebacks.
    prog: how the command is called, for the help.
  """
  options = tyro.cli(options_class, prog=prog)
  if not options.debug:
    # Orbax logs the tracebacks of errors that it raises too, and the hub's client each of its attempts.
    for name in ("absl", "huggingface_hub"):
      logging.getLogger(name).setLevel(logging.CRITICAL)
  try:
    main(options)
  except (InputError, RunStopped, OSError, KeyboardInterrupt) as error:
    if options.debug:
      raise
    print(f"{_sentence(error)}", file=sys.stderr)
    sys.exit(2)
  except jax.errors.JaxRuntimeError as error:
    if options.debug or jax.process_count() == 1:
      raise
    reason = str(error).splitlines()[0]
    print(f"stopped, likely because another process of this run has ended ({reason}); {_GOES_ON}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(2)  # an ordinary exit would wait for that process


def _sentence(error: BaseException) -> str:
  if isinstance(error, KeyboardInterrupt):
    return f"stopped; {_GOES_ON}"
  if isinstance(error, OSError):
    where = f" {error.filename}" if error.filename else ""
    full = "; free some space and run the same command again" if error.errno == errno.ENOSPC else ""
    return f"cannot read or write{where}: {os.strerror(error.errno) if error.errno else error}{full}"
  return str(error)


def as_json(options: object) -> dict:
  """Returns a dataclass of options as JSON values, without `out` and `debug`, which change no result."""
  return {
    name: value if isinstance(value, int | float | str | bool | None) else str(value)
    for name, value in dataclasses.asdict(options).items()
    if name not in ("out", "debug")
  }

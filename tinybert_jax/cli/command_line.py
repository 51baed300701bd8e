"""What every experiment's command line does: options from a dataclass, and errors as one sentence."""

import atexit
import contextlib
import ctypes
import dataclasses
import errno
import importlib
import json
import logging
import os
import select
import shlex
import signal
import sys
import threading
import time
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import tyro

from tinybert_jax.cli import help_text
from tinybert_jax.errors import InputError, RunStopped, WorkerKilled
from tinybert_jax.settings import as_flat
from tinybert_jax.without_torch import without_torch


@runtime_checkable
class AnyOptions(Protocol):
  """A dataclass of options, one of which shows tracebacks."""

  __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

  @property
  def debug(self) -> bool: ...


Options = TypeVar("Options", bound=AnyOptions)
_SAME_ERROR_SECONDS = 3  # for the other processes to say the same, where they met the same error
# By the numbers of glibc's malloc.h: nothing by mmap, no trimming, growth by 256 MB, and one arena, as others are of
# limited size.
_MALLOC = {
  "M_MMAP_MAX": (-4, 0),
  "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
  "M_TOP_PAD": (-2, 2**28),
  "M_ARENA_MAX": (-8, 1),
}
_GOES_ON = "the same command goes on from what is saved"


def run(
  main: Callable[[Options], None],
  options_class: Callable[..., Options],
  prog: str,
  arguments: Sequence[str] | None = None,
) -> None:
  """Parses the options and runs `main` on them; bad input ends in one sentence on stderr and exit code 2.

  Args:
    main: the experiment.
    options_class: a dataclass whose docstrings are the help, with a field `debug` that shows tracebacks.
    prog: how the command is called, for the help.
    arguments: of the command; by default the process's.
  """
  words = sys.argv[1:] if arguments is None else arguments
  if twice := _given_twice(words, _of_several_values(options_class)):
    print(f"{twice} is given twice, and only once would count; give all its values after one", file=sys.stderr)
    sys.exit(2)
  if empty := _given_empty(words, _of_paths(options_class)):
    print(f"{empty} is empty; give a name, or . for the current folder", file=sys.stderr)
    sys.exit(2)
  with quiet_when_unread():
    options = tyro.cli(options_class, prog=prog, args=arguments, registry=help_text.registry())
  keep_freed_memory()
  if not options.debug:
    # Orbax logs the tracebacks of errors that it raises too, and the hub's client each of its attempts.
    for name in ("absl", "huggingface_hub"):
      logging.getLogger(name).setLevel(logging.CRITICAL)
    if sys.unraisablehook is sys.__unraisablehook__:
      sys.unraisablehook = _show_unraisable
  try:
    with quiet_when_unread():
      main(options)
  except (InputError, RunStopped, WorkerKilled, OSError, MemoryError, KeyboardInterrupt, RuntimeError) as error:
    if options.debug or not (sentence := _sentence(error)):
      raise
    print(sentence, file=sys.stderr, flush=True)
    if isinstance(error, OSError):
      atexit.register(_hush)  # is called before what libraries have registered
    # All processes of a run stop together; an error may be one's own, and an ordinary exit would wait for the others.
    if _is_one_of_several() and not isinstance(error, RunStopped):
      time.sleep(_SAME_ERROR_SECONDS)
      os._exit(2)
    sys.exit(2)


def _show_unraisable(found: "sys.UnraisableHookArgs") -> None:
  """Prints an error as Python does, but for those of saves in the background that end as another has failed."""
  if not (found.exc_type is RuntimeError and str(found.exc_value) == "Event loop is closed"):
    sys.__unraisablehook__(found)


def _hush() -> None:
  """Has the process end without what threads and files of libraries would say of an error that is told already."""
  sys.unraisablehook = lambda _: None
  threading.excepthook = lambda _: None


def run_command(name: str, prog: str, arguments: Sequence[str] | None = None) -> None:
  """Runs a command of `tinybert_jax.cli`: its options are parsed before anything is loaded that takes time.

  Args:
    name: of its module; that of its options is `<name>_options`.
    prog: how it is called, for the help.
    arguments: of the command; by default the process's.
  """

  def main(options: Any) -> None:
    # From then on transformers takes PyTorch for missing, which it need not tell. A command may do that, and a library
    # in a notebook may not.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    with without_torch():
      importlib.import_module("transformers.models.auto.tokenization_auto")
    importlib.import_module(f"tinybert_jax.cli.{name}").main(options)

  run(main, importlib.import_module(f"tinybert_jax.cli.{name}_options").Options, prog, arguments)


def _is_one_of_several() -> bool:
  """Returns whether this process is one of several that JAX has joined; without loading JAX to find out."""
  return "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized()


@contextlib.contextmanager
def quiet_when_unread() -> Iterator[None]:
  """Ends the process without a word when nobody reads its output any more, as `head` does when it has enough."""
  try:
    try:
      yield
    finally:
      sys.stdout.flush()
  except BrokenPipeError:
    if not _is_unread():  # another pipe broke
      raise
    # What is left would raise once more at the exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)


def _is_unread() -> bool:
  """Returns whether the output is a pipe that nobody holds the other end of."""
  poll = select.poll()
  poll.register(sys.stdout.fileno(), select.POLLOUT)
  return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _given_twice(arguments: Sequence[str], of_several: Collection[str]) -> str | None:
  """Returns an option of several values that comes a second time, whose first values would be lost without a word.

  Of an option of one value the last one counts, as everywhere.
  """
  names = [word.split("=")[0].replace("_", "-") for word in arguments if word.startswith("--") and len(word) > 2]
  return next((name for name in names if names.count(name) > 1 and name in of_several), None)


def _given_empty(arguments: Sequence[str], of_paths: Collection[str]) -> str | None:
  """Returns an option of paths with an empty value, as a shell's variable gives that is not set; it would be "."."""
  name = ""
  for word in arguments:
    value = word
    if word.startswith("--"):
      name, is_given, value = word.partition("=")
      name, value = name.replace("_", "-"), value if is_given else word
    if not value.strip() and name in of_paths:
      return name
  return None


def _of_several_values(options_class: Any) -> set[str]:
  """Returns the options that take several values, such as --corpus, in groups of options too."""
  return {name for name, kind in _options(options_class) if typing.get_origin(kind) is tuple}


def _of_paths(options_class: Any) -> set[str]:
  """Returns the options that take paths, in groups of options too."""
  return {name for name, kind in _options(options_class) if kind is Path or Path in typing.get_args(kind)}


def _options(options_class: Any) -> Iterator[tuple[str, Any]]:
  """Yields each option with its type, and of a choice of types each, in groups of options too."""
  for name, hint in typing.get_type_hints(options_class).items():
    for kind in (hint, *typing.get_args(hint)):
      if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        yield from _options(kind)
      else:
        yield f"--{name.replace('_', '-')}", kind


def keep_freed_memory() -> None:
  """Has glibc keep what is freed for the next allocation, in place of giving it back to the kernel.

  On a CPU every step of XLA's allocates its temporaries anew. They are large enough for glibc to map and unmap them
  each time, and then the kernel has to clear their pages in every step, which can take as long as the arithmetic.
  """
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if mallopt is not None:
    for parameter, value in _MALLOC.values():
      mallopt(parameter, value)


def _sentence(error: BaseException) -> str | None:
  """Returns a one-sentence message, or None to show the traceback."""
  if isinstance(error, KeyboardInterrupt):
    return f"stopped; {_GOES_ON}"
  if isinstance(error, MemoryError):
    return f"this machine's memory does not suffice; smaller batches or shorter texts need less ({error})"
  if isinstance(error, OSError):
    where = f" {error.filename}" if error.filename else ""
    full = "; free some space and run the same command again" if error.errno == errno.ENOSPC else ""
    return f"cannot read or write{where}: {os.strerror(error.errno) if error.errno else error}{full}"
  if isinstance(error, InputError | RunStopped | WorkerKilled):
    return str(error)
  return _sentence_of_jax(error)


def _sentence_of_jax(error: BaseException) -> str | None:
  """Returns the message for an error of JAX's own; None for others, and where only a traceback tells."""
  import jax

  if not isinstance(error, jax.errors.JaxRuntimeError):
    return None
  reason = str(error).splitlines()[0]
  if "RESOURCE_EXHAUSTED" in reason:
    return f"the device's memory does not suffice; smaller batches need less ({reason})"
  if jax.process_count() == 1:
    return None
  return f"stopped, likely because another process of this run has ended ({reason}); {_GOES_ON}"


def command() -> str:
  """Returns the command that began this process, as a shell takes it."""
  program, *arguments = sys.argv
  if module := getattr(sys.modules["__main__"], "__spec__", None):  # began by -m
    return shlex.join(["python", "-m", module.name.removesuffix(".__main__"), *arguments])
  name = Path(program)
  if name.suffix == ".py" or name.parent.name == "experiments":
    return shlex.join(["python", "-m", f"{name.parent.name}.{name.stem}", *arguments])
  return shlex.join([name.name, *arguments])


def what_is_next(chosen: Sequence[str], usual: Sequence[str], folder: Path) -> str:
  """Returns what a run without evaluation has made, and the stages that come after it."""
  last = max((usual.index(stage) for stage in chosen if stage in usual), default=-1)
  stages = f"The stage{'s' * (len(chosen) > 1)} {', '.join(chosen)} {'are' if len(chosen) > 1 else 'is'} in {folder}."
  return f"\n{stages} Next: the same command with --stages {' '.join(usual[last + 1 :])}"


def as_json(options: AnyOptions, but: Collection[str] = ()) -> dict:
  """Returns a dataclass of options as JSON values, without those that change no result, and without `but`."""
  left_out = {"out", "debug", "hosts", *but}
  values: dict[str, Any] = {}
  for name in options.__dataclass_fields__:
    value = getattr(options, name)
    if name not in left_out:
      values |= as_flat(value) if dataclasses.is_dataclass(value) else {name: value}
  return json.loads(json.dumps(values, default=str))

"""Shell commands checked against the programs that they call, without running them."""

import configparser
import contextlib
import functools
import importlib
import io
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tyro
from markdown_pages import ROOT

from experiments import demo_data
from tinybert_jax.cli.main import COMMANDS

_HARMLESS = {"source", "head", "cd", "tensorboard", "npm"}
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")


def check_block(text: str) -> None:
  """Raises ValueError for the first command of a block that its program would refuse."""
  for line in text.replace("\\\n", " ").splitlines():
    for command in commands(line):
      check(command)


def commands(line: str) -> Iterator[list[str]]:
  """Yields the words of each command in a line, those of `$(…)` first; redirections are left out."""
  for inner in _SUBSTITUTION.findall(line):
    yield from commands(inner)
  lexer = shlex.shlex(_SUBSTITUTION.sub("SUBSTITUTED", line), posix=True, punctuation_chars="|&;<>")
  lexer.whitespace_split = True
  words: list[str] = []
  tokens = iter(lexer)
  for token in tokens:
    if set(token) <= set("|&;"):
      yield words
      words = []
    elif set(token) <= set("<>"):
      next(tokens)
    else:
      words.append(token)
  if words:
    yield words


def check(words: list[str]) -> None:
  """Raises ValueError for a command that its program would refuse, or for an unknown program."""
  while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
    words = words[1:]
  program, *arguments = words
  program = program.removeprefix(".venv/bin/")
  checks = {"make": _make, "python": _python, "python3": _python, "tinybert-jax": _tinybert_jax, "pip": _pip}
  if program in _HARMLESS:
    return
  if program not in checks:
    raise ValueError(f"{program}: not a program of this project")
  checks[program](arguments)


def _make(arguments: list[str]) -> None:
  targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
  for argument in arguments:
    name, is_variable, value = argument.partition("=")
    if is_variable:
      if name == "ARGS":
        _parse("experiments.quickstart", shlex.split(value))
    elif argument not in targets:
      raise ValueError(f"make {argument}: no such target; there are {', '.join(targets)}")


def _python(arguments: list[str]) -> None:
  if arguments[0] == "-c":
    compile(arguments[1], "-c", "exec")
  elif arguments[0] == "-m" and arguments[1] == "pytest":
    for path in arguments[2:]:
      _exists(path)
  elif arguments[0] == "-m" and arguments[1] == "http.server":
    pass
  elif arguments[0] == "-m":
    _parse(arguments[1], arguments[2:])
  else:
    _exists(arguments[0])


def _tinybert_jax(arguments: list[str]) -> None:
  if arguments[0] in ("--help", "--version"):
    return
  if arguments[0] not in COMMANDS:
    raise ValueError(f"tinybert-jax {arguments[0]}: no such command")
  _parse(f"tinybert_jax.cli.{arguments[0]}", arguments[1:])


def _pip(arguments: list[str]) -> None:
  settings = configparser.ConfigParser()
  settings.read(ROOT / "setup.cfg")
  for name in re.findall(r"\.\[(\w+)\]", " ".join(arguments)):
    if name not in settings["options.extras_require"]:
      raise ValueError(f"pip: no extra {name} in setup.cfg")


def _exists(path: str) -> None:
  if not (ROOT / path).exists():
    raise ValueError(f"{path}: no such file")


def _parse(module: str, arguments: list[str]) -> None:
  """Parses the arguments as the module's command line does."""
  message = _refusal(module, tuple(argument for argument in arguments if argument not in ("-h", "--help")))
  if message and len(arguments) != sum(argument in ("-h", "--help") for argument in arguments):
    raise ValueError(f"{module} {shlex.join(arguments)}: {message}")


@functools.cache
def _refusal(module: str, arguments: tuple[str, ...]) -> str:
  stderr = io.StringIO()
  with contextlib.redirect_stderr(stderr):
    try:
      tyro.cli(_options(module), args=list(arguments))
    except SystemExit:
      return stderr.getvalue() or "refused"
  return ""


@functools.cache
def _options(module: str) -> type | Callable[..., Any]:
  """Returns what the module's command line parses; a function has its signature here, and does nothing."""
  if not (ROOT / Path(*module.split("."))).with_suffix(".py").is_file() and module != "experiments.benchmark":
    raise ValueError(f"{module}: no such module")
  if module == "experiments.demo_data":

    @functools.wraps(demo_data.main)
    def nothing(*_: Any, **__: Any) -> None:
      pass

    return nothing
  if module == "experiments.benchmark":
    module = "experiments.benchmark.options"
  command = module.rpartition(".")[2]
  if (ROOT / "tinybert_jax" / "cli" / f"{command}_options.py").is_file():
    module = f"tinybert_jax.cli.{command}_options"
  return importlib.import_module(module).Options

"""Imports point down: from the command line to the models, and never up."""

import ast
from pathlib import Path

import tinybert_jax

PACKAGE = Path(tinybert_jax.__file__).parent
BELOW = {
  "models": (),
  "export": ("models",),
  "data": ("models",),
  "distillation": ("models",),
  "training": ("distillation", "data"),
  "corpus": ("training",),
  "augmentation": ("training",),
  "tasks": ("training",),
  "pipeline": ("tasks", "augmentation", "corpus", "export"),
  "cli": ("pipeline",),
}


def all_below(room):
  return {room}.union(*map(all_below, BELOW[room]))


def imported(path):
  for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
    if isinstance(node, ast.ImportFrom):
      yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)


def test_imports_point_down():
  rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
  assert rooms == set(BELOW)
  wrong = []
  for path in sorted(PACKAGE.rglob("*.py")):
    room = path.relative_to(PACKAGE).parts[0]
    for name in imported(path):
      package, _, rest = name.partition(".")
      to = rest.split(".")[0]
      if package == "tinybert_jax" and to in BELOW and room in BELOW and to not in all_below(room):
        wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
      if room != "cli" and package == "tyro":
        wrong.append(f"{path.relative_to(PACKAGE)} parses arguments")
  assert not wrong

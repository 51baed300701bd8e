"""Each example runs from beginning to end, on a tiny model."""

import re
import runpy
import sys

import pytest
from markdown_pages import ROOT

EXAMPLES = {
  "own_csv": ("my-encoder", r"100 rows with labels"),
  "own_loss": ("my-encoder", r"cosine distance .* -> "),
  "own_task": ("my-encoder", r"student: .* within one star"),
  "own_model": (None, r"agrees with the teacher on"),
  "embeddings": ("my-sentence-encoder", r"similarities by the student"),
  "deploy": ("runs/quickstart/student", r"ms for 3 texts"),
}


def test_every_example_is_here():
  assert {path.stem for path in (ROOT / "examples").glob("*.py")} == EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, workplace, monkeypatch, capsys):
  model, printed = EXAMPLES[name]
  path = ROOT / "examples" / f"{name}.py"
  text = path.read_text(encoding="utf-8")
  assert "\nTime: " in text and len(text.splitlines()) <= 70
  monkeypatch.setattr(sys, "argv", [str(path), *([model] if model else [])])
  runpy.run_path(str(path), run_name="__main__")
  assert re.search(printed, capsys.readouterr().out)

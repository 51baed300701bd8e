"""The folder of a page: what lies in it, what the page is told, and what a page is not made of."""

import dataclasses
import errno
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from small_distil import greetings, refused, texts, write, write_teacher
from small_glue import TEACHER
from small_tokenizer import word_tokenizer

from tinybert_jax.cli import export
from tinybert_jax.export.quantization import Quantization
from tinybert_jax.models.encoder import SequenceClassifier, TokenClassifier
from tinybert_jax.models.parameters import parameter_shapes
from tinybert_jax.models.pretrained import load_pretrained, save_pretrained
from tinybert_jax.pipeline import quantization, web_page
from tinybert_jax.pipeline.quantization import Variant

MODEL = [
  "config.json",
  "onnx/model_quantized.onnx",
  "onnx/quantization.json",
  "tokenizer.json",
  "tokenizer_config.json",
]
PAGE = ["index.html", "package.json", "page.css", "page.js", "settings.json", "worker.js"]


@pytest.fixture(autouse=True)
def one_variant(monkeypatch):
  monkeypatch.setattr(quantization, "variants", lambda layers, inputs: [Variant("the only one", Quantization())])


def files(folder):
  return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  return write_teacher(tmp_path_factory.mktemp("models") / "teacher")


def test_a_folder_has_the_page_and_the_model_and_nothing_of_other_machines(model, tmp_path, capsys):
  pairs = [(text, other) for text, other in zip(texts(20), texts(20, 1), strict=True)]
  dev, out = write(tmp_path / "dev.csv", pairs, ("text", "pair")), tmp_path / "site"
  asked = export.Options(model, web=True, out=out, calibrate=(dev,), max_loss=100)
  export.main(asked)
  assert files(out) == sorted([*PAGE, *(f"model/{name}" for name in MODEL)])
  said = capsys.readouterr().out
  assert f"cd {out}; npm install; python -m http.server --bind 127.0.0.1;" in said and f"{out}  0." in said
  settings = json.loads((out / "settings.json").read_text())
  size = (out / "model" / "onnx" / "model_quantized.onnx").stat().st_size
  assert (settings["kind"], settings["labels"], settings["pair"]) == ("classification", ["greets", "not"], True)
  assert (settings["max_length"], settings["layers"], settings["bytes"]) == (128, 2, size)

  package = json.loads((out / "package.json").read_text())
  pinned = {**package["dependencies"], **package["overrides"]}
  assert all(re.fullmatch(r"(npm:[\w-]+@)?\d+\.\d+\.\d+", version) for version in pinned.values())
  page = (out / "index.html").read_text()
  named = re.findall(r'(?:src|href)="([^"]+)"', page)
  assert {name for name in named if name != "data:,"} <= set(files(out))
  for name in PAGE:
    found = re.findall(r"https?://[^\s“”\"'`]+", (out / name).read_text())
    assert all(address.startswith("http://127.0.0.1") for address in found), name
  assert "env.allowRemoteModels = false" in (out / "worker.js").read_text()
  # Each field has a label; what the script looks for is there.
  fields = re.findall(r'<textarea id="(\w+)"', page)
  assert fields == re.findall(r'<label for="(\w+)"', page) == ["text", "pair"]
  wanted = re.findall(r'find\("([\w-]+)"\)', (out / "page.js").read_text())
  assert set(wanted) <= set(re.findall(r'id="([\w-]+)"', page)) and 'aria-live="polite"' in page

  (out / "node_modules").mkdir()  # a page that is written again keeps what npm installed
  (out / "node_modules" / "some.js").write_text("")
  (out / "model" / "vocab.txt").write_text("of another tokenizer")
  (out / "index.html").write_text("")
  export.main(asked)
  assert (out / "node_modules" / "some.js").is_file() and not (out / "model" / "vocab.txt").exists()
  assert (out / "index.html").read_text() == page


def test_what_a_page_cannot_be_made_of_is_one_sentence_and_leaves_nothing(model, tmp_path, capsys, monkeypatch):
  dev, out = write(tmp_path / "dev.csv", greetings(12)), tmp_path / "site"

  def said(*arguments, of=model):
    return refused(capsys, "--model", of, "--web", *arguments, program=export)

  whole = ("--out", out, "--calibrate", dev, "--max-loss", "100")
  assert "give --out a new one" in said("--calibrate", dev)
  assert "export again for --fp16" in said(*whole, "--fp16")
  assert "--web is kept only where it loses little: give --calibrate" in said("--out", out)
  mine = tmp_path / "mine"
  mine.mkdir()
  (mine / "package.json").write_text('{"name": "mine"}')
  assert "has other files in it" in said("--out", mine, "--calibrate", dev) and files(mine) == ["package.json"]
  assert "has other files in it" in said("--out", model, "--calibrate", dev)
  file = write(tmp_path / "file", [])
  assert "a file stands there" in said("--out", file, "--calibrate", dev)

  config = dataclasses.replace(TEACHER, labels=("O", "B-it"))
  shapes = parameter_shapes(TokenClassifier(config))
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
  save_pretrained(tmp_path / "tagger", config, params, tokenizer=word_tokenizer())
  assert "shows what a classifier of texts says, and this is a TokenClassifier" in said(*whole, of=tmp_path / "tagger")
  save_pretrained(tmp_path / "wordless", *load_pretrained(model, SequenceClassifier)[:2])
  assert "wordless: " in (text := said(*whole, of=tmp_path / "wordless")) and "tokenizer" in text

  def full(path, content):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))

  with monkeypatch.context() as patch:
    patch.setattr(Path, "write_bytes", full)
    assert "No space left on device" in said(*whole)
  assert not out.exists()


def test_every_file_of_the_page_is_written():
  folder = Path(web_page.__file__).parent
  assert sorted(path.name for path in folder.iterdir() if path.suffix not in (".py", "")) == sorted(
    set(PAGE) - {"settings.json"}
  )

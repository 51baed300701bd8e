"""Exports of whole directories: what lies where, what opens it, and that nothing is written where one fails."""

import errno
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import transformers
from small_distil import greetings, refused, texts, write, write_teacher

from tinybert_jax.cli import export
from tinybert_jax.errors import InputError
from tinybert_jax.export.installed import check_installed
from tinybert_jax.export.session import Session
from tinybert_jax.export.stablehlo import outputs
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.pretrained import load_pretrained
from tinybert_jax.pipeline import quantization
from tinybert_jax.pipeline.export import export_model
from tinybert_jax.pipeline.quantization import Tried, smallest


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  return write_teacher(tmp_path_factory.mktemp("models") / "teacher")


def files(folder):
  return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_everything_is_written_and_answers_alike(model, tmp_path, capsys):
  dev, out = write(tmp_path / "dev.csv", greetings(30)), tmp_path / "out"
  (out / "onnx").mkdir(parents=True)
  (out / "onnx" / "notes.txt").write_text("mine")
  export.main(export.Options(model, int8=True, fp16=True, stablehlo=True, out=out, calibrate=(dev,), max_loss=100))
  said = capsys.readouterr().out
  names = ["onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx", "onnx/quantization.json"]
  names += ["stablehlo/model.stablehlo"]
  assert set(names) | {"onnx/notes.txt", "config.json", "tokenizer.json"} <= set(files(out))
  assert all(f"{out / name}  " in said for name in names) and "model.safetensors" not in files(out)
  assert said.count("a scale for each") == 6 and "score " in said  # five variants, and the one that is kept
  kept = json.loads((out / "onnx" / "quantization.json").read_text())
  assert kept["rows"] == 30 and len(kept["tried"]) == 5 and kept["kept"] in {one["name"] for one in kept["tried"]}

  tokenizer = transformers.AutoTokenizer.from_pretrained(out)
  batch = {name: np.asarray(value, np.int32) for name, value in tokenizer(texts(5), padding=True).items()}
  config, params, _ = load_pretrained(model, SequenceClassifier)
  expected = np.asarray(
    jax.jit(lambda params, batch: outputs(SequenceClassifier(config), params, batch))(params, batch)
  )
  for name, most in (("model", 1e-5), ("model_fp16", 1e-2), ("model_quantized", 0.2)):
    found = Session((out / "onnx" / f"{name}.onnx").read_bytes())(batch)[0]
    assert np.abs(found - expected).max() <= most * np.abs(expected).max(), name
  exported = jax.export.deserialize(bytearray((out / names[-1]).read_bytes()))
  assert exported.platforms == ("cpu", "cuda", "tpu")
  np.testing.assert_allclose(exported.call(batch), expected, atol=1e-5)
  with pytest.raises(ValueError):  # more tokens than there are positions
    exported.call({name: np.zeros((1, config.longest + 1), np.int32) for name in batch})

  export_model(model, out)  # what an export before it left is of other weights, perhaps
  assert [name for name in files(out) if "/" in name] == ["onnx/model.onnx", "onnx/notes.txt"]


def test_a_smaller_variant_is_kept_only_if_it_loses_little():
  def tried(*cases):
    return [Tried(f"{size} bytes", size, 1 - loss / 100, None, loss) for size, loss in cases]

  cases = tried((100, 1.0), (99, 4.0), (120, 0.1), (121, 0.05), (130, 0.0), (300, -0.2))
  assert smallest(cases, 0.5).bytes == 121 and smallest(cases, 1.0).bytes == 100 and smallest(cases, 0).bytes == 130
  with pytest.raises(InputError, match=r"more than the 0.5 points of --max-loss; the least, 7 bytes, loses 0.60"):
    smallest(tried((6, 0.7), (7, 0.6)), 0.5)


def test_what_cannot_be_exported_is_one_sentence_and_leaves_nothing(model, tmp_path, capsys, monkeypatch):
  def said(*arguments):
    return refused(capsys, *arguments, program=export)

  out, dev = tmp_path / "out", write(tmp_path / "dev.csv", greetings(20))
  other = write(tmp_path / "other.csv", [(text, "shouts" if n % 2 else "sings") for n, text in enumerate(texts(20))])
  empty = tmp_path / "empty"
  empty.mkdir()
  (empty / "config.json").write_text((Path(model) / "config.json").read_text())
  family = tmp_path / "family"
  family.mkdir()
  (family / "config.json").write_text('{"model_type": "gpt2"}')
  int8 = ("--model", model, "--int8", "--out", out)
  assert "no weights there" in said("--model", empty, "--out", out)
  assert "model_type is 'gpt2'" in said("--model", family, "--out", out)
  assert "other.csv" in (text := said(*int8, "--calibrate", other)) and "shouts" in text
  assert "give --calibrate a file of texts" in said(*int8)
  assert "--calibrate measures what --int8 loses" in said("--model", model, "--calibrate", dev, "--out", out)
  monkeypatch.setattr(quantization.Calibration, "agreement", lambda self, a, b: 0.5)
  plain = tmp_path / "plain.txt"
  plain.write_text("\n".join(texts(8)))
  assert "nothing is written" in said(*int8, "--calibrate", plain)
  assert not out.exists()

  def full(path, content):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))

  with monkeypatch.context() as patch:
    patch.setattr(Path, "write_bytes", full)
    assert "No space left on device" in said("--model", model, "--out", out)
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  with pytest.raises(InputError, match=r"needs onnx and onnxruntime and flatbuffers; run: pip"):
    check_installed()
  assert not out.exists() and files(model) == sorted(files(model)) and "onnx" not in str(files(model))

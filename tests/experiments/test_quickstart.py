"""The quickstart from end to end, on a tiny encoder and texts made here."""

import dataclasses
import json

import huggingface_hub
import jax
import numpy as np
import pytest
import transformers
from small_tokenizer import word_tokenizer

from experiments import demo_data, quickstart
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import save_pretrained

TEACHER = EncoderConfig(
  vocab_size=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
  max_position_embeddings=128,
)  # fmt: skip


@pytest.fixture
def demo(tmp_path, monkeypatch):
  """A tiny encoder, and texts whose class is whether they begin with hello."""
  encoder = tmp_path / "encoder"
  save_pretrained(
    encoder, TEACHER, initialize(Encoder(TEACHER), jax.random.key(0), kernels="glorot"), tokenizer=word_tokenizer()
  )
  rng = np.random.default_rng(0)

  def texts(number):
    words = [["hello" if rng.random() < 0.5 else "world" for _ in range(rng.integers(1, 6))] for _ in range(number)]
    return demo_data.Texts([" ".join(w) for w in words], ["greets" if w[0] == "hello" else "not" for w in words])

  splits = {"train": texts(90), "test": texts(40)}
  monkeypatch.setattr(demo_data, "encoder_directory", lambda: encoder)
  monkeypatch.setattr(demo_data, "reuters_r8", splits.__getitem__)
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight
  return quickstart.Options(
    out=tmp_path / "out",
    dtype="float32",
    student_layers=1,
    student_width=12,
    labelled_share=0.5,
    teacher_batch_size=8,
    student_batch_size=8,
    teacher_epochs=8,
    prediction_epochs=3,
    teacher_learning_rate=1e-2,
    student_learning_rate=1e-2,
  )


def test_everything_is_written_and_a_second_run_shows_it_again(demo, capsys, monkeypatch):
  quickstart.main(demo)
  out = demo.out
  metrics = json.loads((out / "metrics.json").read_text())
  for side in ("teacher", "student"):
    assert {"accuracy", "parameters", "latency_ms", "throughput"} <= metrics[side].keys()
    files = {path.name for path in (out / side).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files
  assert metrics["retention"] == metrics["student"]["accuracy"] / metrics["teacher"]["accuracy"]
  assert metrics["times_smaller"] == metrics["teacher"]["parameters"] / metrics["student"]["parameters"]
  assert metrics["teacher"]["accuracy"] > 0.9 and 0 < metrics["labels alone"]["accuracy"] <= 1
  assert {stage["name"] for stage in metrics["stages"]} == set(quickstart.STAGES)
  assert (out / "report.html").stat().st_size > 50_000
  sides = metrics["deployed"]["sides"]
  assert list(sides) == ["teacher", "student", "int8"] and sides["int8"]["agreement"] > 0.8
  assert "As deployed" in (out / "report.html").read_text() and len((out / "dev.jsonl").read_text().splitlines()) >= 8

  card = huggingface_hub.ModelCard.load(out / "student" / "README.md").data
  assert (card.base_model, card.license) == (demo_data.ENCODER, "apache-2.0")
  assert card.eval_results[0].metric_value == pytest.approx(metrics["student"]["accuracy"])
  assert (out / "figures" / "attention.png").is_file()

  classify = transformers.pipeline("text-classification", model=str(out / "student"))
  test = demo_data.reuters_r8("test")
  theirs = np.mean([classify(text)[0]["label"] == label for text, label in zip(*test, strict=True)])
  assert theirs == pytest.approx(metrics["student"]["accuracy"])

  before = (out / "metrics.json").stat().st_mtime_ns
  capsys.readouterr()
  quickstart.main(demo)
  assert capsys.readouterr().out.count("reused from") == 8
  assert (out / "metrics.json").stat().st_mtime_ns == before
  # Other data by the same options is no reason to show the old result.
  texts = demo_data.reuters_r8("test")
  splits = {"train": demo_data.reuters_r8("train"), "test": demo_data.Texts(texts.texts[:30], texts.labels[:30])}
  monkeypatch.setattr(demo_data, "reuters_r8", splits.__getitem__)
  quickstart.main(demo)
  assert json.loads((out / "metrics.json").read_text())["data"]["test"] == 30


def test_layers_that_do_not_divide_are_refused_before_anything_is_trained(demo):
  with pytest.raises(InputError, match=r"--student-layers 3: .*at least 3 layers"):
    quickstart.main(dataclasses.replace(demo, student_layers=3))
  assert not (demo.out / "teacher").exists()


def test_a_width_that_the_heads_do_not_divide_is_refused(demo):
  with pytest.raises(InputError, match="hidden_size 13 is not a multiple of num_attention_heads 2"):
    quickstart.main(dataclasses.replace(demo, student_width=13))

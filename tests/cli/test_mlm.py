"""`experiments.mlm` on a small text."""

import dataclasses
import json
import shutil

import huggingface_hub
import jax
import numpy as np
import pytest
import transformers
from small_mlm import CONFIG, make_tokenizer, write_text

from tinybert_jax.cli import mlm
from tinybert_jax.cli.mlm import Options
from tinybert_jax.errors import InputError, RunStopped
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, initialize
from tinybert_jax.models.pretrained import load_pretrained, save_pretrained
from tinybert_jax.pipeline.mlm import read_rows
from tinybert_jax.training.run_log import RunLog


@pytest.fixture
def options(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)
  rng = np.random.default_rng(0)
  text = tmp_path / "text.txt"
  text.write_text(
    "\ufeff" + "\n\n".join(write_text(rng, int(rng.integers(4, 40))) for _ in range(80)), encoding="utf-8"
  )
  directory = tmp_path / "encoder"
  params = initialize(Encoder(CONFIG), jax.random.key(0), kernels="glorot")
  save_pretrained(directory, CONFIG, params, tokenizer=make_tokenizer())
  return Options(
    text=(text,), pretrained=str(directory), out=tmp_path / "out", max_length=32, epochs=4, batch_size=8,
    learning_rate=1e-2, dtype="float32",
  )  # fmt: skip


def test_a_head_is_trained_and_other_tools_open_it(options, capsys):
  mlm.main(options)
  out = capsys.readouterr().out
  assert "a new head" in out and "of the masked tokens guessed" in out
  metrics = json.loads((options.out / "metrics.json").read_text())
  history = [json.loads(line) for line in (options.out / "model" / "training" / "log.jsonl").read_text().splitlines()]
  held_out = [row["held_out_loss"] for row in history if "held_out_loss" in row]
  assert metrics["held_out_loss"] == min(held_out) < held_out[0]
  assert (options.out / "loss.png").stat().st_size > 5000
  before = load_pretrained(options.pretrained, Encoder).params
  after = load_pretrained(options.out / "model", MaskedLanguageModel)
  assert not [path for path in after.initialized if not path.startswith("encoder/pooler")]
  del before["pooler"], after.params["encoder"]["pooler"]
  jax.tree.map(np.testing.assert_array_equal, before, after.params["encoder"])
  guess = transformers.pipeline("fill-mask", model=str(options.out / "model"))("the [MASK] fox")
  assert len(guess) == 5
  card = huggingface_hub.ModelCard.load(options.out / "model" / "README.md")
  assert card.data.base_model == "encoder" and card.data.pipeline_tag == "fill-mask"
  assert {one.metric_type: one.metric_value for one in card.data.eval_results}["loss"] == metrics["held_out_loss"]
  assert "| mlm | 4 | " in card.text and str(options.out.parent) not in card.text


def test_with_the_body_and_whole_words_and_a_head_that_is_trained_further(options, capsys):
  mlm.main(dataclasses.replace(options, body=True, whole_words=True, epochs=1))
  model = load_pretrained(options.out / "model", MaskedLanguageModel)
  start = load_pretrained(options.pretrained, Encoder).params
  table = ("embeddings", "word_embeddings", "embedding")
  ours, theirs = model.params["encoder"], start
  for name in table:
    ours, theirs = ours[name], theirs[name]
  assert (ours != theirs).any()
  further = dataclasses.replace(options, pretrained=str(options.out / "model"), out=options.out / "two", epochs=1)
  capsys.readouterr()
  mlm.main(further)
  assert "its head" in capsys.readouterr().out


def test_a_stopped_run_ends_as_if_it_had_not_been(options, monkeypatch, capsys):
  mlm.main(options)
  stopped = dataclasses.replace(options, out=options.out / "stopped")
  add, steps = RunLog.add, []

  def stop(self, metrics):
    steps.append(1)
    if len(steps) == 12:
      raise KeyboardInterrupt
    add(self, metrics)

  monkeypatch.setattr(RunLog, "add", stop)
  with pytest.raises((KeyboardInterrupt, RunStopped)):
    mlm.main(stopped)
  monkeypatch.setattr(RunLog, "add", add)
  shutil.copytree(stopped.out, options.out.parent / "changed")
  mlm.main(stopped)
  ours, theirs = (load_pretrained(o.out / "model", MaskedLanguageModel).params for o in (options, stopped))
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
  text = options.text[0].read_text(encoding="utf-8")
  options.text[0].write_text(text.replace("fox", "dog"), encoding="utf-8")
  capsys.readouterr()
  mlm.main(dataclasses.replace(stopped, out=options.out.parent / "changed", epochs=1))
  said = capsys.readouterr().out
  assert "an unfinished run is kept in" in said and "training rows changed" in said
  assert (options.out.parent / "changed" / "model.unfinished-1").is_dir()


@pytest.mark.parametrize(
  ("changes", "problem"),
  [
    ({"text": ()}, "--text: no file is given"),
    ({"seed": -1}, "--seed -1: it must be at least 0"),
    ({"masked": 0.0}, "--masked 0.0: it must be above 0 and below 1"),
    ({"learning_rate": 2.0}, "--learning-rate 2.0"),
    ({"epochs": 0}, "--epochs 0: it must be at least 1"),
    ({"max_length": 65}, "--max-length 65: the model has positions for 64 tokens"),
    ({"max_length": 7}, "--max-length 7: it must be at least 8"),
    ({"max_train_examples": 5}, "5 rows of text; at least 10 are needed"),
    ({"pretrained": "nobody/has-this"}, "nobody/has-this: not a local directory"),
  ],
)
def test_bad_options(options, changes, problem):
  with pytest.raises(InputError, match=problem):
    mlm.main(dataclasses.replace(options, **changes))
  assert not options.out.exists()


def test_bad_texts(options, tmp_path):
  for name, content, problem in (
    ("empty.txt", b"\n \n", "empty.txt: no text there"),
    ("latin.txt", "fox dog\ncaf\xe9".encode("latin-1"), "latin.txt: no text there"),
    ("missing.txt", None, "missing.txt: no such file"),
  ):
    if content is not None:
      (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem):
      mlm.main(dataclasses.replace(options, text=(tmp_path / name,)))


def test_a_line_of_any_length_is_cut_and_what_is_left_out_is_counted(options, tmp_path, capsys):
  (tmp_path / "long.txt").write_text("fox dog " * 5000 + "\n" + "fox dog " * 16 + "\n" + "fox\n" + "fox dog " * 3)
  rows, short = read_rows((tmp_path / "long.txt",), make_tokenizer(), 32)
  assert sum(len(ids) - 2 for ids in rows["input_ids"]) == 10_000 + 36
  assert (max(map(len, rows["input_ids"])), short) == (32, 2)  # an end of two tokens, and a line of one
  mlm.main(dataclasses.replace(options, text=(tmp_path / "long.txt",), epochs=1))
  assert "2 lines or ends of lines of fewer than 6 tokens are left out" in capsys.readouterr().out


def test_a_tokenizer_of_more_tokens_than_the_model_has(options, tmp_path):
  config = dataclasses.replace(CONFIG, vocab_size=20)
  params = initialize(Encoder(config), jax.random.key(0))
  save_pretrained(tmp_path / "few", config, params, tokenizer=make_tokenizer())
  with pytest.raises(InputError, match=r"its tokenizer has \d+ tokens, and the model only 20"):
    mlm.main(dataclasses.replace(options, pretrained=str(tmp_path / "few")))

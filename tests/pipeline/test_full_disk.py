"""A full disk at each place where a run keeps what it made: what stood there stays, and the same call goes on."""

import errno
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from small_tokenizer import word_tokenizer

from tinybert_jax.models import heads
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.plan import planned
from tinybert_jax.pipeline.stages import Made

CONFIG = EncoderConfig(vocab_size=7, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4)
TOKENS = word_tokenizer()


def is_full(monkeypatch, where, name, when=lambda *args: True):
  before = getattr(where, name)

  def write_nothing(*args, **options):
    if when(*args):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return before(*args, **options)

  monkeypatch.setattr(where, name, write_nothing)


def named(start):
  return lambda path, *_: path.name.startswith(start)


@pytest.mark.parametrize(
  "place",
  [
    (Path, "write_text", named("inputs")),
    (heads, "save_pretrained"),
    (shutil, "copytree"),
    (Path, "write_text", named("stage.json")),
  ],
)
def test_a_stage_is_there_as_before_or_whole(tmp_path, monkeypatch, place):
  folder = tmp_path / "RTE" / "teacher"

  def run(seed):
    inputs = {"task": "RTE", "stage": "teacher", "seed": seed}
    made = Made(CONFIG, initialize(SequenceClassifier(CONFIG), jax.random.key(seed)), {})
    return stages.run(folder, inputs, lambda work: made, TOKENS, "")

  def content():
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

  run(0)
  before = content()
  with monkeypatch.context() as patch:
    is_full(patch, *place)
    with pytest.raises(OSError, match="No space left"):
      run(1)
  assert content() == before
  assert run(1).record["inputs"]["seed"] == 1
  assert {path.name for path in folder.parent.iterdir()} == {"teacher"}


def test_cached_targets_are_there_or_not(tmp_path, monkeypatch):
  path = tmp_path / "targets.npz"
  with monkeypatch.context() as patch:
    is_full(patch, np, "savez")
    with pytest.raises(OSError, match="No space left"):
      stages.stored_logits(path, "a", lambda: np.ones((2, 2)))
  assert not path.exists() and stages.stored_logits(path, "a", lambda: np.zeros((2, 2))).sum() == 0


def test_the_plan_is_the_one_before(tmp_path, monkeypatch):
  first = planned(tmp_path, ["a"], lambda: {"width": 1})
  with monkeypatch.context() as patch:
    is_full(patch, Path, "write_text")
    with pytest.raises(OSError, match="No space left"):
      planned(tmp_path, ["b"], lambda: {"width": 2})
  assert planned(tmp_path, ["a"], lambda: {"width": 3}) == first

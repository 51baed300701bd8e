"""Damaged and strange model directories: one sentence each, or a model of finite numbers."""

import contextlib
import json
import shutil
import warnings

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_mlm import CONFIG, make_tokenizer

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, SequenceClassifier, initialize
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained

classes = st.sampled_from([Encoder, SequenceClassifier])
few = settings(max_examples=settings().max_examples // 3)  # each takes a third of a second
values = st.one_of(
  *(st.none(), st.booleans(), st.integers(-3, 100), st.sampled_from([2**31, 2**63, -(2**40), 1e300, 0.0, -1.5])),
  *(st.floats(), st.text(max_size=5), st.sampled_from(["bert", "12", "gelu", "relative_key", "float16"])),
  *(st.lists(st.integers(0, 3), max_size=2), st.dictionaries(st.sampled_from("01a"), st.integers(0, 2), max_size=2)),
)
JSON_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "whole"
  params = initialize(SequenceClassifier(CONFIG), jax.random.key(0))
  save_pretrained(folder, CONFIG, params, tokenizer=make_tokenizer())
  return folder


@pytest.fixture(scope="module")
def keys(whole):
  return sorted({"model_type", "architectures", "hidden_act", "pad_token_id", "problem_type", "id2label", "vocab_size"}
                | json.loads((whole / "config.json").read_text()).keys())  # fmt: skip


@contextlib.contextmanager
def changed(whole, name, content):
  """Gives a copy of the directory with another content of one file."""
  folder = whole.parent / "changed"
  shutil.rmtree(folder, ignore_errors=True)
  shutil.copytree(whole, folder)
  (folder / name).write_bytes(content)
  yield folder


def load(folder, model_class):
  """Loads a model; one that can be loaded has finite parameters of its configuration's shapes."""
  with warnings.catch_warnings(), contextlib.suppress(InputError, ValueError):
    warnings.simplefilter("ignore")
    loaded = load_pretrained(folder, model_class)
    assert isinstance(loaded.config, EncoderConfig)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loaded.params))
    encoder = loaded.params.get("encoder", loaded.params)
    table = encoder["embeddings"]["word_embeddings"]["embedding"]
    assert table.shape == (loaded.config.vocab_size, loaded.config.hidden_size)


def load_words(folder):
  with warnings.catch_warnings(), contextlib.suppress(InputError, ValueError):
    warnings.simplefilter("ignore")
    ids = load_tokenizer(folder)("the quick fox")["input_ids"]
    assert ids and min(ids) >= 0


@few
@given(data=st.data(), value=values, model_class=classes)
def test_any_value_in_the_configuration(whole, keys, data, value, model_class):
  config = json.loads((whole / "config.json").read_text())
  config[data.draw(st.sampled_from(keys))] = value
  with changed(whole, "config.json", json.dumps(config).encode()) as folder:
    load(folder, model_class)


@few
@given(place=st.floats(0, 1), byte=st.integers(1, 255), in_header=st.booleans(), model_class=classes)
def test_a_changed_byte_in_the_weights(whole, place, byte, in_header, model_class):
  content = bytearray((whole / "model.safetensors").read_bytes())
  size = 8 + int.from_bytes(content[:8], "little")
  content[int(place * ((size if in_header else len(content)) - 1))] ^= byte
  with changed(whole, "model.safetensors", bytes(content)) as folder:
    load(folder, model_class)


@few
@given(
  data=st.data(),
  place=st.floats(0, 1),
  piece=st.sampled_from([b"", b"null", b"[", b'"', b"-1", b"\xff", b"{}", b"9" * 400]),
)
def test_a_piece_of_a_file_of_settings_is_another(whole, data, place, piece):
  name = data.draw(st.sampled_from([name for name in JSON_FILES if (whole / name).is_file()]))
  content = (whole / name).read_bytes()
  start = int(place * len(content))
  length = data.draw(st.integers(0, 12))
  with changed(whole, name, content[:start] + piece + content[start + length :]) as folder:
    load_words(folder)
    if name == "config.json":
      load(folder, Encoder)


@few
@given(data=st.data(), size=st.integers(0, 400), model_class=classes)
def test_files_that_are_cut_off_or_missing(whole, data, size, model_class):
  names = sorted(path.name for path in whole.iterdir())
  name = data.draw(st.sampled_from(names))
  with changed(whole, name, (whole / name).read_bytes()[:size]) as folder:
    load(folder, model_class)
    load_words(folder)
    (folder / name).unlink()
    load_words(folder)

"""A tiny encoder and small files in GLUE's layout for `experiments.glue`."""

import dataclasses
import json

import jax
from small_tokenizer import word_tokenizer

from tinybert_jax.models.config import EncoderConfig, config_to_dict
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, initialize
from tinybert_jax.models.pretrained import save_pretrained

TEACHER = EncoderConfig(
  vocab_size=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
  max_position_embeddings=128,
)  # fmt: skip
STUDENT = dataclasses.replace(TEACHER, hidden_size=12, num_hidden_layers=1, intermediate_size=24)


def write_encoder(directory, config):
  params = initialize(Encoder(config), jax.random.key(0), kernels="glorot")
  save_pretrained(directory, config, params, tokenizer=word_tokenizer())
  return str(directory)


def write_config(path, config):
  path.write_text(json.dumps(config_to_dict(config)))
  return str(path)


def changed(options, **changes):
  return dataclasses.replace(options, **changes)


def augmenting(options, tmp_path, **changes):
  """The options with augmentation by a small masked language model and word vectors."""
  model = MaskedLanguageModel(TEACHER)
  save_pretrained(
    tmp_path / "mlm", TEACHER, initialize(model, jax.random.key(3), kernels="glorot"), tokenizer=word_tokenizer()
  )
  (tmp_path / "glove.txt").write_text("hello 1 2\nworld 2 1\ncafé 1 1\n", encoding="utf-8")
  given = {"mlm": str(tmp_path / "mlm"), "glove": tmp_path / "glove.txt"}
  return changed(options, **({"no_augment": False, "copies": 3, **given} | changes))

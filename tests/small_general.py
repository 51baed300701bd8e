"""A small teacher, the shape of a student for it, and a text, as files."""

import dataclasses
import json

import jax
import numpy as np
from small_mlm import CONFIG as TEACHER
from small_mlm import make_tokenizer, write_text

from tinybert_jax.models.config import config_to_dict
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import save_pretrained

STUDENT = dataclasses.replace(
  TEACHER, hidden_size=12, num_hidden_layers=1, intermediate_size=24, hidden_dropout_prob=0.0,
  attention_probs_dropout_prob=0.0,
)  # fmt: skip


def write_inputs(directory, documents=160):
  """Writes teacher/, student.json and text.txt to a directory."""
  params = initialize(Encoder(TEACHER), jax.random.key(0), kernels="glorot")
  save_pretrained(directory / "teacher", TEACHER, params, tokenizer=make_tokenizer())
  (directory / "student.json").write_text(json.dumps(config_to_dict(STUDENT)))
  rng = np.random.default_rng(0)
  texts = [write_text(rng, int(rng.integers(4, 60))) for _ in range(documents)]
  (directory / "text.txt").write_text("\n\n".join(texts))

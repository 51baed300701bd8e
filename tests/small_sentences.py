"""A small sentence encoder with its tokenizer, and texts for it."""

import jax
import numpy as np
from small_tokenizer import word_tokenizer

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import initialize
from tinybert_jax.models.sentence_directories import save_sentence_encoder
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import SentenceHead

CONFIG = EncoderConfig(
  vocab_size=7,
  hidden_size=24,
  num_hidden_layers=2,
  num_attention_heads=2,
  intermediate_size=96,
  max_position_embeddings=16,
  initializer_range=0.5,
  hidden_dropout_prob=0.0,
  attention_probs_dropout_prob=0.0,
  sentence=SentenceHead(max_length=12),
)


def write_sentence_encoder(directory, config=CONFIG, seed=0):
  """Writes a sentence encoder with random weights, and returns its name."""
  save_sentence_encoder(
    directory, config, initialize(SentenceEncoder(config), jax.random.key(seed)), tokenizer=word_tokenizer()
  )
  return str(directory)


def texts(number, seed=0):
  """Returns different texts of two words, at most 128, all of one length: each length is a program to compile."""
  rng, found = np.random.default_rng(seed), {}
  while len(found) < number:
    found[" ".join(rng.choice(["hello", "world"], 7))] = None
  return list(found)

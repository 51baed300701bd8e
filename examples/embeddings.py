"""Sentence vectors in JAX: mean-pooled hidden states of an encoder, and their cosine similarities.

Run it:  python examples/embeddings.py $(python -m experiments.demo_data)
Time:    about ten seconds on two CPU cores, offline after `make demo`. Another BERT-family sentence encoder
         is given by its directory or hub id. The library does not distil such encoders by a command yet;
         examples/own_loss.py shows how to do it.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from tinybert_jax import Encoder, load_pretrained, load_tokenizer

ENCODER = sys.argv[1] if len(sys.argv) > 1 else "sentence-transformers/all-MiniLM-L6-v2"
SENTENCES = [
  "The bank raised its interest rate.",
  "Borrowing money became more expensive.",
  "She sat by the river and watched the boats.",
  "Small ships passed her on the water.",
]

tokenizer = load_tokenizer(ENCODER)
config, params, _ = load_pretrained(ENCODER)
encoder = Encoder(config)


@jax.jit
def pool(params, batch):
  """Returns a vector of length 1 for each row: the mean of its last hidden states, without padding."""
  hidden = encoder.apply({"params": params}, batch).hidden_states[-1]
  mask = batch["attention_mask"][..., None]
  mean = (hidden * mask).sum(axis=1) / jnp.maximum(mask.sum(axis=1), 1)
  return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)


def embed(texts, batch_size=32, max_length=128):
  """Returns an array of texts x width; every batch has the same shape, so JAX compiles once."""
  encode = functools.partial(
    tokenizer, padding="max_length", truncation=True, max_length=max_length, return_tensors="np"
  )
  vectors = []
  for start in range(0, len(texts), batch_size):
    part = list(texts[start : start + batch_size])
    vectors.append(pool(params, dict(encode(part + [""] * (batch_size - len(part)))))[: len(part)])
  return np.concatenate(vectors)


vectors = embed(SENTENCES, batch_size=4, max_length=min(32, config.longest))
print("similarities\n", (vectors @ vectors.T).round(2))

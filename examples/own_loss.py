"""An own loss in the library's training loop: a small encoder whose sentence vectors imitate a large one's.

Run it:  python examples/own_loss.py $(python -m experiments.demo_data)
Time:    about one minute on two CPU cores, offline after `make demo`. Without an argument it takes
         bert-base-uncased from the hub.
"""

import dataclasses
import itertools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from tinybert_jax import Encoder, Recipe, fit, initialize, load_pretrained, load_tokenizer, tokenize
from tinybert_jax.distillation.losses import weighted_sum

ENCODER = sys.argv[1] if len(sys.argv) > 1 else "bert-base-uncased"
OUT = Path("runs/own_loss")

tokenizer = load_tokenizer(ENCODER)
teacher_config, teacher_params, _ = load_pretrained(ENCODER)
heads = teacher_config.num_attention_heads
config = dataclasses.replace(teacher_config, num_hidden_layers=2, hidden_size=8 * heads, intermediate_size=32 * heads)
teacher, student = Encoder(teacher_config), Encoder(config)


def sentence_vectors(model, params, batch):
  """Returns the mean of each row's last hidden states, without padding."""
  hidden = model.apply({"params": params}, batch).hidden_states[-1]
  mask = batch["attention_mask"][..., None]
  return (hidden * mask).sum(axis=1) / jnp.maximum(mask.sum(axis=1), 1)


def imitate_vectors(student_params, teacher_params, batch, key):
  """Returns the terms of the loss by name: each is a sum over the rows and their weight. No dropout, so no key."""
  ours = sentence_vectors(student, student_params["encoder"], batch) @ student_params["to_teacher"]
  theirs = sentence_vectors(teacher, teacher_params, batch)
  cosine = (ours * theirs).sum(-1) / (jnp.linalg.norm(ours, axis=-1) * jnp.linalg.norm(theirs, axis=-1) + 1e-6)
  return {"cosine_distance": weighted_sum(1 - cosine, batch["example_weight"])}


subjects = ("The bank", "Our doctor", "A famous painter", "The old train", "My neighbour", "The young queen")
verbs = ("bought", "lost", "painted", "repaired", "forgot", "described")
objects = ("a red car", "the small garden", "an expensive house", "three books", "the broken clock", "some bread")
texts = [f"{' '.join(words)}." for words in itertools.product(subjects, verbs, objects)]
rows = tokenize(tokenizer, texts, max_length=32)

params = {
  "encoder": initialize(student, jax.random.key(0), kernels="glorot"),
  "to_teacher": 0.1 * jax.random.normal(jax.random.key(1), (config.hidden_size, teacher_config.hidden_size)),
}
recipe = Recipe(epochs=20, batch_size=24, learning_rate=2e-3)
result = fit(OUT, imitate_vectors, params, rows, recipe, teacher_params=teacher_params)
losses = [row["cosine_distance"] for row in result.history if "cosine_distance" in row]
print(f"cosine distance to the teacher's vectors: {losses[0]:.3f} -> {losses[-1]:.3f} (log and checkpoints: {OUT})")

"""A kind of task of your own: stars from 1 to 5, where the answer 4 in place of 5 is better than the answer 1.

Run it:  python examples/own_task.py $(python -m experiments.demo_data)
Time:    one to two minutes on two CPU cores, offline after `make demo`. Without an argument it takes
         bert-base-uncased from the hub.
"""

import dataclasses
import sys
from pathlib import Path

import datasets
import jax
import jax.numpy as jnp
import numpy as np

from tinybert_jax import Recipe, layer_map, load_tokenizer
from tinybert_jax.distillation.losses import weighted_sum
from tinybert_jax.pipeline import task as stages
from tinybert_jax.pipeline import teachers
from tinybert_jax.pipeline.targets import Targets
from tinybert_jax.pipeline.task_run import TaskRows, TaskRun
from tinybert_jax.tasks.classification import Classification

ENCODER = sys.argv[1] if len(sys.argv) > 1 else "bert-base-uncased"
OUT, LENGTH = Path("runs/own_task"), 24
THINGS = ("film", "hotel", "meal", "book", "garden", "concert", "coffee", "service", "room", "beach", "talk", "ride")
WORDS = ("awful dreadful horrid", "poor dull weak", "average fair usual", "good nice pleasant", "superb perfect great")


@dataclasses.dataclass(frozen=True)
class Stars(Classification):
  """Classes in an order: loss and score count how far an answer is off. All else is a classification's."""

  ranked_by: tuple[str, ...] = ("within_one",)  # the metric that chooses the best step

  def label_loss(self, logits, batch):
    below = jax.nn.softmax(logits).cumsum(-1) - (jnp.arange(logits.shape[-1]) >= batch["labels"][:, None])
    return weighted_sum(jnp.abs(below).sum(-1), batch.get("example_weight"))  # the earth mover's distance

  def score(self, logits, labels):
    off = np.abs(logits.argmax(-1) - np.asarray(labels))
    return {"within_one": float(np.mean(off <= 1)), "mean_error": float(np.mean(off))}


# Made-up reviews; labels are the stars less one.
reviews = [(f"The {thing} was {word}.", star) for thing in THINGS for star in range(5) for word in WORDS[star].split()]
data = datasets.Dataset.from_list([{"text": text, "label": star} for text, star in reviews])
texts, dev_texts = data.train_test_split(0.2, seed=0).values()
task, tokenizer = Stars("stars", ("1", "2", "3", "4", "5")), load_tokenizer(ENCODER)
train, dev = (task.tokenize(tokenizer, rows, LENGTH) for rows in (texts, dev_texts))
rows = TaskRows(texts, labelled=train, transfer=train, dev={"dev": dev})
run = TaskRun(task, rows, tokenizer, LENGTH, OUT, evaluations=2)
slow, fast = (Recipe(epochs=6, batch_size=16, learning_rate=rate) for rate in (1e-4, 1e-3))

start = teachers.with_pretrained(ENCODER, task, tokenizer, seed=0)
width = 8 * start.config.num_attention_heads
shape = dataclasses.replace(start.config, num_hidden_layers=2, hidden_size=width, intermediate_size=4 * width)
student = teachers.with_new_classifier(shape, None, task, seed=0)
layers = layer_map("uniform", 2, start.config.num_hidden_layers)

teacher = stages.make_teacher(run, start, slow, "A teacher of stars.")
between = stages.make_intermediate(run, teacher, student, layers, fast, "A student of stars, not finished yet.")
final = stages.make_prediction(run, Targets(run, [teacher]), between, (fast,), "A student of stars.")
for name, made in (("teacher", teacher), ("student", final)):
  print(f"{name}: {made.record['score']:.1%} within one star")
print(f"The student is a Hugging Face directory: {OUT / 'prediction'}")

"""A training run of seconds, in this process or as `python tests/tiny_run.py DIRECTORY`, for the loop's tests."""

import functools
import os
import sys
import time

import datasets
import jax
import numpy as np

from tinybert_jax.data.batches import BatchSource
from tinybert_jax.distillation.objectives import fine_tuning
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, parameter_shapes
from tinybert_jax.tasks.metrics import score
from tinybert_jax.training import steps
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.loop import Every, TrainResult, train
from tinybert_jax.training.optim import adamw, schedule

CONFIG = EncoderConfig(vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)


def rows(number=53, seed=0) -> datasets.Dataset:
  """Rows whose label is whether token 7 is among them."""
  rng = np.random.default_rng(seed)
  ids = [rng.integers(1, 40, rng.integers(2, 13)).tolist() for _ in range(number)]
  return datasets.Dataset.from_dict({"input_ids": ids, "labels": [int(7 in row) for row in ids]})


@functools.cache
def optimizer_and_update(learning_rate, total):
  """Those of a run of so many steps, compiled once for all tests."""
  optimizer = adamw(schedule(learning_rate, total))
  return optimizer, steps.jit_update(steps.make_update(fine_tuning(SequenceClassifier(CONFIG)), optimizer))


def first_params(model):
  """Returns parameters as `initialize` draws them, by numpy: JAX compiles a program for each shape, in each process."""
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    if path[-1].key in ("scale", "bias"):
      return np.full(leaf.shape, float(path[-1].key == "scale"), np.float32)
    return rng.normal(0, 0.02, leaf.shape).astype(np.float32)

  return jax.tree.map_with_path(draw, parameter_shapes(model))


def run(
  directory, *, epochs=8, sleep=0.0, corrupt=None, learning_rate=1e-2, evaluate=None, teacher_params=None, **options
) -> TrainResult:
  model = SequenceClassifier(CONFIG)
  source = BatchSource(rows(), batch_size=8, lengths=(8, 16), epochs=epochs, seed=1)
  optimizer, update = optimizer_and_update(learning_rate, len(source))

  def place(batch):
    time.sleep(sleep)
    return corrupt(batch) if corrupt else jax.device_put(batch)

  dev = rows(20, seed=5)
  return train(
    directory,
    update,
    steps.create_state(first_params(model), optimizer, steps.random_key(2)),
    teacher_params or {},
    source,
    evaluate=evaluate or (lambda params: score(["accuracy"], predict(model, params, dev), np.array(dev["labels"]))),
    best_metric="accuracy",
    every=Every(log=2, evaluate=5, checkpoint=7),
    config={"learning_rate": learning_rate},
    place=place,
    **options,
  )


if __name__ == "__main__":
  result = run(sys.argv[1], sleep=float(sys.argv[2]))
  flat = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(result.state.params)}
  np.savez(os.path.join(sys.argv[1], "result.npz"), **flat, score=result.metrics["accuracy"])

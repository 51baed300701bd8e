"""A service in one file: load a student once, compile a few fixed shapes, then answer any batch at once.

Run it:  python examples/deploy.py runs/quickstart/student
Time:    about ten seconds on two CPU cores, offline. It takes the directory of any classifier, such as the
         student that `make demo` leaves.
Needs:   this package alone: JAX, Flax, and the tokenizer of transformers. No PyTorch.
"""

import functools
import sys
import time

import jax
import numpy as np

from tinybert_jax import SequenceClassifier, load_pretrained, load_tokenizer

STUDENT = sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart/student"
LENGTHS, ROWS = (16, 32, 64), 8  # tokens that texts are padded to or cut at, and rows in a batch
INPUTS = ("input_ids", "attention_mask")  # one text a row, so there are no segments to tell apart
TEXTS = [
  "opec ministers agreed to cut crude oil output",
  "the company said its quarterly net profit rose to 12 mln dlrs",
  "wheat exports fell " * 100,  # longer than the last length, and cut there
]

config, params, _ = load_pretrained(STUDENT, SequenceClassifier, finished=True)
tokenizer, model, params = load_tokenizer(STUDENT), SequenceClassifier(config), jax.device_put(params)


@jax.jit
def probabilities(params, batch):
  """Returns the probability of each class, rows x classes; the last layer is computed for one token alone."""
  return jax.nn.softmax(model.apply({"params": params}, batch, first_token=True).logits)


def classify(texts):
  """Returns the class and its probability for up to ROWS texts."""
  encode = functools.partial(tokenizer, truncation=True, max_length=LENGTHS[-1])
  longest = max(len(ids) for ids in encode(texts)["input_ids"])
  length = next(length for length in LENGTHS if longest <= length)
  filled = [*texts, *[""] * (ROWS - len(texts))]  # always ROWS rows, so there is one shape for each length
  batch = encode(filled, padding="max_length", max_length=length, return_tensors="np")
  found = np.asarray(probabilities(params, {name: batch[name] for name in INPUTS}))[: len(texts)]
  return [(config.labels[row.argmax()], float(row.max())) for row in found]


for length in LENGTHS:  # compiled before the first request comes
  probabilities(params, dict.fromkeys(INPUTS, np.ones((ROWS, length), np.int64)))
start = time.perf_counter()
for text, (label, probability) in zip(TEXTS, classify(TEXTS), strict=True):
  print(f"{label:12} {probability:.2f}  {text[:60]}")
print(f"{1e3 * (time.perf_counter() - start):.1f} ms for {len(TEXTS)} texts")

"""An own model in Flax NNX around the library's encoder, distilled with the library's losses.

Run it:  python examples/own_model.py
Time:    about half a minute on two CPU cores. It is offline and needs no files: teacher and tokens are random.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from tinybert_jax import Encoder, EncoderConfig, SequenceClassifier, attention_loss, initialize, prediction_loss

CLASSES = ("no", "yes")
SMALL = {"vocab_size": 200, "num_attention_heads": 4, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
teacher_config = EncoderConfig(hidden_size=48, num_hidden_layers=4, intermediate_size=192, labels=CLASSES, **SMALL)
student_config = EncoderConfig(hidden_size=24, num_hidden_layers=2, intermediate_size=96, **SMALL)
teacher = SequenceClassifier(teacher_config)
teacher_params = initialize(teacher, jax.random.key(0), kernels="glorot")


class Student(nnx.Module):
  """The library's Linen encoder inside an NNX module, with a head of its own: the mean of all tokens."""

  def __init__(self, config, classes, example, rngs):
    self.encoder = nnx.bridge.ToNNX(Encoder(config), rngs=rngs).lazy_init(example)
    # To begin with trained weights: nnx.update(self.encoder, load_pretrained("my-encoder").params)
    nnx.update(self.encoder, initialize(Encoder(config), rngs.params(), kernels="glorot"))
    self.head = nnx.Linear(config.hidden_size, classes, rngs=rngs)

  def __call__(self, batch):
    outputs = self.encoder(batch, score_layers=(1, 2))
    mask = batch["attention_mask"][..., None]
    mean = (outputs.hidden_states[-1] * mask).sum(axis=1) / mask.sum(axis=1)
    return self.head(mean), outputs.attention_scores


@nnx.jit
def step(student, optimizer, batch):
  """Returns the loss, after an update: the attention scores of every second layer, and the logits."""
  theirs = teacher.apply({"params": teacher_params}, batch, score_layers=(2, 4))

  def loss(student):
    logits, scores = student(batch)
    pairs = zip(scores, theirs.attention_scores, strict=True)
    attention = sum(attention_loss(ours, other, batch["attention_mask"]).mean() for ours, other in pairs)
    return attention + prediction_loss(logits, theirs.logits).mean()

  value, gradient = nnx.value_and_grad(loss)(student)
  optimizer.update(student, gradient)
  return value


ids = jax.random.randint(jax.random.key(1), (16, 12), 1, SMALL["vocab_size"])
batch = {"input_ids": ids, "attention_mask": jnp.ones_like(ids)}
student = Student(student_config, len(CLASSES), batch, nnx.Rngs(2))
optimizer = nnx.Optimizer(student, optax.adam(2e-3), wrt=nnx.Param)
losses = [float(step(student, optimizer, batch)) for _ in range(100)]
agree = (student(batch)[0].argmax(-1) == teacher.apply({"params": teacher_params}, batch).logits.argmax(-1)).mean()
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; the student agrees with the teacher on {agree:.0%} of the rows")

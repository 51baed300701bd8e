"""Teachers before they are trained, and new classifiers on encoders."""

import dataclasses
from collections.abc import Sequence

import jax

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, SequenceClassifier, initialize
from tinybert_jax.models.pretrained import Pretrained, load_pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import students
from tinybert_jax.tasks.labels import match_labels, order_classes
from tinybert_jax.tasks.task import Task


def with_pretrained(name: str, task: Task, tokenizer: Tokenizer, seed: int) -> Pretrained:
  """Returns a classifier of the task on the encoder `name`, a model directory or hub id, to be fine-tuned."""
  encoder = load_pretrained(name, Encoder, seed=seed)
  students.check_vocabulary(name, encoder.config, tokenizer)
  return with_new_classifier(encoder.config, encoder.params, task, seed)


def load_finished(
  name: str, task: Task, tokenizer: Tokenizer, *, labels: Sequence[str] = (), written: Sequence[str] = ()
) -> Pretrained:
  """Returns a classifier that is fine-tuned already, its classes in the data's order.

  Args:
    name: model directory or hub id.
    task: whose classes are matched by name.
    tokenizer: the model's.
    labels: the class names in the order of its logits, where its configuration does not tell.
    written: a second spelling of the task's labels.

  Raises:
    InputError: no such model, no classifier in its weights, or classes that cannot be matched.
  """
  loaded = load_pretrained(name, SequenceClassifier, labels=labels or None)
  students.check_vocabulary(name, loaded.config, tokenizer)
  check_has_classifier(name, loaded)
  try:
    order = match_labels(loaded.config.labels, task.labels, written)
  except InputError as error:
    hint = "" if len(loaded.config.labels) != len(task.labels) else f" (--teacher-labels {' '.join(task.labels)})"
    raise InputError(f"--teacher {name}: {error}{hint}") from error
  return Pretrained(*order_classes(loaded.config, loaded.params, order, task.labels), loaded.initialized)


def check_has_classifier(name: str, loaded: Pretrained) -> None:
  """Raises InputError where a model's classifier was drawn afresh."""
  if any(path.startswith("classifier") for path in loaded.initialized):
    raise InputError(
      f"--teacher {name}: no classifier in its weights, so it is not fine-tuned; give it as --pretrained"
    )


def with_new_classifier(config: EncoderConfig, encoder_params: dict | None, task: Task, seed: int) -> Pretrained:
  """Returns a classifier of the task's labels on the encoder; without its parameters all are drawn.

  Draws are of Glorot's scale, without which narrow students learn slowly; see `encoder.initialize`.
  """
  kind = {} if task.problem_type != "multi_label_classification" else {"problem_type": task.problem_type}
  config = dataclasses.replace(config, labels=task.labels, **kind)
  params = initialize(SequenceClassifier(config), jax.random.key(seed), kernels="glorot")
  if encoder_params is not None:
    params["encoder"] = encoder_params
  return Pretrained(config, params, ())

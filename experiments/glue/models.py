"""Teacher and student before they are trained."""

import dataclasses

import jax

from experiments.glue.options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, SequenceClassifier, initialize
from tinybert_jax.models.pretrained import Pretrained, load_pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import students
from tinybert_jax.tasks.glue import Task
from tinybert_jax.tasks.labels import match_labels, order_classes


def load_teacher(options: Options, task: Task, tokenizer: Tokenizer) -> Pretrained:
  """Returns the teacher to begin with, its classes in the data's order.

  `--pretrained` gets a new classifier; `--teacher` keeps its own, whose classes are matched by name.
  """
  teacher = _load_teacher(options, task)
  students.check_vocabulary(options.teacher or options.pretrained, teacher.config, tokenizer)
  return teacher


def _load_teacher(options: Options, task: Task) -> Pretrained:
  if not options.teacher:
    encoder = load_pretrained(options.pretrained, Encoder, seed=options.seed)
    return with_new_classifier(encoder.config, encoder.params, task, options.seed)
  loaded = load_pretrained(options.teacher, SequenceClassifier, labels=options.teacher_labels or None)
  if any(path.startswith("classifier") for path in loaded.initialized):
    raise InputError(
      f"--teacher {options.teacher}: no classifier in its weights, so it is not fine-tuned; give it as --pretrained"
    )
  try:
    order = match_labels(loaded.config.labels, task.labels, task.written)
  except InputError as error:
    hint = "" if len(loaded.config.labels) != len(task.labels) else f" (--teacher-labels {' '.join(task.labels)})"
    raise InputError(f"--teacher {options.teacher}: {error}{hint}") from error
  return Pretrained(*order_classes(loaded.config, loaded.params, order, task.labels), loaded.initialized)


def load_student(options: Options, task: Task, teacher: EncoderConfig, tokenizer: Tokenizer) -> Pretrained:
  """Returns the student to begin with, see `students.load_student`, with a new classifier."""
  config, params = students.load_student(
    options.student, options.student_layers, options.student_dropout, teacher, tokenizer, options.seed
  )
  return with_new_classifier(config, params, task, options.seed)


def with_new_classifier(config: EncoderConfig, encoder_params: dict | None, task: Task, seed: int) -> Pretrained:
  """Returns a classifier of the task's labels on the encoder; without its parameters all are drawn.

  Draws are of Glorot's scale, without which narrow students learn slowly; see `model.initialize`.
  """
  config = dataclasses.replace(config, labels=task.labels)
  params = initialize(SequenceClassifier(config), jax.random.key(seed), kernels="glorot")
  if encoder_params is not None:
    params["encoder"] = encoder_params
  return Pretrained(config, params, ())

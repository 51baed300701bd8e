"""Teachers of a task: fine-tuned already, or an encoder with a new classifier that is fine-tuned in the run."""

import dataclasses
from collections.abc import Sequence

from tinybert_jax.errors import InputError, UnfinishedError
from tinybert_jax.models.config import EncoderConfig, ProblemType
from tinybert_jax.models.encoder import Encoder
from tinybert_jax.models.heads import SEQUENCES, Head, on_encoder
from tinybert_jax.models.pretrained import Pretrained, check_fits, load_pretrained
from tinybert_jax.models.sentence_directories import is_sentence_encoder
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline.distil_settings import TeacherOptions
from tinybert_jax.tasks.labels import match_labels, order_classes
from tinybert_jax.tasks.own_task import check_class_names
from tinybert_jax.tasks.task import Task


def load_given(options: TeacherOptions, head: Head = SEQUENCES) -> list[Pretrained]:
  """Returns the teachers that are fine-tuned already, of the same kind of task with that head, as they are.

  Raises:
    InputError: no such model, none that is finished, or kinds that differ.
  """
  loaded = [_finished(name, options.teacher_labels, head) for name in options.teacher]
  for name, model in zip(options.teacher, loaded, strict=True):
    if model.config.kind != loaded[0].config.kind:
      raise InputError(
        f"--teacher {name}: its task is {_words(model.config)}, and that of {options.teacher[0]} is "
        f"{_words(loaded[0].config)}; teachers of one kind can be averaged"
      )
  return loaded


def in_order(teacher: Pretrained, labels: Sequence[str], name: str) -> Pretrained:
  """Returns a finished teacher with its classes in the order of `labels`, which are the first teacher's."""
  theirs = teacher.config.labels
  if theirs == tuple(labels):
    return teacher
  if len(theirs) == len(labels) == 1:
    order = [0]
  else:
    places = {label.casefold(): number for number, label in enumerate(theirs)}
    order = [places[label.casefold()] for label in labels if label.casefold() in places]
  if len(set(order)) != len(theirs) or len(theirs) != len(labels):
    raise InputError(f"--teacher {name}: its classes are {', '.join(theirs)}, and the others have {', '.join(labels)}")
  return Pretrained(*order_classes(teacher.config, teacher.params, order, labels), teacher.initialized)


def for_task(teacher: Pretrained, task: Task) -> Pretrained:
  """Returns a finished teacher whose configuration says what kind its task is."""
  kind: ProblemType | None = "multi_label_classification" if task.kind == "multi_label" else None
  return teacher._replace(config=dataclasses.replace(teacher.config, problem_type=kind))


def with_pretrained(name: str, task: Task, tokenizer: Tokenizer, seed: int) -> Pretrained:
  """Returns a classifier of the task on the encoder `name`, a model directory or hub id, to be fine-tuned."""
  encoder = load_pretrained(name, Encoder, seed=seed)
  check_fits(name, tokenizer, encoder.config.vocab_size)
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
  loaded = _finished(name, labels, task.head)
  check_fits(name, tokenizer, loaded.config.vocab_size)
  try:
    order = match_labels(loaded.config.labels, task.labels, written)
  except InputError as error:
    hint = "" if len(loaded.config.labels) != len(task.labels) else f" (--teacher-labels {' '.join(task.labels)})"
    raise InputError(f"--teacher {name}: {error}{hint}") from error
  return Pretrained(*order_classes(loaded.config, loaded.params, order, task.labels), loaded.initialized)


def with_new_classifier(config: EncoderConfig, encoder_params: dict | None, task: Task, seed: int) -> Pretrained:
  """Returns a model with the task's head and labels on the encoder; without its parameters all are drawn."""
  kind: ProblemType | None = "multi_label_classification" if task.kind == "multi_label" else None
  config = dataclasses.replace(config, labels=task.labels or config.labels, problem_type=kind)
  return on_encoder(task.head, config, encoder_params, seed)


def _finished(name: str, labels: Sequence[str], head: Head) -> Pretrained:
  try:
    loaded = head.load(name, labels=labels or None, finished=True)
  except UnfinishedError as error:
    hint = "; or distil its embeddings by --kind embeddings" if is_sentence_encoder(name) else ""
    raise InputError(f"--teacher {error}; give it as --pretrained to fine-tune it here{hint}") from error
  check_class_names(loaded.config, f"--teacher {name}", "name all in the order of its logits by --teacher-labels")
  return loaded


def _words(config: EncoderConfig) -> str:
  return config.kind.replace("_", " ")

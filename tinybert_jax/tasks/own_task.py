"""The task on one's own data that a kind and its classes make, or that a finished model was trained for."""

import collections
import dataclasses
from collections.abc import Sequence

from tinybert_jax.choices import Kind, PredictionLoss
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.tasks.classification import Classification, MultiLabel
from tinybert_jax.tasks.regression import Regression
from tinybert_jax.tasks.task import Task


def make_task(kind: str, name: str, labels: Sequence[str]) -> Task:
  """Returns the task of a kind.

  Args:
    kind: "classification", "multi_label" or "regression".
    name: of the data.
    labels: class names in the order of the logits; a regression has one.
  """
  if kind == "multi_label":
    return MultiLabel(name, tuple(labels))
  return Regression(name, tuple(labels)) if kind == "regression" else Classification(name, tuple(labels))


def with_loss(task: Task, loss: PredictionLoss | None, temperature: float = 1.0) -> Task:
  """Returns the task with the loss that compares the student's logits with the teacher's; None for its own.

  Raises:
    InputError: a loss that the task does not have, or that has no temperature where one is given.
  """
  if loss == "logits" and temperature != 1:
    raise InputError(f"--temperature {temperature:g} is of --prediction-loss soft; squared errors of logits have none")
  if loss is None or (loss == "logits" and isinstance(task, Regression)):  # whose loss it is
    return task
  if not isinstance(task, Classification | MultiLabel):
    raise InputError(f"--prediction-loss {loss} is of classes, and {task.name} has none: its loss is its own")
  return dataclasses.replace(task, match_logits=loss == "logits")


def check_class_names(config: EncoderConfig, name: str, hint: str) -> None:
  """Raises InputError, with a hint, where a model of that name has two classes of one name."""
  twice = [label for label, number in collections.Counter(config.labels).items() if number > 1]
  if twice:
    raise InputError(f"{name}: its configuration calls two classes {twice[0]!r}; {hint}")


def kind_of_model(config: EncoderConfig, name: str) -> Kind:
  """Returns the kind of task that a finished model is for.

  Args:
    config: of the model.
    name: of the model, for errors.

  Raises:
    InputError: a regression of several numbers, or a single class without another to choose from.
  """
  number = config.num_labels
  if config.kind == "multi_label_classification":
    return "multi_label"
  if config.kind == "regression":
    if number > 1:
      raise InputError(f"{name}: a regression of {number} numbers a text, and one is supported")
    return "regression"
  if number == 1:
    raise InputError(f"{name}: a classifier of the single class {config.labels[0]!r}, which decides nothing")
  return "classification"

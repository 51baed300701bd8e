"""Class names: which of a model's classes is which of a data set's, whatever their order and spelling."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.parameters import LOGITS


def match_labels(
  model_labels: Sequence[str], data_labels: Sequence[str], written: Sequence[str] | None = None
) -> tuple[int, ...]:
  """Returns for each class of the data the number of the model's class of that name.

  Case, spaces and punctuation do not count. A single class on both sides is a regression and needs no name.

  Args:
    model_labels: the model's class names, in the order of its logits.
    data_labels: the data's class names.
    written: a second spelling of each, such as the data's files have.

  Raises:
    InputError: another number of classes, or names that cannot be told apart or matched.
  """
  ours, theirs = ", ".join(data_labels), ", ".join(model_labels)
  if len(model_labels) != len(data_labels):
    raise InputError(f"it has {_classes(model_labels)} ({theirs}), and the data has {_classes(data_labels)} ({ours})")
  if len(data_labels) == 1:
    return (0,)
  places = {_plain(name): number for number, name in enumerate(model_labels)}
  for spelling in (data_labels, written or ()):
    order = tuple(places[_plain(name)] for name in spelling if _plain(name) in places)
    if len(order) == len(set(order)) == len(model_labels):
      return order
  raise InputError(
    f"its classes are called {theirs}, and the data's {ours}: which is which must be known; give the data's names in "
    "the order of its logits"
  )


def order_classes(
  config: EncoderConfig, params: Mapping[str, Any], order: Sequence[int], labels: Sequence[str]
) -> tuple[EncoderConfig, dict[str, Any]]:
  """Returns a classifier that gives the logits of its classes `order`, in that order, under the names `labels`."""
  layer = next(name for name in LOGITS if name in params)
  head = {name: np.asarray(value)[..., list(order)] for name, value in params[layer].items()}
  return dataclasses.replace(config, labels=tuple(labels)), {**params, layer: head}


def _plain(name: str) -> str:
  return re.sub(r"[\W_]", "", name).casefold()


def _classes(names: Sequence[str]) -> str:
  return f"{len(names)} class" + ("es" if len(names) > 1 else "")

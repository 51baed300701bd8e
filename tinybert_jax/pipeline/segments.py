"""The two segments of a pair of texts, for models that tell them apart and models that do not."""

from collections.abc import Mapping

import datasets

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.pipeline.task_run import TaskRows

_COLUMN = "token_type_ids"


def with_segments(rows: datasets.Dataset, config: EncoderConfig) -> datasets.Dataset:
  """Returns token rows as the model reads them: a model of one kind of segment has all tokens in it."""
  if config.type_vocab_size > 1 or _COLUMN not in rows.column_names:
    return rows
  return rows.remove_columns(_COLUMN)


def task_rows(rows: TaskRows, config: EncoderConfig) -> TaskRows:
  """Returns the token rows of a task as the model reads them."""
  labelled = None if rows.labelled is None else with_segments(rows.labelled, config)
  transfer = labelled if rows.transfer is rows.labelled and labelled else with_segments(rows.transfer, config)
  return TaskRows(rows.texts, labelled, transfer, {name: with_segments(dev, config) for name, dev in rows.dev.items()})


def check_alike(models: Mapping[str, EncoderConfig]) -> None:
  """Raises InputError where of several models, by name, some tell the texts of a pair apart and others do not."""
  (first, config), *others = models.items()
  for name, other in others:
    if (config.type_vocab_size > 1) != (other.type_vocab_size > 1):
      kinds = [f"{one.type_vocab_size} kind{'s' * (one.type_vocab_size > 1)} of segments" for one in (config, other)]
      raise InputError(f"{name} has {kinds[1]}, and {first} {kinds[0]}; for pairs of texts all need the same")

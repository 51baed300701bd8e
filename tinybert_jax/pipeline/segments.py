"""The two segments of a pair of texts, for models that tell them apart and models that do not."""

from collections.abc import Mapping

import datasets

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig

_COLUMN = "token_type_ids"


def with_segments(rows: datasets.Dataset, config: EncoderConfig) -> datasets.Dataset:
  """Returns token rows as the model reads them: a model of one kind of segment has all tokens in it."""
  if config.type_vocab_size > 1 or _COLUMN not in rows.column_names:
    return rows
  return rows.remove_columns(_COLUMN)


def check_alike(models: Mapping[str, EncoderConfig]) -> None:
  """Raises InputError where of several models, by name, some tell the texts of a pair apart and others do not."""
  (first, config), *others = models.items()
  for name, other in others:
    if (config.type_vocab_size > 1) != (other.type_vocab_size > 1):
      kinds = [f"{one.type_vocab_size} kind{'s' * (one.type_vocab_size > 1)} of segments" for one in (config, other)]
      raise InputError(f"{name} has {kinds[1]}, and {first} {kinds[0]}; for pairs of texts all need the same")

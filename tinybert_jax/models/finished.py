"""A finished model with whichever head its directory has."""

import contextlib
import os
from typing import NamedTuple

from tinybert_jax.errors import UnfinishedError
from tinybert_jax.models.config import read_json
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, Model, SequenceClassifier
from tinybert_jax.models.hub import local_directory, model_root
from tinybert_jax.models.names import CLASSES
from tinybert_jax.models.pretrained import Pretrained, load_pretrained
from tinybert_jax.models.sentence_directories import is_sentence_encoder, load_sentence_encoder
from tinybert_jax.models.sentence_encoder import SentenceEncoder

AnyModel = Model | SentenceEncoder


class Finished(NamedTuple):
  """A loaded model and its class: one with a head, or `Encoder`."""

  model_class: type[AnyModel]
  loaded: Pretrained


def load_finished(name: str | os.PathLike) -> Finished:
  """Returns the model of a directory or hub id: that of its modules.json, or with the head that its weights have.

  Raises:
    InputError: as `load_pretrained` and `load_sentence_encoder`.
  """
  root = model_root(name)
  if is_sentence_encoder(root):
    return Finished(SentenceEncoder, load_sentence_encoder(root))
  return load_with_head(name)


def load_with_head(name: str | os.PathLike) -> Finished:
  """Returns the same of a Hugging Face directory, whatever modules.json stands beside it."""
  names = read_json(local_directory(name) / "config.json").get("architectures")
  named = tuple(
    model_class
    for model_class, ending in CLASSES.items()
    if model_class is not Encoder and isinstance(names, list) and any(str(one).endswith(ending) for one in names)
  )
  for model_class in named or (SequenceClassifier, MaskedLanguageModel):
    with contextlib.suppress(UnfinishedError):
      return Finished(model_class, load_pretrained(name, model_class, finished=True))
  return Finished(Encoder, load_pretrained(name, Encoder))

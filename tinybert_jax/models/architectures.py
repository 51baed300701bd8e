"""Models that are something else than what they are loaded as, told by their class and their weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, Model, SequenceClassifier, SpanClassifier, TokenClassifier
from tinybert_jax.models.families import Family
from tinybert_jax.models.names import CLASSES

# Classes with a head for one task, which some keep under another's name and shape.
_TASKS = {
  "ForSequenceClassification": "classifies whole texts",
  "ForTokenClassification": "labels each token",
  "ForQuestionAnswering": "answers questions by marking spans",
  "ForMultipleChoice": "chooses among several texts",
}
_NEEDED = {
  SequenceClassifier: "a classifier of whole texts",
  TokenClassifier: "a classifier of tokens",
  SpanClassifier: "a model that marks spans",
}
_DECODERS = ("LMHeadModel", "ForCausalLM", "GenerationDecoder")


def check_architecture(directory: Path, hf: Mapping[str, Any], model_class: type[Model]) -> None:
  """Raises InputError where a configuration's `architectures` name another kind of model than the one asked for.

  The encoder of a model with any head can be loaded; that of a decoder cannot.
  """
  names = hf.get("architectures")
  for name in names if isinstance(names, list) else ():
    if str(name).endswith(_DECODERS):
      raise InputError(f"{directory}: a {name}, which reads texts from left to right; an encoder is needed")
    ending, task = next((one for one in _TASKS.items() if str(name).endswith(one[0])), ("", ""))
    if task and model_class in _NEEDED and ending != CLASSES[model_class]:
      raise InputError(
        f"{directory}: a {name}, which {task}, and {_NEEDED[model_class]} is needed; its encoder alone can be loaded "
        f"as {Encoder.__name__}"
      )


def labels_tokens(family: Family, tensors: Mapping[str, np.ndarray]) -> bool:
  """Returns whether weights have a classifier without the dense layer below it, as those of models of tokens."""
  classifiers = ("classifier.weight", f"{family.names.classifier['classifier']}.weight")
  return any(name in tensors for name in classifiers) and f"{_pooler(family)}.weight" not in tensors


def pooler_in_words(family: Family) -> str:
  """Returns what the dense layer below the classifier is called in errors: "pooler", or its name in files."""
  return "pooler" if _pooler(family).startswith("pooler.") else _pooler(family)


def _pooler(family: Family) -> str:
  modules = {**family.names.body, **family.names.classifier}
  return next(modules[path] for path in ("encoder/pooler", "pre_classifier", "pooler") if path in modules)

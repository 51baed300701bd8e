"""Models that are something else than what they are loaded as, told by the name of their class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, Model, SequenceClassifier

# Classes whose head is no classifier of texts, though some keep it under a classifier's name and shape.
_OTHER_TASKS = {
  "ForTokenClassification": "labels each token",
  "ForQuestionAnswering": "answers questions by marking spans",
  "ForMultipleChoice": "chooses among several texts",
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
    task = next((what for ending, what in _OTHER_TASKS.items() if str(name).endswith(ending)), None)
    if task and model_class is SequenceClassifier:
      raise InputError(
        f"{directory}: a {name}, which {task}, and a classifier of whole texts is needed; its encoder alone can be "
        f"loaded as {Encoder.__name__}"
      )

"""The head of a model of tokens that inherits its teacher's weights: the linear layer on the narrower states."""

from collections.abc import Mapping
from typing import Any

from tinybert_jax.distillation import activations
from tinybert_jax.distillation.activations import States
from tinybert_jax.distillation.inherited_sample import Sample, as_part, with_bias
from tinybert_jax.errors import InputError
from tinybert_jax.models.parameters import TOKEN_LOGITS


def with_head(
  theirs: Mapping[str, Any], encoder: dict[str, Any], last: States, states: States, sample: Sample
) -> dict[str, Any]:
  """Returns the parameters of a student whose logits of each token are nearest to the teacher's on a sample.

  Args:
    theirs: the teacher's parameters.
    encoder: the student's without a head.
    last: the teacher's last hidden states.
    states: the student's.
    sample: of texts.

  Raises:
    InputError: a head with a dense layer below, as ModernBERT has it.
  """
  if "pre_classifier" in theirs:
    raise InputError(
      f"--student-from teacher: a {sample.teacher.family.title} of tokens has a dense layer in its head, which is not "
      "fitted; leave out --student-from"
    )
  layer = next(name for name in TOKEN_LOGITS if name in theirs)
  restored = sample.fit(activations.moments(states, last, sample.weights), sample.restoring(), True)
  head = with_bias(theirs[layer])
  matrix = restored @ head[:-1]
  matrix[-1] += head[-1]
  return {"encoder": encoder, layer: as_part(matrix)}

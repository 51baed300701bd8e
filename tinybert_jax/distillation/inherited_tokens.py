"""The head of a model of tokens that inherits its teacher's weights: its layers on the narrower states."""

from collections.abc import Mapping
from typing import Any

from tinybert_jax.distillation import activations
from tinybert_jax.distillation.activations import States
from tinybert_jax.distillation.inherited_parts import Head
from tinybert_jax.distillation.inherited_parts import head as head_of
from tinybert_jax.distillation.inherited_sample import Sample, as_part, with_bias
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
  """
  layer = next(name for name in TOKEN_LOGITS if name in theirs)
  if "pre_classifier" in theirs:  # ModernBERT has it
    below = Head(theirs["pre_classifier"], theirs["pre_classifier_norm"], theirs[layer])
    made = head_of(below, last, states, sample, per_token=True)
    return {
      "encoder": encoder,
      "pre_classifier": made.dense,
      "pre_classifier_norm": made.norm,
      layer: made.classifier,
    }
  restored = sample.fit(activations.moments(states, last, sample.weights), sample.restoring(), True)
  head = with_bias(theirs[layer])
  matrix = restored @ head[:-1]
  matrix[-1] += head[-1]
  return {"encoder": encoder, layer: as_part(matrix)}

"""A student's first weights, made from its teacher's: layers by the layer map, each fitted where it is narrower.

The student is made from below to above, on a sample of texts. Each part is fitted on what the student's own parts below
give, so it makes up for their errors as far as a linear map can. No label is read and no gradient taken.

Shapes: B batch, L length, D and d hidden size of teacher and student, F and f of their feed-forward layers, H heads.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tinybert_jax.distillation import activations, inherited_parts, inherited_tokens, least_squares, units
from tinybert_jax.distillation.inherited_attention import Place, RelativePositions, relative_positions
from tinybert_jax.distillation.inherited_sample import Sample, normalised_fit
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Batch, Encoder, apply
from tinybert_jax.models.family_settings import DebertaSettings
from tinybert_jax.models.parameters import TOKEN_LOGITS
from tinybert_jax.models.pretrained import Pretrained

METHOD = 1  # of what is done here; another number makes finished stages anew
_NOT_LARGER = {
  "num_hidden_layers": "has {} layers",
  "hidden_size": "is {} wide",
  "intermediate_size": "has {} units in a feed-forward layer",
  "max_position_embeddings": "has {} positions",
}
_EQUAL = {
  "num_attention_heads": "has {} attention heads",
  "vocab_size": "has {} tokens",
  "type_vocab_size": "has {} token types",
}


def check(student: EncoderConfig, teacher: EncoderConfig) -> None:
  """Raises InputError where a student of that shape cannot be made from the teacher's weights."""
  ours, theirs = student.family, teacher.family
  settings = teacher.settings
  if isinstance(settings, DebertaSettings):
    without_own = "position matrices of their own" if not settings.share_att_key else ""
    found = without_own if settings.relative_attention and settings.pos_att_type else ""
    if found := found or ("a convolution" if settings.conv_kernel_size else ""):
      raise InputError(
        f"--student-from teacher: the teacher is a {theirs.title} with {found}, from which no weights are made"
      )
  if ours is not theirs:
    found = f"the student is a {ours.title}, and the teacher a {theirs.title}"
    raise InputError(f"--student-from teacher: {found}; both need to be of one family")
  if student.embedding_size != teacher.embedding_size:
    raise InputError(
      f"--student-from teacher: the student's embeddings are {student.embedding_width} wide with a hidden size of "
      f"{student.hidden_size}, and the teacher's {teacher.embedding_width} with {teacher.hidden_size}; both need the "
      "same embedding_size, or both that of their hidden size"
    )
  for name, words in {**_NOT_LARGER, **_EQUAL}.items():
    size, most = getattr(student, name), getattr(teacher, name)
    if size > most or (name in _EQUAL and size != most):
      needed = "as many as the teacher" if name in _EQUAL else "at most as much as the teacher"
      had = words.format(size), words.format(most).partition(" ")[2]
      raise InputError(f"--student-from teacher: the student {had[0]}, and the teacher {had[1]}; it needs {needed}")


def inherit(teacher: Pretrained, student: EncoderConfig, layers: LayerMap, batches: Sequence[Batch]) -> dict[str, Any]:
  """Returns a student's parameters, float32, of the same kind as the teacher's: an encoder, or a classifier.

  A student that differs in the number of layers alone has the teacher's own weights: the layers of the map, and all
  that is no layer.

  Args:
    teacher: fine-tuned or not.
    student: its shape.
    layers: the teacher's layer for each of the student's.
    batches: a sample of texts as token batches, all read twice.

  Raises:
    InputError: a shape that the teacher's weights do not make.
  """
  check(student, teacher.config)
  params = jax.tree.map(np.asarray, teacher.params)
  encoder = params.get("encoder", params)
  narrower = [
    name for name in ("hidden_size", "intermediate_size") if getattr(student, name) != getattr(teacher.config, name)
  ]
  if not narrower and student.family.norm == "after":
    same = _with_layers_of(encoder, student, layers)
    return {**params, "encoder": same} if "encoder" in params else same
  found = activations.collect(
    _module(teacher.config, encoder), encoder, batches, (*layers, teacher.config.num_hidden_layers)
  )
  sample = Sample(
    [jnp.asarray(batch["attention_mask"], jnp.float32) for batch in batches],
    [activations.token_weights(batch) for batch in batches],
    _basis(found.moments, student.hidden_size),
    teacher.config,
    student,
  )
  made: dict[str, Any] = {}
  made["embeddings"], states = inherited_parts.embeddings(encoder["embeddings"], found.embedded, found.hidden, sample)
  distances = relative_positions(encoder.get("relative_positions"), sample)
  if positions := distances.part if isinstance(distances, RelativePositions) else distances:
    made["relative_positions"] = positions
  for m, n in enumerate(layers):
    theirs, place = encoder[f"layers_{n - 1}"], Place(m, n - 1)
    made[f"layers_{m}"], states = inherited_parts.layer(theirs, place, found.layers[n], states, distances, sample)
  last = found.layers[teacher.config.num_hidden_layers].after
  if "final_norm" in encoder:
    last = found.last
    made["final_norm"], states = normalised_fit(encoder["final_norm"], states, last, sample.weights, sample)
  if any(layer in params for layer in TOKEN_LOGITS):
    return inherited_tokens.with_head(params, made, last, states, sample)
  # Families differ in whether the dense layer below the classifier is the encoder's or the classifier's.
  where, name = (encoder, "pooler") if "pooler" in encoder else (params, "pre_classifier")
  if name not in where:
    return made
  theirs = inherited_parts.Head(where[name], params.get("pre_classifier_norm"), params.get("classifier"))
  head = inherited_parts.head(theirs, last, states, sample)
  if where is encoder:
    made[name] = head.dense
  if head.classifier is None:
    return made
  made = {"encoder": made, "classifier": head.classifier} | ({} if where is encoder else {name: head.dense})
  return made if head.norm is None else {**made, "pre_classifier_norm": head.norm}


def fit_projections(
  teacher: Pretrained, student: Pretrained, layers: LayerMap, batches: Sequence[Batch]
) -> dict[str, Any]:
  """Returns the projections of `initialize_projections` that fit the student's states to the teacher's best.

  They minimise the mean squared error over a sample's tokens, of the embeddings' output and of all layers' outputs.

  Args:
    teacher: an encoder or a classifier.
    student: likewise.
    layers: the teacher's layer for each of the student's.
    batches: a sample of texts as token batches.
  """
  sums = {"embedding": activations.Sums(), "hidden": activations.Sums()}
  numbers = {"embedding": ((0, 0),), "hidden": tuple(enumerate(layers, start=1))}
  runs = [_hidden_states(each) for each in (student, teacher)]
  for batch in batches:
    ours, theirs = (run(batch) for run in runs)
    for name, pairs in numbers.items():
      for m, n in pairs:
        sums[name].add(*activations.products(ours[m], theirs[n], activations.token_weights(batch)))
  near = np.zeros((student.config.hidden_size, teacher.config.hidden_size))
  return {
    name: {"kernel": np.asarray(least_squares.fit(least_squares.Moments(*each.total), near), np.float32)}
    for name, each in sums.items()
  }


def _hidden_states(model: Pretrained) -> Callable[[Batch], tuple[Any, ...]]:
  """Returns the function of a batch that gives the model's hidden states, from the embeddings' output."""
  params = model.params.get("encoder", model.params)
  encoder = _module(model.config, params)
  run = jax.jit(lambda params, batch: apply(encoder, params, batch).hidden_states)
  return functools.partial(run, jax.device_put(params))


def _module(config: EncoderConfig, params: Mapping[str, Any]) -> Encoder:
  """Returns the module of an encoder's parameters, which have no pooler below a head that reads every token."""
  return Encoder(config, pools="pooler" in params)


def _with_layers_of(encoder: Mapping[str, Any], student: EncoderConfig, layers: LayerMap) -> dict[str, Any]:
  """Returns the teacher's parameters with the layers of the map alone, and as many positions as the student has."""
  made = {name: part for name, part in encoder.items() if not name.startswith("layers_")}
  if "position_embeddings" in made["embeddings"]:
    table = made["embeddings"]["position_embeddings"]["embedding"][: student.max_position_embeddings]
    made["embeddings"] = {**made["embeddings"], "position_embeddings": {"embedding": table}}
  return made | {f"layers_{m}": encoder[f"layers_{n - 1}"] for m, n in enumerate(layers)}


def _basis(moments: Sequence[np.ndarray], width: int) -> np.ndarray:
  """Returns the student's units from the teacher's: the same where there are as many."""
  return np.eye(width) if len(moments[0]) == width else units.principal_units(moments, width)

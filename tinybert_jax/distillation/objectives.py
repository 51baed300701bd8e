"""Loss functions of (student params, teacher params, batch, key), for the optimizer's step to differentiate.

Each gives the terms of its loss by name, as weighted sums; the loss is the sum of the terms' means. `key` drives the
student's dropout; None means no dropout. The teacher never has dropout, and no gradient is taken with respect to its
parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from tinybert_jax.choices import AttentionForm
from tinybert_jax.distillation.intermediate_terms import FUNCTIONS, Pair
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.losses import (
  Averaging,
  WeightedSum,
  binary_prediction_loss,
  logit_loss,
  prediction_loss,
  weighted_sum,
)
from tinybert_jax.distillation.term_choice import choose_terms
from tinybert_jax.distillation.terms import INTERMEDIATE, TermName
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Batch, Classifier, MaskedLanguageModel, Model, apply, apply_head
from tinybert_jax.settings import POSITIVE, SHARE, check_number

Params = Mapping[str, Any]
Terms = dict[str, WeightedSum]
LossFn = Callable[[Params, Params, Batch, Array | None], Terms]
LabelLoss = Callable[[Array, Batch], WeightedSum]  # of the logits
TargetLoss = Callable[[Array, Array, Batch], WeightedSum]  # of the student's logits and the teacher's


def total_loss(terms: Terms) -> Array:
  """Returns the loss: the sum of the terms' means (Equation 6; weights are in the terms already)."""
  return jnp.asarray(sum(term.mean() for term in terms.values()))


def intermediate_distillation(
  student: Model | Classifier,
  teacher: Model | Classifier,
  layers: LayerMap,
  *,
  terms: Sequence[str] = INTERMEDIATE,
  term_weights: Mapping[TermName, float] | Sequence[str] = (),
  relation_layer: int | None = None,
  relation_heads: int | None = None,
  averaging: Averaging = "valid",
  attention: AttentionForm = "plain",
) -> LossFn:
  """Returns the loss of Transformer-layer and embedding distillation (Equations 7, 8, 9), or of other terms.

  The student's parameters carry the projections besides the model's own, see `initialize_projections`.
  The terms are `embedding`, and `hidden_m` and `attention_m` for each student layer m; others by their names too.

  Args:
    student: the module to train.
    teacher: the module to learn from.
    layers: the teacher layer of each student layer, from `layer_map`.
    terms: names in `terms.TERMS`; the paper's are `INTERMEDIATE`.
    term_weights: by the term's name; default 1. A term that is given has its weight in it, so that all add up to the
      loss.
    relation_layer: the teacher layer of the terms that compare queries, keys and values with those of the student's
      last layer, see `term_choice.default_relation_layer`.
    relation_heads: of the term `relations`, see `term_choice.default_relation_heads`.
    averaging: see `losses`; "original" is of the paper's terms alone.
    attention: see `layers.AttentionForm`; fused has the averaging "valid" alone.

  Raises:
    InputError: terms, weights, a relation layer or heads that cannot be.
    ValueError: a layer map that does not fit; unequal head counts or another mismatch when the loss is traced.
  """
  student_layers = tuple(range(1, len(layers) + 1))
  if len(layers) != student.config.num_hidden_layers:
    raise ValueError(f"layer map {layers} does not fit a student of {student.config.num_hidden_layers} layers")
  choice = choose_terms(
    student.config,
    teacher.config,
    terms=terms,
    term_weights=term_weights,
    relation_layer=relation_layer,
    relation_heads=relation_heads,
  )
  if averaging == "original":
    if attention == "fused":
      raise ValueError(f"fused attention has no averaging {averaging!r}")
    if others := [name for name in choice.terms if name not in INTERMEDIATE]:
      raise ValueError(f"the terms {', '.join(others)} have no averaging {averaging!r}")

  def asked(mapped: LayerMap, compared: int | None) -> dict[str, Any]:
    """Returns the options of a model's call for the terms: its mapped layers, and the one whose relations count."""
    one = () if compared is None else (compared,)
    scores = mapped if "attention" in choice.terms else ()
    scores += one if "distribution" in choice.terms and attention == "plain" else ()
    return {"score_layers": scores} | ({"qkv_layers": one} if one else {})

  ours = asked(student_layers, choice.relation_layer and student_layers[-1])
  theirs = asked(tuple(layers), choice.relation_layer)

  def loss(student_params: Params, teacher_params: Params, batch: Batch, key: Array | None) -> Terms:
    if attention == "fused" and "attention" in choice.terms:
      _check_heads(student.config, teacher.config)
    form: dict[str, Any] = {} if attention == "plain" else {"attention": attention}
    taught = jax.lax.stop_gradient(apply(teacher, teacher_params, batch, **theirs, **form))
    if taught.queries_and_keys:
      form["compare_with"] = taught.queries_and_keys
    learned = apply(student, student_params, batch, **ours, **_dropout(key), **form)
    pair = Pair(
      student,
      teacher,
      student_params,
      learned,
      taught,
      layers,
      batch.get("attention_mask", jnp.ones_like(batch["input_ids"])),
      batch.get("example_weight"),
      averaging,
      choice.relation_heads,
    )
    parts = [(name, part, value) for name in choice.terms for part, value in FUNCTIONS[name](pair).items()]
    # Layer by layer: in this order they are added up.
    parts.sort(key=lambda one: one[1] if isinstance(one[1], int) else 0)
    return {
      name if part is None else f"{name}_{part}": _weighted(value, choice.term_weights.get(name, 1.0))
      for name, part, value in parts
    }

  return loss


def prediction_distillation(
  student: Classifier,
  teacher: Classifier | None = None,
  *,
  objective: Literal["soft_cross_entropy", "logits"] = "soft_cross_entropy",
  temperature: float = 1.0,
  label_weight: float = 0.0,
  target_loss: TargetLoss | None = None,
  label_loss: LabelLoss | None = None,
) -> LossFn:
  """Returns the loss of prediction-layer distillation (Equation 10).

  A batch with `teacher_targets` needs no teacher; otherwise they are computed.

  Args:
    student: the classifier to train; with a single label, a regression, the loss is the squared error to
      the teacher's output.
    teacher: the classifier to learn from.
    objective: the paper's soft cross-entropy, or the squared error of the logits.
    temperature: of the soft cross-entropy.
    label_weight: α of a mixture (1 − α)·distillation + α·labels (Hinton et al., arXiv:1503.02531); the
      paper has none, 0.
    target_loss: the loss on the teacher's logits, in place of `objective` and `temperature`.
    label_loss: the loss on the labels, by default that of the student's kind of task.

  Raises:
    InputError: a number out of bounds, or a kind of task without a loss.
  """
  check_number("temperature", temperature, POSITIVE)
  check_number("label_weight", label_weight, SHARE)
  label_loss = label_loss or _label_loss(student.config)

  def loss(student_params: Params, teacher_params: Params, batch: Batch, key: Array | None) -> Terms:
    logits = _logits(student, student_params, batch, key)
    if "teacher_targets" in batch:
      targets = jnp.asarray(batch["teacher_targets"])
    elif teacher is None:
      raise ValueError("the batch has no teacher_targets, and there is no teacher to compute them")
    else:
      targets = jax.lax.stop_gradient(_logits(teacher, teacher_params, batch, None))
    weight = batch.get("example_weight")
    if target_loss is not None:
      soft = target_loss(logits, targets, batch)
    elif objective == "logits" or student.config.kind == "regression":
      soft = logit_loss(logits, targets, weight)
    elif student.config.problem_type == "multi_label_classification":
      soft = binary_prediction_loss(logits, targets, weight, temperature=temperature)
    else:
      soft = prediction_loss(logits, targets, weight, temperature=temperature)
    if not label_weight:
      return {"prediction": soft}
    hard = label_loss(logits, batch)
    return {
      "prediction": soft._replace(total=(1 - label_weight) * soft.total),
      "labels": hard._replace(total=label_weight * hard.total),
    }

  return loss


def fine_tuning(model: Classifier, *, label_loss: LabelLoss | None = None) -> LossFn:
  """Returns the loss on the labels; the teacher is not read.

  Args:
    model: the classifier to train.
    label_loss: of (logits, batch); by default that of the model's kind of task: cross-entropy, binary cross-entropy
      for several labels at once, squared error for a regression.
  """
  label_loss = label_loss or _label_loss(model.config)

  def loss(params: Params, _teacher_params: Params, batch: Batch, key: Array | None) -> Terms:
    return {"labels": label_loss(_logits(model, params, batch, key), batch)}

  return loss


def masked_language_modelling(model: MaskedLanguageModel) -> LossFn:
  """Returns the loss on masked tokens: the mean cross-entropy of what stood there, over all masked tokens of a batch.

  What the student's parameters lack of the model's, the teacher's give, unchanged: with the encoder there, the head is
  trained alone. Batches are those of `masking.MaskedBatches`.
  """

  def loss(params: Params, frozen: Params, batch: Batch, key: Array | None) -> Terms:
    positions = batch["masked_positions"]
    logits = apply_head(model, {**frozen, **params}, batch, **_dropout(key), positions=positions)
    error = optax.softmax_cross_entropy_with_integer_labels(logits, batch["masked_ids"])
    weight = batch["masked_weight"]
    return {"masked": WeightedSum(jnp.sum(error * weight), jnp.sum(weight))}

  return loss


def initialize_projections(
  student: EncoderConfig, teacher: EncoderConfig, key: Array, *, shared: bool = False
) -> dict[str, Any]:
  """Returns the learned maps from the student's width to the teacher's, to stand in the parameters as `projections`.

  Args:
    student: its shape.
    teacher: its shape.
    key: for the draw, normal with variance 1/width.
    shared: one projection with a bias for embedding and hidden states, as in the original program; by
      default two without bias, as in the paper.
  """
  shape = (student.hidden_size, teacher.hidden_size)
  draw = jax.nn.initializers.lecun_normal()
  if shared:
    return {"shared": {"kernel": draw(key, shape), "bias": jnp.zeros(teacher.hidden_size)}}
  embedding_key, hidden_key = jax.random.split(key)
  return {"embedding": {"kernel": draw(embedding_key, shape)}, "hidden": {"kernel": draw(hidden_key, shape)}}


def _check_heads(student: EncoderConfig, teacher: EncoderConfig) -> None:
  heads = student.num_attention_heads, teacher.num_attention_heads
  if heads[0] != heads[1]:
    raise ValueError(f"attention scores need equal head counts: the student has {heads[0]}, the teacher {heads[1]}")


def _weighted(term: WeightedSum, weight: float) -> WeightedSum:
  return term if weight == 1 else term._replace(total=weight * term.total)


def _label_loss(config: EncoderConfig) -> LabelLoss:
  if config.kind != "multi_label_classification" and (config.kind == "regression") != (config.num_labels == 1):
    raise InputError(f"problem_type {config.kind!r}: {config.num_labels} labels, for which there is no loss")

  def loss(logits: Array, batch: Batch) -> WeightedSum:
    several = config.kind == "multi_label_classification"
    if batch["labels"].ndim != 1 + several:
      needed = "a 0 or 1 for each class" if several else "one label"
      shape = "x".join(map(str, batch["labels"].shape))
      raise InputError(f"labels of the shape {shape}: a model of the problem_type {config.kind} needs {needed} a row")
    if config.kind == "regression":
      error = jnp.square(logits[:, 0] - batch["labels"])
    elif several:
      error = optax.sigmoid_binary_cross_entropy(logits, batch["labels"]).mean(-1)
    else:
      error = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
    return weighted_sum(error, batch.get("example_weight"))

  return loss


def _logits(model: Classifier, params: Params, batch: Batch, key: Array | None) -> Array:
  return apply_head(model, params, batch, **_dropout(key), first_token=True)


def _dropout(key: Array | None) -> dict[str, Any]:
  """Returns the options of a model's call that drops by this key; None for no dropout."""
  return {"deterministic": key is None, "rngs": None if key is None else {"dropout": key}}

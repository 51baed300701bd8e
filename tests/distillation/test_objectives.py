"""The distillation losses and their gradients against numbers from the original program (see the fixture)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from tinybert_jax.distillation.objectives import (
  fine_tuning,
  initialize_projections,
  intermediate_distillation,
  prediction_distillation,
  total_loss,
)
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, SequenceClassifier, apply, initialize, parameter_shapes
from tinybert_jax.models.pretrained import name_table

# Small random models run through the authors' PyTorch release: teacher 4 × 16, student 2 × 12, 2 heads.
ORIGINAL = np.load(Path(__file__).parents[1] / "fixtures" / "original_tinybert.npz")
SHAPE = {"vocab_size": 60, "num_attention_heads": 2, "max_position_embeddings": 16, "labels": ("a", "b", "c")}
TEACHER = EncoderConfig(hidden_size=16, num_hidden_layers=4, intermediate_size=32, **SHAPE)
STUDENT = EncoderConfig(hidden_size=12, num_hidden_layers=2, intermediate_size=24, **SHAPE)
LAYERS = (2, 4)


def batch():
  return {name: ORIGINAL[name].astype(np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")}


class ReluClassifier(SequenceClassifier):
  """The original program's classifier, with a ReLU on the pooled output."""

  def __call__(self, batch, *, first_token=False, **options):
    outputs = self.encoder(batch, **options)
    return outputs._replace(logits=self.classifier(jax.nn.relu(outputs.pooled)))


def parameters(group, config, model_class):
  """The original's weights as our parameters; the projection is its `fit_dense`, shared and with a bias."""
  names = name_table(config, SequenceClassifier)
  if model_class is Encoder:
    names = {path.removeprefix("encoder/"): name for path, name in names.items() if path.startswith("encoder/")}
  flat = {}
  for path, name in names.items():
    key = f"{group}/{name}" if f"{group}/{name}" in ORIGINAL else f"{group}/{name.removeprefix('bert.')}"
    flat[path] = ORIGINAL[key].T if path.endswith("kernel") else ORIGINAL[key]
  params = traverse_util.unflatten_dict(flat, sep="/")
  if f"{group}/fit_dense.weight" in ORIGINAL:
    kernel, bias = ORIGINAL[f"{group}/fit_dense.weight"].T, ORIGINAL[f"{group}/fit_dense.bias"]
    params["projections"] = {"shared": {"kernel": kernel, "bias": bias}}
  return params


def assert_gradient(ours, group, model_class):
  names = name_table(STUDENT, SequenceClassifier)
  if model_class is Encoder:
    names = {path.removeprefix("encoder/"): name for path, name in names.items()}
  names |= {"projections/shared/kernel": "fit_dense.weight", "projections/shared/bias": "fit_dense.bias"}
  compared = 0
  for path, value in traverse_util.flatten_dict(ours, sep="/").items():
    key = f"{group}/{names[path]}"
    if key not in ORIGINAL:
      assert not np.any(value), path  # PyTorch has no gradient there, we have zeros
      continue
    theirs = ORIGINAL[key].T if path.endswith("kernel") else ORIGINAL[key]
    if "word_embeddings" in path:  # PyTorch's padding_idx keeps gradients from the padding token's row
      value, theirs = value[1:], theirs[1:]
    compared += 1
    # Key biases only shift a row's scores, which a softmax does not see: rounding on both sides.
    scale = max(np.abs(theirs).max(), 1e-4)
    assert np.abs(value - theirs).max() <= 1e-5 * scale, path
  assert compared == sum(key.startswith(f"{group}/") for key in ORIGINAL)


@pytest.mark.parametrize(("group", "model_class"), [("general", Encoder), ("task", ReluClassifier)])
def test_intermediate_distillation_is_the_originals_under_its_averaging(group, model_class):
  student = parameters(f"{group}/student", STUDENT, model_class)
  teacher = parameters(f"{group}/teacher", TEACHER, model_class)
  loss_fn = intermediate_distillation(model_class(STUDENT), model_class(TEACHER), LAYERS, averaging="original")

  def loss(params):
    terms = loss_fn(params, teacher, batch(), None)
    return total_loss(terms), {name: term.mean() for name, term in terms.items()}

  gradient, means = jax.jit(jax.grad(loss, has_aux=True))(student)
  attention = sum(means[f"attention_{m}"] for m in (1, 2))
  hidden = means["embedding"] + sum(means[f"hidden_{m}"] for m in (1, 2))
  np.testing.assert_allclose(attention, ORIGINAL[f"{group}/attention_loss"], rtol=1e-5)
  np.testing.assert_allclose(hidden, ORIGINAL[f"{group}/hidden_loss"], rtol=1e-5)
  assert_gradient(gradient, {"general": "general/grad", "task": "task/grad_intermediate"}[group], model_class)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_prediction_distillation_is_the_originals(temperature):
  student = parameters("task/student", STUDENT, ReluClassifier)
  teacher = parameters("task/teacher", TEACHER, ReluClassifier)
  loss_fn = prediction_distillation(ReluClassifier(STUDENT), ReluClassifier(TEACHER), temperature=temperature)
  classes = 3  # the original's mean is over batch × classes, ours over the batch
  loss, gradient = jax.jit(
    jax.value_and_grad(lambda params: total_loss(loss_fn(params, teacher, batch(), None)) / classes)
  )(student)
  np.testing.assert_allclose(loss, ORIGINAL[f"task/prediction_loss_t{temperature}"], rtol=1e-5)
  assert_gradient(gradient, f"task/grad_prediction_t{temperature}", ReluClassifier)


def test_the_original_models_outputs():
  teacher = parameters("general/teacher", TEACHER, Encoder)
  outputs = jax.jit(lambda params: apply(Encoder(TEACHER), params, batch()))(teacher)
  valid = ORIGINAL["attention_mask"].astype(bool)
  np.testing.assert_allclose(
    outputs.hidden_states[-1][valid], ORIGINAL["general/teacher_last_hidden"][valid], atol=1e-5
  )
  np.testing.assert_allclose(outputs.pooled, ORIGINAL["general/teacher_pooled"], atol=1e-5)


def test_no_gradient_reaches_the_teacher_and_dropout_leaves_it_alone():
  student, teacher = SequenceClassifier(STUDENT), SequenceClassifier(TEACHER)
  params = initialize(student, jax.random.key(0))
  teacher_params = initialize(teacher, jax.random.key(1))
  loss_fn = prediction_distillation(student, teacher)

  @jax.jit
  def losses(params, teacher_params, key):
    given = batch() | {"teacher_targets": apply(teacher, teacher_params, batch()).logits}
    live, gradient = jax.value_and_grad(lambda theirs: total_loss(loss_fn(params, theirs, batch(), key)))(
      teacher_params
    )
    cached = total_loss(prediction_distillation(student)(params, {}, given, key))
    return live, gradient, cached, total_loss(loss_fn(params, teacher_params, batch(), None))

  live, gradient, cached, without_dropout = losses(params, teacher_params, jax.random.key(2))
  np.testing.assert_allclose(live, cached, rtol=1e-6)
  assert live != without_dropout
  assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_terms_can_be_chosen_and_no_scores_are_made_without_attention():
  student, teacher = Encoder(STUDENT), Encoder(TEACHER)
  params = initialize(student, jax.random.key(0))
  params["projections"] = initialize_projections(STUDENT, TEACHER, jax.random.key(1))
  teacher_params = initialize(teacher, jax.random.key(2))
  loss_fn = intermediate_distillation(student, teacher, LAYERS, terms=("hidden",))
  assert list(jax.eval_shape(loss_fn, params, teacher_params, batch(), None)) == ["hidden_1", "hidden_2"]


def test_regression_distils_the_teachers_output_and_not_the_label():
  config = EncoderConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=24, **(SHAPE | {"labels": ("score",)}))
  model = SequenceClassifier(config)
  params = initialize(model, jax.random.key(0))
  teacher_logits = np.array([[1.0], [2.0], [3.0]], np.float32)
  data = batch() | {"teacher_targets": teacher_logits, "labels": np.array([9.0, 9.0, 9.0], np.float32)}

  @jax.jit
  def outputs_and_losses(params):
    losses = (prediction_distillation(model), fine_tuning(model))
    return apply(model, params, batch()).logits, [total_loss(loss(params, {}, data, None)) for loss in losses]

  ours, (distilled, tuned) = outputs_and_losses(params)
  np.testing.assert_allclose(distilled, np.mean((ours - teacher_logits) ** 2), rtol=1e-5)
  np.testing.assert_allclose(tuned, np.mean((ours[:, 0] - 9.0) ** 2), rtol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_unequal_heads_and_missing_projections_are_refused():
  heads = EncoderConfig(
    hidden_size=16, num_hidden_layers=4, intermediate_size=32, **(SHAPE | {"num_attention_heads": 4})
  )
  student, teacher = Encoder(STUDENT), Encoder(heads)
  given = parameter_shapes(student), parameter_shapes(teacher), batch(), None
  with pytest.raises(ValueError, match="equal head counts: the student has 2, the teacher 4"):
    jax.eval_shape(intermediate_distillation(student, teacher, LAYERS, terms=("attention",)), *given)
  with pytest.raises(ValueError, match=r"a projection of shape \(12, 16\) is needed"):
    jax.eval_shape(intermediate_distillation(student, teacher, LAYERS), *given)
  with pytest.raises(ValueError, match="does not fit a student of 2 layers"):
    intermediate_distillation(student, teacher, (4,))
  with pytest.raises(ValueError, match="no teacher_targets"):
    classifier = SequenceClassifier(STUDENT)
    jax.eval_shape(prediction_distillation(classifier), parameter_shapes(classifier), {}, batch(), None)


def test_padding_further_changes_no_loss_and_no_gradient():
  student, teacher = Encoder(STUDENT), Encoder(TEACHER)
  params = initialize(student, jax.random.key(0))
  params["projections"] = initialize_projections(STUDENT, TEACHER, jax.random.key(1))
  teacher_params = initialize(teacher, jax.random.key(2))
  loss_fn = intermediate_distillation(student, teacher, LAYERS)
  value_and_grad = jax.jit(jax.value_and_grad(lambda p, b: total_loss(loss_fn(p, teacher_params, b, None))))
  padded = {name: jnp.pad(value, [(0, 1), (0, 4)]) for name, value in batch().items()}
  padded["example_weight"] = jnp.array([1.0, 1.0, 1.0, 0.0])
  (loss, gradient), (padded_loss, padded_gradient) = value_and_grad(params, batch()), value_and_grad(params, padded)
  np.testing.assert_allclose(loss, padded_loss, rtol=1e-6)
  largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient))
  for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(padded_gradient), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * largest)

"""The best PyTorch's step of general distillation against ours, and a step's operations as PyTorch counts them."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
import torch
from flax import traverse_util
from small_mlm import CONFIG as MLM_CONFIG
from small_mlm import make_model, make_tokenizer
from test_original import STUDENT, TEACHER
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmark import best_torch
from experiments.benchmark.best_torch import task as best_task
from experiments.benchmark.best_torch.augment import TorchMaskedWords
from experiments.benchmark.roofline import step_flops
from tinybert_jax.augmentation.masked_words import MaskedWords
from tinybert_jax.augmentation.words import find_words
from tinybert_jax.data.batches import pad_batch
from tinybert_jax.distillation.objectives import (
  initialize_projections,
  intermediate_distillation,
  prediction_distillation,
  total_loss,
)
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier, initialize
from tinybert_jax.models.pretrained import name_table

LAYERS = (2, 4)
IDS = np.random.default_rng(0).integers(1, TEACHER.vocab_size, (3, 9))
RENAMED = (
  ("encoder.layer.", "layers."), ("attention.output.", "attended."), ("intermediate.dense", "intermediate"),
  ("cls.predictions.", ""), ("transform.dense", "transform"), ("transform.LayerNorm", "transform_norm"),
  ("pooler.dense", "pooler"), ("bert.pooler", "pooler"), ("bert.", "encoder."),
)  # fmt: skip


def to_best(config, params, model=Encoder):
  """Our parameters of a model under the names of the best PyTorch's."""
  flat = traverse_util.flatten_dict(params, sep="/")
  tensors = {}
  for path, name in name_table(config, model).items():
    for old, new in RENAMED:
      name = name.replace(old, new)
    if "pooler" not in name or model is SequenceClassifier:
      tensors[name] = torch.tensor(np.asarray(flat[path]).T if path.endswith("kernel") else np.asarray(flat[path]))
  prefix = "" if model is Encoder else "encoder."
  for i in range(config.num_hidden_layers):
    for kind in ("weight", "bias"):
      parts = [tensors.pop(f"{prefix}layers.{i}.attention.self.{part}.{kind}") for part in ("query", "key", "value")]
      tensors[f"{prefix}layers.{i}.query_key_value.{kind}"] = torch.cat(parts)
  return tensors


@pytest.fixture
def both():
  """The same random weights on both sides: our parameters, the teacher's, and the two modules."""
  teacher_params = initialize(Encoder(TEACHER), jax.random.key(0), kernels="glorot")
  params = initialize(Encoder(STUDENT), jax.random.key(1), kernels="glorot")
  projections = initialize_projections(STUDENT, TEACHER, jax.random.key(2))
  student, teacher = best_torch.Student(STUDENT, TEACHER.hidden_size), best_torch.Encoder(TEACHER)
  teacher.load_state_dict(to_best(TEACHER, teacher_params))
  student.encoder.load_state_dict(to_best(STUDENT, params))
  for name in ("embedding", "hidden"):
    getattr(student, name).weight.data = torch.tensor(np.asarray(projections[name]["kernel"]).T)
  return {**params, "projections": projections}, teacher_params, student, teacher


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_its_loss_and_gradient_are_ours(both, dtype):
  params, teacher_params, student, teacher = both
  models = (Encoder(config, jax.numpy.dtype(dtype)) for config in (STUDENT, TEACHER))
  loss_fn = intermediate_distillation(*models, LAYERS)
  ours, gradient = jax.jit(
    jax.value_and_grad(lambda params: total_loss(loss_fn(params, teacher_params, {"input_ids": IDS}, None)))
  )(params)
  torch_dtype = getattr(torch, dtype)
  theirs = best_torch.intermediate_loss(student, teacher.to(torch_dtype), LAYERS, torch_dtype, torch.tensor(IDS))
  theirs.backward()
  tolerance = 1e-5 if dtype == "float32" else 0.02
  np.testing.assert_allclose(theirs.item(), ours, rtol=tolerance)
  assert all(parameter.grad is None for parameter in teacher.parameters())
  norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in student.parameters()])
  np.testing.assert_allclose(norm, optax.tree.norm(gradient), rtol=tolerance)


@pytest.fixture(scope="module")
def padded():
  """A batch with padding, and a row of padding alone that fills it up."""
  batch = pad_batch({"input_ids": [list(IDS[0]), list(IDS[1][:4]), list(IDS[2][:1])]}, 9, 4)
  batch["teacher_targets"] = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
  return batch


def torch_of(batch):
  return torch.tensor(batch["input_ids"]).long(), torch.tensor(batch["attention_mask"]).bool()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_losses_of_task_distillation_on_padded_rows_are_ours(both, padded, dtype):
  params, teacher_params, student, teacher = both
  models = (Encoder(config, jax.numpy.dtype(dtype)) for config in (STUDENT, TEACHER))
  classifier = SequenceClassifier(STUDENT, jax.numpy.dtype(dtype))
  whole = initialize(classifier, jax.random.key(3), kernels="glorot")
  losses = intermediate_distillation(*models, LAYERS), prediction_distillation(classifier)

  @jax.jit
  def ours(params, whole):
    of = (params, losses[0], teacher_params), (whole, losses[1], {})
    return [
      jax.value_and_grad(lambda params, fn=fn, other=other: total_loss(fn(params, other, padded, None)))(params)
      for params, fn, other in of
    ]

  torch_dtype = getattr(torch, dtype)
  best = best_torch.Classifier(STUDENT)
  best.load_state_dict(to_best(STUDENT, whole, SequenceClassifier))
  ids, mask = torch_of(padded)
  weight, targets = (torch.tensor(padded[name]) for name in ("example_weight", "teacher_targets"))
  intermediate = best_task.intermediate_loss(student, teacher.to(torch_dtype), LAYERS, torch_dtype, ids, mask)
  prediction = best_task.prediction_loss(best, torch_dtype, ids, mask, weight, targets)
  tolerance = 1e-5 if dtype == "float32" else 0.02
  for theirs, module, (value, gradient) in zip(
    (intermediate, prediction), (student, best), ours(params, whole), strict=True
  ):
    theirs.backward()
    np.testing.assert_allclose(theirs.item(), value, rtol=tolerance)
    norm = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
    np.testing.assert_allclose(norm, optax.tree.norm(gradient), rtol=2 * tolerance)


def test_its_candidates_are_ours():
  texts = find_words(make_tokenizer(), ["the quick fox sees a bird .", "dog eats bread", "a teacher of water"])
  model, params = make_model()
  best = best_torch.MaskedLanguageModel(MLM_CONFIG)
  best.load_state_dict(to_best(MLM_CONFIG, params, MaskedLanguageModel))
  theirs = TorchMaskedWords(
    best, make_tokenizer(), texts, dtype=torch.float32, device="cpu", compiled=False, batch_size=4, number=5
  )
  found = theirs(texts, lambda share: None)
  assert found == MaskedWords(model, params, make_tokenizer(), number=5, max_length=32)(texts) and all(found)


@pytest.mark.parametrize(
  ("compiler", "how"), [("works", "compiled"), ("fails", "eager, as torch.compile failed: OSError")]
)
def test_it_trains_the_student_alone_and_goes_on_where_the_compiler_fails(both, monkeypatch, compiler, how):
  def compile_or_fail(function, dynamic):
    def fail(ids):
      raise OSError("no compiler")

    return function if compiler == "works" else fail

  monkeypatch.setattr(torch, "compile", compile_or_fail)
  _, _, student, teacher = both
  frozen = {name: value.clone() for name, value in teacher.state_dict().items()}
  ids = torch.tensor(IDS)
  step, found = best_torch.make_step(student, teacher, LAYERS, torch.float32, compiled=True, example=ids)
  losses = [step(ids).item() for _ in range(5)]
  assert found == how
  assert losses == sorted(losses, reverse=True) and len(set(losses)) == 5
  assert all(torch.equal(value, frozen[name]) for name, value in teacher.state_dict().items())


def test_the_student_alone_drops():
  configs = [
    dataclasses.replace(c, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5) for c in (STUDENT, TEACHER)
  ]
  student, teacher = best_torch.Student(configs[0], TEACHER.hidden_size), best_torch.Encoder(configs[1])
  ids = torch.tensor(IDS)
  best_torch.make_step(student, teacher, LAYERS, torch.float32, compiled=False, example=ids)
  with torch.no_grad():
    for module, drops in ((student.encoder, True), (teacher, False)):
      first, second = (module(ids, ())[0][-1] for _ in range(2))
      assert torch.equal(first, second) != drops


def test_a_steps_operations_are_those_that_pytorch_counts():
  student, teacher = best_torch.Student(STUDENT, TEACHER.hidden_size), best_torch.Encoder(TEACHER)
  # The plain attention: the counter does not know every fused one.
  with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
    best_torch.intermediate_loss(student, teacher, LAYERS, torch.float32, torch.tensor(IDS)).backward()
  assert counter.get_total_flops() == step_flops(TEACHER, STUDENT, *IDS.shape)

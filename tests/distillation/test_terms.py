"""Terms of the intermediate loss beside the paper's, on whole models; their arrays' losses are in other tests."""

import dataclasses
import functools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
import transformers
from flax import traverse_util

from tinybert_jax.distillation.intermediate_terms import FUNCTIONS
from tinybert_jax.distillation.objectives import initialize_projections, intermediate_distillation, total_loss
from tinybert_jax.distillation.relations import distribution_loss
from tinybert_jax.distillation.terms import TERMS, TermName, in_words, keys_by_term
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import load_pretrained, name_table
from tinybert_jax.training import steps

SHAPE = {"vocab_size": 50, "max_position_embeddings": 16, "num_attention_heads": 2}
TEACHER = EncoderConfig(hidden_size=16, num_hidden_layers=2, intermediate_size=32, **SHAPE)
STUDENT = EncoderConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=24, **SHAPE)
LAYERS = (1,)  # while relations are of the teacher's last layer
LENGTHS = np.array([7, 4, 2, 5])


def batch():
  ids = np.random.default_rng(0).integers(1, 50, (4, 7)).astype(np.int32)
  mask = (np.arange(7) < LENGTHS[:, None]).astype(np.int32)
  return {"input_ids": ids, "attention_mask": mask, "example_weight": np.array([1, 0.5, 2, 1], np.float32)}


def fresh(student=STUDENT, teacher=TEACHER):
  params = initialize(Encoder(student), jax.random.key(0), kernels="glorot")
  params["projections"] = initialize_projections(student, teacher, jax.random.key(1))
  return params, initialize(Encoder(teacher), jax.random.key(2), kernels="glorot")


@functools.cache
def every_term(attention="plain"):
  """All terms at once, as a compiled function that gives the gradient and each mean."""
  loss_fn = intermediate_distillation(
    Encoder(STUDENT), Encoder(TEACHER), LAYERS, terms=tuple(TERMS), attention=attention
  )

  def loss(params, teacher_params, rows):
    found = loss_fn(params, teacher_params, rows, None)
    return total_loss(found), {name: term.mean() for name, term in found.items()}

  return jax.jit(jax.grad(loss, has_aux=True))


def assert_close(ours, theirs, rtol):
  for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_allclose(
      one, other, rtol=rtol, atol=rtol * max(np.abs(leaf).max() for leaf in jax.tree.leaves(ours))
    )


def test_every_term_has_a_name_a_function_and_words():
  assert typing.get_args(TermName) == tuple(TERMS) == tuple(FUNCTIONS)
  _, means = every_term()(*fresh(), batch())
  assert list(keys_by_term(means)) == list(TERMS)
  assert keys_by_term(["relations_values", "own_2", "relations_queries", "own_10", "hidden_1", "relations_keys"]) == {
    "hidden": ["hidden_1"],
    "relations": ["relations_queries", "relations_keys", "relations_values"],
    "own": ["own_2", "own_10"],
  }
  assert in_words("value_relation") == "value relation" and in_words("of_mine") == "of mine"


def test_padding_further_changes_no_term_and_no_gradient():
  params, teacher_params = fresh()
  padded = {name: np.pad(value, [(0, 1), (0, 3)][: value.ndim]) for name, value in batch().items()}
  assert_close(every_term()(params, teacher_params, batch()), every_term()(params, teacher_params, padded), 2e-6)


def test_fused_attention_gives_every_term():
  params, teacher_params = fresh()
  assert_close(
    every_term()(params, teacher_params, batch()), every_term("fused")(params, teacher_params, batch()), 1e-4
  )


def test_micro_batches_and_devices_give_the_step_of_the_whole_batch():
  params, teacher_params = fresh()
  loss_fn = intermediate_distillation(Encoder(STUDENT), Encoder(TEACHER), LAYERS, terms=tuple(TERMS))
  optimizer = optax.sgd(1.0)  # at this rate the step is the gradient
  state = steps.create_state(params, optimizer, steps.random_key(0))
  mesh = steps.data_mesh(jax.devices()[:2])
  update = steps.make_update(loss_fn, optimizer, dropout=False, accumulate=2)
  split = steps.mesh_update(update, mesh, steps.state_sharding(state, mesh))(
    jax.device_put(state, steps.replicated(mesh)),
    jax.device_put(teacher_params, steps.replicated(mesh)),
    jax.device_put(batch(), steps.batch_sharding(mesh)),
  )
  gradient, means = every_term()(params, teacher_params, batch())
  assert_close(gradient, jax.tree.map(jnp.subtract, params, split[0].params), 2e-6)
  assert_close(means, {name: split[1][name] for name in means}, 2e-6)


def torch_relations(student, teacher, layer, heads, rows):
  """MiniLMv2's loss in PyTorch, example by example, from what enters the attention. The student keeps the gradient."""

  def vectors(model, layer, row):
    found = []
    attention = model.encoder.layer[layer - 1].attention.self
    hooks = [
      getattr(attention, name).register_forward_hook(lambda *seen: found.append(seen[2]))
      for name in ("query", "key", "value")
    ]
    model(input_ids=torch.tensor(row[None]))
    for hook in hooks:
      hook.remove()
    return found

  weights = rows["example_weight"]
  total = [0.0, 0.0, 0.0]
  for ids, length, weight in zip(rows["input_ids"], LENGTHS, weights, strict=True):
    with torch.no_grad():
      theirs = vectors(teacher, layer, ids[:length])
    for number, pair in enumerate(zip(vectors(student, len(student.encoder.layer), ids[:length]), theirs, strict=True)):
      split = [x.view(length, heads, -1).transpose(0, 1) for x in pair]
      ours, reference = (torch.log_softmax(x @ x.mT / x.shape[-1] ** 0.5, -1).flatten(0, 1) for x in split)
      total[number] += float(weight) * torch.nn.functional.kl_div(
        ours, reference, reduction="batchmean", log_target=True
      )
  means = [each / float(weights.sum()) for each in total]
  sum(means).backward()
  return [mean.item() for mean in means]


def test_relations_of_models_with_unequal_heads_and_their_gradient_are_pytorchs(tmp_path):
  shared = {"vocab_size": 50, "initializer_range": 0.3, "attn_implementation": "eager"}
  torch.manual_seed(0)
  teacher, student = (
    transformers.BertModel(
      transformers.BertConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=20, **shared
      )
    ).eval()
    for width, layers, heads in ((16, 3, 4), (12, 1, 3))
  )
  for name, model in (("teacher", teacher), ("student", student)):
    model.save_pretrained(tmp_path / name)
  ours, theirs = load_pretrained(tmp_path / "student"), load_pretrained(tmp_path / "teacher")
  loss_fn = intermediate_distillation(
    Encoder(ours.config), Encoder(theirs.config), (3,), terms=("relations",), relation_layer=2, relation_heads=4
  )

  def loss(params):
    found = loss_fn(params, theirs.params, batch(), None)
    return total_loss(found), {name: term.mean() for name, term in found.items()}

  gradient, means = jax.jit(jax.grad(loss, has_aux=True))(ours.params)
  found = [means.pop(f"relations_{name}") for name in ("queries", "keys", "values")]
  assert not means
  np.testing.assert_allclose(found, torch_relations(student, teacher, 2, 4, batch()), rtol=1e-5)
  names = name_table(ours.config, Encoder)
  reference = {name: value.grad for name, value in student.named_parameters()}
  largest = max(np.abs(value).max() for value in jax.tree.leaves(gradient))
  for path, value in traverse_util.flatten_dict(gradient, sep="/").items():
    found = reference[names[path]]
    found = np.zeros(value.shape) if found is None else found.numpy().T if path.endswith("kernel") else found.numpy()
    np.testing.assert_allclose(value, found, atol=2e-6 * largest, err_msg=path)


def test_weights_scale_a_term_and_the_gradient_and_a_weight_of_zero_leaves_it_out():
  params, teacher_params = fresh()
  _, plain = every_term()(params, teacher_params, batch())
  loss_fn = intermediate_distillation(
    Encoder(STUDENT),
    Encoder(TEACHER),
    LAYERS,
    terms=("hidden", "relations", "cosine"),
    term_weights={"hidden": 0, "relations": 0.5},
  )
  found = jax.jit(loss_fn)(params, teacher_params, batch(), None)
  assert set(found) == {"relations_queries", "relations_keys", "relations_values", "cosine"}
  np.testing.assert_allclose(found["relations_keys"].mean(), 0.5 * plain["relations_keys"], rtol=1e-5)
  np.testing.assert_allclose(found["cosine"].mean(), plain["cosine"], rtol=1e-5)


def test_distributions_are_of_the_models_own_scores():
  # MPNet adds a bias of the distance to the products of queries and keys.
  teacher, student = (
    dataclasses.replace(config, model_type="mpnet", type_vocab_size=0) for config in (TEACHER, STUDENT)
  )
  params, teacher_params = fresh(student, teacher)
  params["relative_positions"] = jax.tree.map(lambda bias: 50 * bias + 1e-3, params["relative_positions"])
  loss_fn = intermediate_distillation(Encoder(student), Encoder(teacher), LAYERS, terms=("distribution",))

  @jax.jit
  def both(params, teacher_params, rows):
    ours = Encoder(student).apply({"params": params}, rows, score_layers=(1,)).attention_scores[0]
    theirs = Encoder(teacher).apply({"params": teacher_params}, rows, score_layers=(2,)).attention_scores[0]
    expected = distribution_loss(ours, theirs, rows["attention_mask"], rows["example_weight"])
    return loss_fn(params, teacher_params, rows, None)["distribution"], expected

  found, expected = both(params, teacher_params, batch())
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_cosine_and_pooled_of_equal_widths_need_no_projection():
  student = EncoderConfig(hidden_size=16, num_hidden_layers=1, intermediate_size=24, **SHAPE)
  params, teacher_params = fresh(student)
  loss_fn = intermediate_distillation(Encoder(student), Encoder(TEACHER), (2,), terms=("cosine", "pooled"))
  found = jax.jit(loss_fn)(params, teacher_params, batch(), None)
  assert list(found) == ["cosine", "pooled_1"]
  ours, theirs = (
    np.asarray(Encoder(config).apply({"params": each}, batch()).hidden_states[layer], np.float64)
    for config, each, layer in ((student, params, 1), (TEACHER, teacher_params, 2))
  )
  ours, theirs = (each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (ours, theirs))
  weight = batch()["example_weight"]
  tokens = batch()["attention_mask"] * weight[:, None]
  np.testing.assert_allclose(
    found["cosine"].mean(), np.sum((1 - (ours * theirs).sum(-1)) * tokens) / tokens.sum(), rtol=1e-5
  )
  squares = ((ours - theirs)[:, 0] ** 2).sum(-1)
  np.testing.assert_allclose(found["pooled_1"].mean(), (squares * weight).sum() / weight.sum(), rtol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_go_together_is_refused():
  heads = EncoderConfig(
    hidden_size=16, num_hidden_layers=2, intermediate_size=32, **(SHAPE | {"num_attention_heads": 4})
  )
  params = fresh(STUDENT, heads)
  for term in ("attention", "distribution", "value_relation"):
    loss_fn = intermediate_distillation(Encoder(STUDENT), Encoder(heads), LAYERS, terms=(term,))
    with pytest.raises(ValueError, match="need equal head counts: the student has 2, the teacher 4"):
      jax.eval_shape(lambda *each, loss_fn=loss_fn: loss_fn(*each, batch(), None), *params)
  with pytest.raises(ValueError, match="the terms cosine have no averaging 'original'"):
    intermediate_distillation(
      Encoder(STUDENT), Encoder(TEACHER), LAYERS, terms=("hidden", "cosine"), averaging="original"
    )

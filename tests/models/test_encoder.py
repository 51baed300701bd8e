import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from transformers.activations import ACT2FN

from tinybert_jax.errors import InputError
from tinybert_jax.models.activations import ACTIVATIONS, activate
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  SequenceClassifier,
  apply,
  initialize,
  rounded_once,
)
from tinybert_jax.models.layers import dropout
from tinybert_jax.models.parameters import with_rounded_decoder
from tinybert_jax.models.pretrained import load_pretrained

CONFIG = EncoderConfig(vocab_size=50, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20)


def batch(rows=3, length=7, seed=0):
  rng = np.random.default_rng(seed)
  lengths = np.array([length, 4, 1][:rows])
  return {
    "input_ids": rng.integers(1, 50, (rows, length)).astype(np.int32),
    "attention_mask": (np.arange(length) < lengths[:, None]).astype(np.int32),
    "token_type_ids": rng.integers(0, 2, (rows, length)).astype(np.int32),
  }


def run(model, params, rows, **options):
  """Returns what the model gives, as one program: its operations one by one are a hundred programs to compile."""
  return jax.jit(functools.partial(apply, model, **options))(params, rows)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_those_of_transformers(name):
  x = np.linspace(-4, 4, 41, dtype=np.float32)
  np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(x)), ACT2FN[name](torch.tensor(x)).numpy(), atol=2e-6)


def test_the_gelu_of_rounded_products_is_the_exact_one_and_its_gradient():
  x = np.linspace(-12, 12, 97, dtype=np.float32)
  value, slope = jax.jit(jax.vmap(jax.value_and_grad(lambda x: activate("gelu", x, jnp.bfloat16))))(x)
  exact = torch.tensor(x, dtype=torch.float64, requires_grad=True)
  expected = torch.nn.functional.gelu(exact)
  expected.sum().backward()
  np.testing.assert_allclose(value, expected.detach(), atol=2e-6)
  np.testing.assert_allclose(slope, exact.grad, atol=2e-6)


def test_only_the_scores_asked_for_are_given_and_they_change_nothing_else():
  model, params = Encoder(CONFIG), initialize(Encoder(CONFIG), jax.random.key(0))
  plain = run(model, params, batch())
  asked = run(model, params, batch(), score_layers=(2, 1))
  assert plain.attention_scores == ()
  assert [scores.shape for scores in asked.attention_scores] == [(3, 3, 7, 7)] * 2
  np.testing.assert_allclose(plain.hidden_states[-1], asked.hidden_states[-1], atol=1e-6)
  second, first = asked.attention_scores
  np.testing.assert_array_equal(run(model, params, batch(), score_layers=(1,)).attention_scores[0], first)
  assert not np.allclose(first, second)


def test_a_layer_not_asked_for_never_makes_its_scores(monkeypatch):
  model, params = Encoder(CONFIG), initialize(Encoder(CONFIG), jax.random.key(0))
  fused, calls = jax.nn.dot_product_attention, []
  monkeypatch.setattr(jax.nn, "dot_product_attention", lambda *a, **kw: calls.append(1) or fused(*a, **kw))
  for score_layers, expected in (((), 2), ((1,), 1), ((1, 2), 0)):
    calls.clear()
    jax.eval_shape(functools.partial(apply, model, score_layers=score_layers), params, batch())
    assert len(calls) == expected


def test_queries_keys_and_values_are_those_of_pytorch_and_change_nothing_else(tmp_path):
  config = transformers.BertConfig(
    vocab_size=50, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20
  )
  theirs = transformers.BertModel(config).eval()
  theirs.save_pretrained(tmp_path)
  params = load_pretrained(tmp_path).params
  found = {}
  for number, layer in enumerate(theirs.encoder.layer, start=1):
    for name in ("query", "key", "value"):
      linear = getattr(layer.attention.self, name)
      linear.register_forward_hook(lambda *seen, where=(number, name): found.update({where: seen[2].detach().numpy()}))
  with torch.no_grad():
    theirs(**{name: torch.tensor(value) for name, value in batch().items()})
  valid = batch()["attention_mask"].astype(bool)
  plain, asked, fused = (
    jax.jit(functools.partial(Encoder(CONFIG).apply, **options))({"params": params}, batch())
    for options in ({}, {"qkv_layers": (2, 1)}, {"qkv_layers": (2, 1), "attention": "fused"})
  )
  assert (plain.queries, plain.keys, plain.values) == ((), (), ())
  np.testing.assert_array_equal(plain.pooled, asked.pooled)
  for outputs, (name, several) in itertools.product(
    (asked, fused), (("query", "queries"), ("key", "keys"), ("value", "values"))
  ):
    for layer, ours in zip((2, 1), getattr(outputs, several), strict=True):
      np.testing.assert_allclose(ours[valid], found[layer, name][valid], atol=1e-5)


@pytest.mark.parametrize("score_layers", [(), (1, 2)])
def test_the_first_token_alone_has_the_same_logits_and_gradient(score_layers):
  model = SequenceClassifier(CONFIG)
  params = initialize(model, jax.random.key(0), kernels="glorot")

  def logits(params, first_token):
    outputs = model.apply({"params": params}, batch(), score_layers=score_layers, first_token=first_token)
    return jnp.sum(jnp.sin(outputs.logits)), outputs

  value_and_grad = jax.jit(jax.value_and_grad(logits, has_aux=True), static_argnums=1)
  (whole, outputs), gradient = value_and_grad(params, False)
  (short, first), short_gradient = value_and_grad(params, True)
  np.testing.assert_allclose(short, whole, rtol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), short_gradient, gradient)
  np.testing.assert_allclose(first.hidden_states[-1], outputs.hidden_states[-1][:, :1], atol=1e-6)
  np.testing.assert_array_equal(first.hidden_states[1], outputs.hidden_states[1])
  for ours, theirs in zip(first.attention_scores, outputs.attention_scores, strict=True):
    np.testing.assert_allclose(ours, theirs[:, :, : ours.shape[2]], atol=1e-6)


@pytest.mark.parametrize("score_layers", [(), (1, 2)])
def test_padding_changes_no_valid_output(score_layers):
  model, params = Encoder(CONFIG), initialize(Encoder(CONFIG), jax.random.key(0))
  padded = {name: np.pad(value, [(0, 1), (0, 5)]) for name, value in batch().items()}
  short = run(model, params, batch(), score_layers=score_layers)
  long = run(model, params, padded, score_layers=score_layers)
  valid = batch()["attention_mask"].astype(bool)
  for ours, theirs in zip(short.hidden_states, long.hidden_states, strict=True):
    np.testing.assert_allclose(ours[valid], theirs[:3, :7][valid], atol=1e-6)
  for ours, theirs in zip(short.attention_scores, long.attention_scores, strict=True):
    np.testing.assert_allclose(ours[0], theirs[0, :, :7, :7], atol=1e-6)
  np.testing.assert_allclose(short.pooled, long.pooled[:3], atol=1e-6)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(long))  # the wholly padded row too


def test_mask_and_token_types_default_to_all_valid_and_segment_zero():
  model, params = Encoder(CONFIG), initialize(Encoder(CONFIG), jax.random.key(0))
  ids = batch()["input_ids"]
  full = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
  np.testing.assert_array_equal(run(model, params, {"input_ids": ids}).pooled, run(model, params, full).pooled)


@pytest.mark.parametrize("model_class", [SequenceClassifier, MaskedLanguageModel])
def test_bfloat16_is_of_the_products_inputs_alone(model_class):
  params = initialize(model_class(CONFIG), jax.random.key(0))
  low = run(model_class(CONFIG, jnp.bfloat16), params, batch(), score_layers=(1,))
  high = run(model_class(CONFIG), params, batch(), score_layers=(1,))
  assert {array.dtype for array in jax.tree.leaves(low)} == {jnp.dtype(jnp.float32)}
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
  valid = batch()["attention_mask"].astype(bool)
  assert not np.array_equal(low.hidden_states[-1], high.hidden_states[-1])
  np.testing.assert_allclose(low.hidden_states[-1][valid], high.hidden_states[-1][valid], atol=0.02, rtol=0.02)
  again = model_class(CONFIG, jnp.bfloat16)
  frozen = rounded_once(again, params)
  if model_class is MaskedLanguageModel:
    frozen = with_rounded_decoder(again, frozen)
    assert frozen["decoder"].dtype == jnp.bfloat16
  once = run(again, frozen, batch(), score_layers=(1,))
  jax.tree.map(np.testing.assert_array_equal, once, low)
  between = run(model_class(CONFIG, jnp.bfloat16, jnp.bfloat16), params, batch(), score_layers=(1,))
  assert between.hidden_states[-1].dtype == jnp.bfloat16
  assert between.attention_scores[0].dtype == between.logits.dtype == jnp.float32
  np.testing.assert_allclose(
    between.hidden_states[-1][valid].astype(np.float32), high.hidden_states[-1][valid], atol=0.06, rtol=0.05
  )


def test_dropout_only_when_told_and_by_its_key():
  model, params = SequenceClassifier(CONFIG), initialize(SequenceClassifier(CONFIG), jax.random.key(0))

  @functools.partial(jax.jit, static_argnums=1)
  def logits(key, deterministic=True):
    return apply(model, params, batch(), rngs={"dropout": key}, deterministic=deterministic).logits

  first, second = jax.random.key(0), jax.random.key(1)
  np.testing.assert_array_equal(logits(first), logits(second))
  np.testing.assert_array_equal(logits(first, False), logits(first, False))
  assert not np.array_equal(logits(first, False), logits(second, False))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate, impl):
  x = jnp.ones((3, 101, 331))
  kept = np.asarray(dropout(x, rate, jax.random.key(0, impl=impl)))
  zero = kept == 0
  assert abs(zero.mean() - rate) < 0.005  # four standard errors, and the rounding to 1/256
  np.testing.assert_allclose(kept[~zero], 256 / (256 - round(rate * 256)), rtol=1e-6)
  assert abs(kept.mean() - 1) < 0.01
  assert abs(np.corrcoef(zero.ravel()[:-1], zero.ravel()[1:])[0, 1]) < 0.015  # bytes of a word are independent


def test_tied_decoder_and_gradient_through_both_uses():
  model, params = MaskedLanguageModel(CONFIG), initialize(MaskedLanguageModel(CONFIG), jax.random.key(0))
  assert run(model, params, batch()).logits.shape == (3, 7, 50)
  gradient = jax.jit(jax.grad(lambda p: apply(model, p, batch()).logits[..., 3].sum()))(params)
  embedding = gradient["encoder"]["embeddings"]["word_embeddings"]["embedding"]
  assert np.any(embedding[3] != 0)  # as output, though token 3 may be no input
  assert np.any(np.asarray(embedding)[batch()["input_ids"][0]] != 0)  # as input


@pytest.mark.parametrize(
  ("config", "options", "error", "message"),
  [
    ({"max_position_embeddings": 6}, {}, ValueError, "7 tokens do not fit max_position_embeddings 6"),
    ({}, {"score_layers": (3,)}, ValueError, r"\[3\] are not among layers 1 to 2"),
    ({}, {"qkv_layers": (0, 2)}, ValueError, r"qkv_layers \[0\] are not among layers 1 to 2"),
    ({"hidden_act": "sine"}, {}, InputError, "'sine' is not supported"),
  ],
)
def test_what_does_not_fit_is_refused_when_traced(config, options, error, message):
  import dataclasses

  model = Encoder(dataclasses.replace(CONFIG, **config))
  with pytest.raises(error, match=message):
    params = initialize(model, jax.random.key(0))
    jax.eval_shape(lambda p: model.apply({"params": p}, batch(), **options), params)


def test_initialisation_is_berts_or_glorots():
  config = EncoderConfig(
    vocab_size=500, hidden_size=60, num_hidden_layers=1, num_attention_heads=12, intermediate_size=240
  )
  bert = initialize(SequenceClassifier(config), jax.random.key(0))
  glorot = initialize(SequenceClassifier(config), jax.random.key(0), kernels="glorot")
  layer = lambda params: params["encoder"]["layers_0"]["intermediate"]  # noqa: E731
  assert abs(layer(bert)["kernel"].std() - 0.02) < 0.001
  assert abs(layer(glorot)["kernel"].std() - np.sqrt(2 / 300)) < 0.005
  assert not layer(glorot)["bias"].any()
  np.testing.assert_array_equal(glorot["encoder"]["embeddings"]["layer_norm"]["scale"], 1)
  assert abs(glorot["encoder"]["embeddings"]["word_embeddings"]["embedding"].std() - 0.02) < 0.001


def test_logits_at_positions_are_those_of_the_whole_model():
  model = MaskedLanguageModel(CONFIG)
  params = initialize(model, jax.random.key(3), kernels="glorot")
  batch = {
    "input_ids": jax.random.randint(jax.random.key(4), (3, 9), 0, CONFIG.vocab_size),
    "attention_mask": (jnp.arange(9) < jnp.array([[9], [6], [4]])).astype(jnp.int32),
  }
  positions = jnp.array([[1, 5], [0, 3], [2, 2]])
  whole = run(model, params, batch).logits
  part = run(model, params, batch, positions=positions).logits
  assert part.shape == (3, 2, CONFIG.vocab_size)
  np.testing.assert_allclose(part, jnp.take_along_axis(whole, positions[..., None], axis=1), atol=1e-5)

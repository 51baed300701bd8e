"""Students made from their teacher's weights."""

import dataclasses

import jax
import numpy as np
import pytest

from tinybert_jax.distillation import inherited
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import (
  Encoder,
  SequenceClassifier,
  TokenClassifier,
  apply,
  initialize,
  parameter_shapes,
)
from tinybert_jax.models.family_settings import DebertaSettings, ModernBertSettings
from tinybert_jax.models.pretrained import Pretrained

TEACHER = EncoderConfig(
  vocab_size=20, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
  max_position_embeddings=24, labels=("a", "b", "c"),
)  # fmt: skip
NARROW = dataclasses.replace(TEACHER, hidden_size=8, intermediate_size=16, num_hidden_layers=2)


def batches(number=4, rows=8, length=12):
  rng = np.random.default_rng(0)
  made = []
  for _ in range(number):
    mask = (np.arange(length) < rng.integers(3, length + 1, rows)[:, None]).astype(np.int32)
    made.append({"input_ids": rng.integers(1, 20, (rows, length)).astype(np.int32) * mask, "attention_mask": mask})
  return made


def random_model(config):
  params = initialize(SequenceClassifier(config), jax.random.key(0), kernels="glorot")
  rng = np.random.default_rng(0)
  return Pretrained(config, jax.tree.map(lambda leaf: np.float32(leaf + 0.1 * rng.normal(size=leaf.shape)), params), ())


@pytest.fixture(scope="module")
def teacher():
  return random_model(TEACHER)


def hidden_states(model, batch):
  return jax.jit(lambda params: apply(Encoder(model.config), params, batch).hidden_states)(model.params["encoder"])


def outputs(model, batch):
  classifier = SequenceClassifier(model.config)
  layers = tuple(range(1, model.config.num_hidden_layers + 1))
  found = jax.jit(lambda params: apply(classifier, params, batch, score_layers=layers))(model.params)
  return found.attention_scores, found.logits


def test_a_student_of_fewer_layers_has_the_teachers_own(teacher):
  shape = dataclasses.replace(TEACHER, num_hidden_layers=2, max_position_embeddings=16)
  made = inherited.inherit(teacher, shape, (2, 4), batches())
  for m, n in ((0, 1), (1, 3)):
    equal = jax.tree.map(np.array_equal, made["encoder"][f"layers_{m}"], teacher.params["encoder"][f"layers_{n}"])
    assert jax.tree.all(equal)
  assert np.array_equal(made["classifier"]["kernel"], teacher.params["classifier"]["kernel"])
  # Of the lowest layers, the states are the teacher's.
  lowest = Pretrained(shape, inherited.inherit(teacher, shape, (1, 2), []), ())
  batch = batches()[0]
  for ours, theirs in zip(hidden_states(lowest, batch), hidden_states(teacher, batch), strict=False):
    np.testing.assert_array_equal(ours, theirs)


def half_dead(model, live):
  """Returns a teacher for which a student of half its sizes suffices.

  Half of the hidden units are always 0, and the mean of the others is 0 before each LayerNorm, so their mean over all
  units is what it is over the live ones. Each head has half of its size, and half of the inner units are never read.
  """
  params, alive = jax.tree.map(np.asarray, model.params), np.zeros(16, bool)
  alive[live] = True

  def centred(matrix):
    matrix = np.where(alive, matrix, 0)
    return np.where(alive, matrix - matrix[..., alive].mean(-1, keepdims=True), 0)

  def norm(part):
    return {"scale": np.where(alive, 0.7, 0)} | ({"bias": centred(part["bias"])} if "bias" in part else {})

  def read(part, units):
    return {**part, "kernel": np.where(units[:, None], part["kernel"], 0)}

  encoder = dict(params["encoder"])
  embeddings = dict(encoder["embeddings"])
  if "projection" in embeddings:
    embeddings["projection"] = jax.tree.map(centred, embeddings["projection"])
  else:
    embeddings = {name: jax.tree.map(centred, part) for name, part in embeddings.items()}
    embeddings["layer_norm"] = norm(params["encoder"]["embeddings"]["layer_norm"])
  encoder["embeddings"] = embeddings
  if "embeddings" in encoder.get("relative_positions", {}):
    table = encoder["relative_positions"]
    encoder["relative_positions"] = {
      "embeddings": jax.tree.map(centred, table["embeddings"]),
      "layer_norm": norm(table["layer_norm"]),
    }
  is_rotary = (
    model.config.family.attention == "rotary"
  )  # of eight components every other pair has a student's frequency
  of_head = np.isin(np.arange(8), (0, 2, 4, 6)) if is_rotary else np.arange(8) < 4
  first, inner = np.tile(of_head, 2), np.arange(32) % 2 == 0  # of each head; of the feed-forward layer
  for name in [name for name in encoder if name.startswith("layers_")]:
    layer = encoder[name]
    attention = {
      side: jax.tree.map(lambda leaf: np.where(first, leaf, 0), layer["attention"][side])
      for side in ("query", "key", "value")
    }
    encoder[name] = {
      **layer,
      "attention": {**attention, "output": jax.tree.map(centred, layer["attention"]["output"])},
      "output": jax.tree.map(centred, read(layer["output"], inner)),
      **{part: norm(layer[part]) for part in layer if part.endswith("norm")},
    }
  if "final_norm" in encoder:
    encoder["final_norm"] = norm(encoder["final_norm"])
  params = {**params, "encoder": encoder, "classifier": read(params["classifier"], np.arange(16) >= 8)}
  return model._replace(params=jax.tree.map(np.float32, params))


FAMILIES = {
  "bert": {},
  "electra": {"embedding_size": 12},  # narrow embeddings, a projection, and no pooler but the classifier's own
  "mpnet": {"type_vocab_size": 0, "pad_token_id": 1},  # positions after padding, biases of distances
  # LayerNorm before each layer, rotary positions with two bases and a window, gates, no biases
  "modernbert": {
    "type_vocab_size": 0,
    "settings": ModernBertSettings(local_attention=8, global_attn_every_n_layers=2, classifier_pooling="mean"),
  },
  "deberta-v2": {  # relative positions that read the matrices of the tokens
    "type_vocab_size": 0,
    "settings": DebertaSettings(
      True, ("c2p", "p2c"), position_buckets=4, share_att_key=True, norm_rel_ebd="layer_norm"
    ),
  },
}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_student_without_the_dead_units_is_the_teacher(model_type):
  config = dataclasses.replace(TEACHER, num_hidden_layers=2, model_type=model_type, **FAMILIES[model_type])
  dead = half_dead(random_model(config), [0, 3, 4, 5, 9, 10, 14, 15])
  shape = dataclasses.replace(config, hidden_size=8, intermediate_size=16)
  made = Pretrained(shape, inherited.inherit(dead, shape, (1, 2), batches()), ())
  assert jax.tree.map(np.shape, made.params) == jax.tree.map(
    lambda leaf: leaf.shape, parameter_shapes(SequenceClassifier(shape))
  )
  batch = batches(1)[0] | {"input_ids": batches(2)[1]["input_ids"]}  # not of the sample
  (scores, logits), (their_scores, their_logits) = (outputs(model, batch) for model in (made, dead))
  pairs = batch["attention_mask"][:, None, :, None] * batch["attention_mask"][:, None, None]
  for ours, theirs in zip(scores, their_scores, strict=True):
    np.testing.assert_allclose(ours * pairs, theirs * pairs, atol=1e-4)
  # ModernBERT's head normalises the activations of all its units, for which half of them cannot stand exactly.
  np.testing.assert_allclose(logits, their_logits, atol=0.3 if "pre_classifier_norm" in made.params else 1e-4)


def test_a_tagger_with_a_dense_layer_in_its_head_is_made_from_its_teacher():
  config = dataclasses.replace(TEACHER, num_hidden_layers=2, model_type="modernbert", **FAMILIES["modernbert"])
  dead = half_dead(random_model(config), [0, 3, 4, 5, 9, 10, 14, 15])
  params = {name: part for name, part in dead.params.items() if name != "classifier"}
  teacher = Pretrained(config, {**params, "token_classifier": dead.params["classifier"]}, ())
  shape = dataclasses.replace(config, hidden_size=8, intermediate_size=16)
  made = Pretrained(shape, inherited.inherit(teacher, shape, (1, 2), batches()), ())
  assert jax.tree.map(np.shape, made.params) == jax.tree.map(
    lambda leaf: leaf.shape, parameter_shapes(TokenClassifier(shape))
  )
  batch = batches(1)[0] | {"input_ids": batches(2)[1]["input_ids"]}  # not of the sample
  ours, theirs = (
    jax.jit(TokenClassifier(each.config).apply)({"params": each.params}, batch).logits for each in (made, teacher)
  )
  # The head normalises the activations of all its units, for which half of them cannot stand exactly.
  is_token = batch["attention_mask"] == 1
  print(
    "APART",
    np.abs(ours - theirs)[is_token].max(),
    np.square(ours - theirs)[is_token].mean(),
    np.var(theirs[is_token], axis=0).mean(),
    ours.shape,
  )
  assert np.square(ours - theirs)[is_token].mean() < 0.1 * np.var(theirs[is_token], axis=0).mean()


def test_projections_are_least_squares(teacher):
  student = Pretrained(NARROW, initialize(SequenceClassifier(NARROW), jax.random.key(1), kernels="glorot"), ())
  found = inherited.fit_projections(teacher, student, (2, 4), batches())

  def rows(model, numbers):
    states = [(hidden_states(model, batch), batch["attention_mask"] == 1) for batch in batches()]
    return np.concatenate([np.asarray(each[n], np.float64)[mask] for each, mask in states for n in numbers])

  ours, theirs = rows(student, (1, 2)), rows(teacher, (2, 4))
  best = np.linalg.norm(ours @ np.linalg.lstsq(ours, theirs)[0] - theirs)
  assert np.linalg.norm(ours @ found["hidden"]["kernel"] - theirs) < 1.001 * best
  assert found["embedding"]["kernel"].shape == (8, 16)


@pytest.mark.parametrize(
  ("changes", "problem"),
  [
    ({"hidden_size": 18}, "the student is 18 wide, and the teacher 16"),
    ({"num_hidden_layers": 5}, "the student has 5 layers, and the teacher 4"),
    (
      {"num_attention_heads": 1},
      "the student has 1 attention heads, and the teacher 2 attention heads; it needs as many",
    ),
  ],
)
def test_a_student_that_is_larger_anywhere_is_refused(changes, problem):
  with pytest.raises(InputError, match=problem):
    inherited.check(dataclasses.replace(NARROW, **changes), TEACHER)


def test_a_deberta_with_more_matrices_is_refused():
  settings = DebertaSettings(True, ("c2p",), share_att_key=False)
  config = EncoderConfig(model_type="deberta-v2", type_vocab_size=0, settings=settings)
  with pytest.raises(InputError, match="the teacher is a DeBERTa with position matrices of their own, from which no"):
    inherited.check(config, config)

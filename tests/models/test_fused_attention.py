"""The kernels, run by Pallas's interpreter, against attention written out and against the plain model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.random import threefry_2x32

from tinybert_jax.distillation import objectives
from tinybert_jax.models.attention import QueryAndKey
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, SequenceClassifier, initialize, parameter_shapes
from tinybert_jax.models.fused_attention import attend, attend_and_compare
from tinybert_jax.training import steps

BATCH, LENGTH, HEADS, STUDENT_WIDTH, TEACHER_WIDTH = 3, 20, 2, 6, 10
MASK = np.arange(LENGTH) < np.array([20, 13, 0])[:, None]  # one example is whole, one padded, one without tokens
SHAPE = {"vocab_size": 60, "num_attention_heads": 2, "max_position_embeddings": 24}
TEACHER = EncoderConfig(hidden_size=16, num_hidden_layers=2, intermediate_size=32, **SHAPE)
STUDENT = EncoderConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=24, **SHAPE)


def arrays(width, number, seed):
  return tuple(jax.random.normal(jax.random.key(seed), (number, BATCH, LENGTH, width)))


def written_out(query, key, value, teacher, keep):
  """Context and squared error, head by head."""
  contexts, error = [], 0.0
  for head in range(HEADS):
    q, k, v, other_q, other_k = (
      jnp.split(x, HEADS, axis=-1)[head] for x in (query, key, value, teacher.query, teacher.key)
    )
    scores = q @ k.mT / np.sqrt(q.shape[-1])
    probs = jax.nn.softmax(jnp.where(MASK[:, None, :], scores, jnp.finfo(jnp.float32).min))
    contexts.append((probs * keep[:, head] * 256 / 230) @ v if keep is not None else probs @ v)
    difference = (scores - other_q @ other_k.mT / np.sqrt(other_q.shape[-1])) ** 2
    error += jnp.sum(difference * MASK[:, None, :] * MASK[:, :, None], axis=(1, 2))
  return jnp.concatenate(contexts, axis=-1), error


def bytes_of(seed, heads, length):
  """The bytes that decide for each head's probabilities, by JAX's own threefry.

  Each pair of words gives eight, of which the next stands `rows` rows below the last.
  """
  rows = 8 if length <= 64 else 16
  count = np.arange(rows * length, dtype=np.uint32)
  found = np.empty((len(seed), heads, length, length), np.uint8)
  for example, head in np.ndindex(found.shape[:2]):
    words = np.asarray(threefry_2x32(seed[example], np.concatenate([np.full_like(count, head), count])))
    as_bytes = words.astype("<u4").view(np.uint8).reshape(2, rows, length, 4)  # word, row, column, byte
    found[example, head] = as_bytes.transpose(0, 3, 1, 2).reshape(8 * rows, length)[:length]
  return found


def seeds(number, seed=3):
  return jax.random.bits(jax.random.key(seed), (number, 2), jnp.uint32)


@pytest.mark.parametrize("drops", [False, True])
def test_values_and_gradients_are_those_of_attention_written_out(drops):
  inputs, teacher = arrays(STUDENT_WIDTH, 3, 0), QueryAndKey(*arrays(TEACHER_WIDTH, 2, 1))
  of_context, of_error = arrays(STUDENT_WIDTH, 1, 2)[0], jnp.array([0.5, 2.0, 1.0])
  seed = seeds(BATCH) if drops else None
  keep = (bytes_of(seed, HEADS, LENGTH) >= 26) if drops else None

  def values_and_gradients(function):
    def loss(inputs):
      context, error = function(*inputs)
      return jnp.sum(context * of_context) + jnp.sum(error * of_error), (context, error)

    return jax.jit(jax.grad(loss, has_aux=True))(inputs)

  ours = values_and_gradients(
    lambda q, k, v: attend_and_compare(q, k, v, MASK, teacher, heads=HEADS, seed=seed, dropped=26)
  )
  expected = values_and_gradients(lambda q, k, v: written_out(q, k, v, teacher, keep))
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), ours, expected)

  alone = values_and_gradients(
    lambda q, k, v: (attend(q, k, v, MASK, heads=HEADS, seed=seed, dropped=26), jnp.zeros(BATCH))
  )
  without_error = values_and_gradients(lambda q, k, v: (written_out(q, k, v, teacher, keep)[0], jnp.zeros(BATCH)))
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), alone, without_error)


@pytest.mark.parametrize("length", [60, 72])
def test_what_is_dropped_is_random_and_the_same_in_both_directions(length):
  """Equal scores, and values that tell the keys apart, show each probability."""
  zeros, identity = jnp.zeros((2, length, length)), jnp.tile(jnp.eye(length), (2, 1, 1))
  function = lambda value: attend(zeros, zeros, value, zeros[:, 0] == 0, heads=1, seed=seeds(2), dropped=64)  # noqa: E731
  forward, pull_back = jax.vjp(function, identity)
  keep = bytes_of(seeds(2), 1, length)[:, 0] >= 64
  np.testing.assert_allclose(forward, keep * 256 / 192 / length, rtol=1e-6)
  np.testing.assert_allclose(pull_back(identity)[0].mT, forward, rtol=1e-6)
  assert keep.mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / keep.size))
  assert np.mean(keep[0] == keep[1]) == pytest.approx(0.75**2 + 0.25**2, abs=0.03)


def test_no_gradient_reaches_the_teacher():
  inputs, teacher = arrays(STUDENT_WIDTH, 3, 0), QueryAndKey(*arrays(TEACHER_WIDTH, 2, 1))
  gradient = jax.grad(lambda other: jnp.sum(attend_and_compare(*inputs, MASK, other, heads=HEADS)[1]))(teacher)
  assert not any(np.any(leaf) for leaf in gradient)


def batch(rows):
  generator = np.random.default_rng(0)
  lengths = generator.integers(3, LENGTH + 1, rows)
  return {
    "input_ids": generator.integers(5, 60, (rows, LENGTH)).astype(np.int32),
    "attention_mask": (np.arange(LENGTH) < lengths[:, None]).astype(np.int32),
    "example_weight": np.where(np.arange(rows) == 1, 0, 1).astype(np.float32),
  }


def models():
  student, teacher = Encoder(STUDENT), Encoder(TEACHER)
  projections = objectives.initialize_projections(STUDENT, TEACHER, jax.random.key(2))
  params = {**initialize(student, jax.random.key(0), kernels="glorot"), "projections": projections}
  return student, teacher, params, initialize(teacher, jax.random.key(1), kernels="glorot")


def test_a_classifier_hands_the_form_on():
  student, teacher = SequenceClassifier(STUDENT), SequenceClassifier(TEACHER)
  projections = {"embedding": jnp.zeros((12, 16)), "hidden": jnp.zeros((12, 16))}
  projections = {name: {"kernel": kernel} for name, kernel in projections.items()}
  params = {**parameter_shapes(student), "projections": projections}
  loss_fn = objectives.intermediate_distillation(student, teacher, (1,), attention="fused")
  terms = jax.make_jaxpr(lambda ours, theirs: loss_fn(ours, theirs, batch(2), None))(params, parameter_shapes(teacher))
  assert "attention_forward" in str(terms)


@pytest.mark.parametrize("dropout", [False, True])
def test_a_step_over_a_mesh_is_that_of_one_device_and_without_dropout_the_plain_one(dropout):
  student, teacher, params, teacher_params = models()
  optimizer = optax.sgd(1.0)  # at this rate the step is the gradient
  state = steps.create_state(params, optimizer, steps.random_key(0))

  def step(attention, devices):
    mesh = steps.data_mesh(jax.devices()[:devices])
    sharding = steps.state_sharding(state, mesh)
    loss_fn = objectives.intermediate_distillation(student, teacher, (1,), attention=attention)
    update = steps.make_update(loss_fn, optimizer, accumulate=2, dropout=dropout)
    placed = jax.device_put(jax.tree.map(jnp.copy, state), sharding)
    placed_teacher = jax.device_put(teacher_params, steps.replicated(mesh))
    rows = jax.device_put(batch(4), steps.batch_sharding(mesh))
    compiled = steps.mesh_update(update, mesh, sharding).lower(placed, placed_teacher, rows).compile()
    assert "all-gather" not in compiled.as_text()  # every device computes its own rows
    after, metrics = compiled(placed, placed_teacher, rows)
    return jax.device_get((after.params, metrics))

  fused = step("fused", 2)
  one = step("fused", 1) if dropout else step("plain", 2)
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), fused, one)


def test_what_fused_attention_has_not_is_refused():
  params, rows = parameter_shapes(Encoder(STUDENT)), batch(2)
  with pytest.raises(ValueError, match="all positions"):
    jax.eval_shape(
      lambda params: Encoder(STUDENT).apply(
        {"params": params}, rows, attention="fused", positions=jnp.zeros((2, 1), jnp.int32)
      ),
      params,
    )
  with pytest.raises(ValueError, match="257 tokens"):
    long = jax.ShapeDtypeStruct((1, 257, STUDENT_WIDTH), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, 257), jnp.bool)
    jax.eval_shape(lambda x, mask: attend(x, x, x, mask, heads=HEADS), long, mask)
  many = Encoder(dataclasses.replace(TEACHER, num_attention_heads=4))
  loss_fn = objectives.intermediate_distillation(Encoder(STUDENT), many, (2,), attention="fused")
  with pytest.raises(ValueError, match="equal head counts"):
    loss_fn({}, {}, rows, None)
  with pytest.raises(ValueError, match="original"):
    objectives.intermediate_distillation(
      Encoder(STUDENT), Encoder(TEACHER), (2,), averaging="original", attention="fused"
    )

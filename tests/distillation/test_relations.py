"""MiniLM's losses against numpy in float64, entry by entry, and against PyTorch, whose gradient is compared too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tinybert_jax.distillation.relations import distribution_loss, relation_loss, split_heads

HEADS, L, S, T = 4, 5, 8, 12
LENGTHS = (5, 3, 1, 0)  # whole, padded, a single token, and a row of padding alone
MASK = (np.arange(L) < np.array(LENGTHS)[:, None]).astype(np.int32)
WEIGHT = np.array([1.0, 0.5, 2.0, 3.0], np.float32)
VECTORS = tuple(
  np.random.default_rng(number).normal(size=(len(LENGTHS), L, width)).astype(np.float32)
  for number, width in enumerate((S, T))
)
SCORES = tuple(
  np.random.default_rng(number).normal(size=(len(LENGTHS), HEADS, L, L)).astype(np.float32) for number in (2, 3)
)
LOSSES = {"relations": (functools.partial(relation_loss, heads=HEADS), VECTORS), "scores": (distribution_loss, SCORES)}


def scores_by_hand(vectors, example, head, query, keys):
  size = vectors.shape[-1] // HEADS
  of = vectors[example, :, head * size : (head + 1) * size].astype(np.float64)
  return np.array([of[query] @ of[key] / np.sqrt(size) for key in range(keys)])


def by_hand(name):
  """The sum and the weight, entry by entry."""
  total = weight = 0.0
  for example, tokens in enumerate(LENGTHS):
    if not tokens:
      continue
    for head in range(HEADS):
      for query in range(tokens):
        if name == "relations":
          s, t = (np.exp(scores_by_hand(vectors, example, head, query, tokens)) for vectors in VECTORS)
        else:
          s, t = (np.exp(scores[example, head, query, :tokens].astype(np.float64)) for scores in SCORES)
        s, t = s / s.sum(), t / t.sum()
        total += WEIGHT[example] * np.sum(t * np.log(t / s)) / (HEADS * tokens)
    weight += WEIGHT[example]
  return total, weight


def in_torch(name):
  """The loss of the student's gradient by PyTorch, example by example, without padding."""
  ours = torch.tensor(LOSSES[name][1][0], requires_grad=True)
  theirs = torch.tensor(LOSSES[name][1][1])
  losses = []
  for example, tokens in enumerate(LENGTHS[:3]):
    if name == "relations":
      heads = (x[example, :tokens].view(tokens, HEADS, -1).transpose(0, 1) for x in (ours, theirs))
      scores = [x @ x.transpose(-1, -2) / x.shape[-1] ** 0.5 for x in heads]
    else:
      scores = [x[example, :, :tokens, :tokens] for x in (ours, theirs)]
    student, teacher = (each.reshape(-1, tokens).log_softmax(-1) for each in scores)
    divergence = torch.nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    losses.append(WEIGHT[example] * divergence)
  loss = sum(losses) / WEIGHT[:3].sum()
  loss.backward()
  return loss.item(), ours.grad.numpy()


@pytest.mark.parametrize("name", LOSSES)
def test_sum_and_weight_are_those_of_float64_and_the_gradient_is_pytorchs(name):
  loss, (ours, theirs) = LOSSES[name]

  def mean(ours):
    result = loss(ours, theirs, MASK, WEIGHT)
    return result.mean(), result

  (value, result), gradient = jax.jit(jax.value_and_grad(mean, has_aux=True))(ours)
  np.testing.assert_allclose(result, by_hand(name), rtol=1e-5)
  torch_value, torch_gradient = in_torch(name)
  np.testing.assert_allclose(value, torch_value, rtol=1e-5)
  np.testing.assert_allclose(gradient, torch_gradient, atol=1e-6)
  assert not np.any(np.asarray(gradient)[3])  # the row of padding alone


@pytest.mark.parametrize("name", LOSSES)
def test_padding_further_changes_neither_loss_nor_gradient(name):
  loss, pair = LOSSES[name]
  pads = [(0, 1), (0, 3), (0, 0)] if name == "relations" else [(0, 1), (0, 0), (0, 3), (0, 3)]
  padded = [np.pad(each, pads, constant_values=fill) for each, fill in zip(pair, (1e4, -7), strict=True)]
  value_and_grad = jax.jit(jax.value_and_grad(lambda ours, *rest: loss(ours, *rest).mean()))
  value, gradient = value_and_grad(*pair, MASK, WEIGHT)
  padded_value, padded_gradient = value_and_grad(*padded, np.pad(MASK, [(0, 1), (0, 3)]), np.pad(WEIGHT, (0, 1)))
  np.testing.assert_allclose(padded_value, value, rtol=1e-6)
  padded_gradient = np.array(padded_gradient)
  inside = tuple(slice(0, size) for size in gradient.shape)
  np.testing.assert_allclose(padded_gradient[inside], gradient, rtol=1e-5, atol=1e-8)
  padded_gradient[inside] = 0
  assert not padded_gradient.any()


@pytest.mark.parametrize("name", LOSSES)
def test_parts_of_a_batch_add_up_to_the_whole(name):
  loss, pair = LOSSES[name]
  whole = loss(*pair, MASK, WEIGHT)
  parts = [loss(*(each[part] for each in pair), MASK[part], WEIGHT[part]) for part in (slice(0, 1), slice(1, 4))]
  np.testing.assert_allclose(parts[0] + parts[1], whole, rtol=1e-6)


def test_equal_relations_of_unequal_widths_are_no_loss_and_have_no_gradient():
  # Zeros beside each head change no product; the root of d is made up for.
  ours = VECTORS[0].reshape(4, L, HEADS, 2)
  theirs = np.pad(ours, [(0, 0), (0, 0), (0, 0), (0, 2)]).reshape(4, L, 4 * HEADS) * np.float32(2**0.25)
  value, gradient = jax.value_and_grad(lambda x: relation_loss(x, theirs, MASK, heads=HEADS).mean())(VECTORS[0])
  assert abs(value) < 1e-6
  np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="width 12 cannot be split into 5"):
    split_heads(VECTORS[1], 5)
  with pytest.raises(ValueError, match="the student has 2, the teacher 4"):
    distribution_loss(SCORES[0][:, :2], SCORES[1], MASK)
  with pytest.raises(ValueError, match="differ in shape"):
    distribution_loss(SCORES[0][..., :2, :2], SCORES[1], MASK)
  with pytest.raises(ValueError, match="the mask has shape"):
    relation_loss(*VECTORS, jnp.ones((4, 3)), heads=2)

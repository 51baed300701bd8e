"""The losses against numpy in float64, written out entry by entry; the original program's are in test_distill."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tinybert_jax.distillation import losses

B, H, L, S, T, C = 3, 2, 6, 4, 5, 3
LENGTHS = (6, 4, 1)


@pytest.fixture
def arrays():
  rng = np.random.default_rng(0)
  draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
  return {
    "student_scores": draw(B, H, L, L),
    "teacher_scores": draw(B, H, L, L),
    "student_hidden": draw(B, L, S),
    "teacher_hidden": draw(B, L, T),
    "projection": draw(S, T),
    "bias": draw(T),
    "student_logits": draw(B, C),
    "teacher_logits": draw(B, C),
    "mask": (np.arange(L) < np.array(LENGTHS)[:, None]).astype(np.int32),
    "weight": np.array([1.0, 0.5, 2.0]),
  }


def attention_by_hand(a):
  total = count = 0.0
  for b, n in enumerate(LENGTHS):
    for h in range(H):
      for q in range(n):
        for k in range(n):
          error = float(a["student_scores"][b, h, q, k]) - float(a["teacher_scores"][b, h, q, k])
          total += a["weight"][b] * error**2
          count += a["weight"][b]
  return total / count


def hidden_by_hand(a):
  total = count = 0.0
  projected = a["student_hidden"].astype(np.float64) @ a["projection"] + a["bias"]
  for b, n in enumerate(LENGTHS):
    for i in range(n):
      total += a["weight"][b] * np.sum((projected[b, i] - a["teacher_hidden"][b, i]) ** 2)
      count += a["weight"][b] * T
  return total / count


def prediction_by_hand(a, temperature):
  total = 0.0
  for b in range(B):
    s, t = (np.exp(a[f"{who}_logits"][b].astype(np.float64) / temperature) for who in ("student", "teacher"))
    total += a["weight"][b] * -np.sum(t / t.sum() * np.log(s / s.sum()))
  return total / a["weight"].sum()


def attention(a, **kw):
  return losses.attention_loss(a["student_scores"], a["teacher_scores"], a["mask"], a["weight"], **kw).mean()


def hidden(a, **kw):
  return losses.hidden_loss(
    a["student_hidden"],
    a["teacher_hidden"],
    a["mask"],
    a["weight"],
    projection=a["projection"],
    bias=a["bias"],
    **kw,
  ).mean()


def prediction(a, temperature=2.5):
  return losses.prediction_loss(a["student_logits"], a["teacher_logits"], a["weight"], temperature=temperature).mean()


def logit(a):
  return losses.logit_loss(a["student_logits"], a["teacher_logits"], a["weight"]).mean()


def logit_by_hand(a):
  error = (a["student_logits"].astype(np.float64) - a["teacher_logits"]) ** 2
  return np.sum(error * a["weight"][:, None]) / (a["weight"].sum() * C)


CASES = [
  (attention, attention_by_hand, "student_scores"),
  (hidden, hidden_by_hand, "student_hidden"),
  (prediction, functools.partial(prediction_by_hand, temperature=2.5), "student_logits"),
  (logit, logit_by_hand, "student_logits"),
]


@pytest.mark.parametrize(("loss", "by_hand", "of"), CASES)
def test_value_and_gradient_agree_with_float64(arrays, loss, by_hand, of):
  value, gradient = jax.jit(jax.value_and_grad(lambda x: loss(arrays | {of: x})))(jnp.asarray(arrays[of]))
  np.testing.assert_allclose(value, by_hand(arrays), rtol=1e-5)
  numeric = np.zeros(arrays[of].shape)
  for index in np.ndindex(*arrays[of].shape):  # central differences of the float64 computation
    step = np.zeros(arrays[of].shape)
    step[index] = 1e-4
    x = arrays[of].astype(np.float64)
    numeric[index] = (by_hand(arrays | {of: x + step}) - by_hand(arrays | {of: x - step})) / 2e-4
  np.testing.assert_allclose(gradient, numeric, atol=1e-5 * np.abs(numeric).max())


@pytest.mark.parametrize(("loss", "of"), [(attention, "scores"), (hidden, "hidden")])
def test_padding_further_changes_neither_loss_nor_gradient(arrays, loss, of):
  more = 3
  padded = dict(arrays)
  pads = {"scores": [(0, 0), (0, 0), (0, more), (0, more)], "hidden": [(0, 0), (0, more), (0, 0)]}[of]
  for who in ("student", "teacher"):
    padded[f"{who}_{of}"] = np.pad(arrays[f"{who}_{of}"], pads, constant_values=1e4 if who == "student" else -7)
  padded["mask"] = np.pad(arrays["mask"], [(0, 0), (0, more)])
  value_and_grad = lambda a: jax.jit(jax.value_and_grad(lambda x: loss(a | {f"student_{of}": x})))(a[f"student_{of}"])  # noqa: E731
  (value, gradient), (padded_value, padded_gradient) = value_and_grad(arrays), value_and_grad(padded)
  np.testing.assert_allclose(value, padded_value, rtol=1e-6)
  inside = tuple(slice(0, size) for size in gradient.shape)
  np.testing.assert_allclose(padded_gradient[inside], gradient, rtol=1e-6, atol=3e-8)
  padded_gradient = np.array(padded_gradient)
  padded_gradient[inside] = 0
  assert not padded_gradient.any()


def test_parts_of_a_batch_add_up_to_the_whole(arrays):
  whole = losses.attention_loss(arrays["student_scores"], arrays["teacher_scores"], arrays["mask"])
  parts = [
    losses.attention_loss(arrays["student_scores"][i], arrays["teacher_scores"][i], arrays["mask"][i])
    for i in (slice(0, 1), slice(1, 3))
  ]
  np.testing.assert_allclose((parts[0] + parts[1]).mean(), whole.mean(), rtol=1e-6)


@pytest.mark.parametrize(("loss", "by_hand", "of"), CASES)
def test_under_jit_and_vmap_over_examples(arrays, loss, by_hand, of):
  np.testing.assert_allclose(jax.jit(loss)(arrays), by_hand(arrays), rtol=1e-5)
  shared = {"projection", "bias"}
  axes = {name: None if name in shared else 0 for name in arrays}
  vmapped = jax.jit(jax.vmap(loss, in_axes=(axes,)))
  single = vmapped(arrays)  # each example on its own: arrays without a batch axis
  batched = vmapped({k: v if k in shared else v[:, None] for k, v in arrays.items()})
  np.testing.assert_allclose(single, batched, rtol=1e-6)
  assert single.shape == (B,)


def test_nothing_valid_is_loss_zero_and_gradient_zero(arrays):
  empty = arrays | {"weight": np.zeros(B, np.float32)}
  for loss, _, of in CASES:
    value, gradient = jax.jit(jax.value_and_grad(lambda x, loss=loss, of=of: loss(empty | {of: x})))(arrays[of])
    assert value == 0 and not np.any(gradient)


def test_bfloat16_inputs_are_summed_in_float32(arrays):
  low = {k: jnp.asarray(v, jnp.bfloat16) for k, v in arrays.items() if k != "mask"} | {"mask": arrays["mask"]}
  assert attention(low).dtype == hidden(low).dtype == jnp.float32
  high = {k: np.asarray(v, np.float32) for k, v in low.items()}
  np.testing.assert_allclose(attention(low), attention_by_hand(high), rtol=1e-5)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (
      lambda a: losses.attention_loss(a["student_scores"][:, :1], a["teacher_scores"], a["mask"]),
      "has 1, the teacher 2",
    ),
    (
      lambda a: losses.attention_loss(a["student_scores"][..., :5, :5], a["teacher_scores"], a["mask"]),
      "differ in shape",
    ),
    (lambda a: losses.attention_loss(a["student_scores"], a["teacher_scores"], a["mask"][:2]), "mask has shape"),
    (lambda a: losses.hidden_loss(a["student_hidden"], a["teacher_hidden"], a["mask"]), r"\(4, 5\) is needed"),
    (
      lambda a: losses.hidden_loss(a["student_hidden"], a["teacher_hidden"], a["mask"], projection=a["projection"].T),
      r"shape \(5, 4\), and \(4, 5\)",
    ),
    (lambda a: losses.hidden_loss(a["teacher_hidden"][:2], a["teacher_hidden"], a["mask"]), "differ in shape"),
    (lambda a: losses.prediction_loss(a["student_logits"][:, :2], a["teacher_logits"]), "logits differ"),
    (
      lambda a: losses.logit_loss(a["student_logits"], a["teacher_logits"], a["weight"][:2]),
      "example_weight has shape",
    ),
  ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused_when_traced(arrays, call, message):
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(call, arrays)

"""Products of rounded inputs, against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tinybert_jax.models import products
from tinybert_jax.training import precision

LOW = jnp.bfloat16


def rounded(array):
  return np.asarray(jnp.asarray(array).astype(LOW), np.float64)


def draw(*shapes):
  rng = np.random.default_rng(0)
  return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def product(spec, a, b):
  return products.dense(a, b, LOW) if spec == "nd,df->nf" else products.einsum(spec, a, b, LOW)


# Sizes of one, odd ones, and multiples of what vector units take.
@pytest.mark.parametrize(
  ("spec", "a_shape", "b_shape"),
  [
    ("nd,df->nf", (3, 5), (5, 7)),
    ("nd,df->nf", (1, 8), (8, 1)),
    ("nd,df->nf", (1, 9), (9, 6)),
    ("bqhk,bmhk->bhqm", (2, 1, 3, 4), (2, 1, 3, 4)),
    ("nd,df->nf", (64, 32), (32, 48)),
    ("nd,vd->nv", (6, 16), (31, 16)),
    ("bqhk,bmhk->bhqm", (2, 1, 3, 4), (2, 7, 3, 4)),
    ("bqhk,bmhk->bhqm", (2, 16, 2, 8), (2, 16, 2, 8)),
    ("bhqm,bmhk->bqhk", (1, 1, 5, 5), (1, 5, 1, 26)),
    ("bhqm,bmhk->bqhk", (3, 2, 16, 16), (3, 16, 2, 8)),
  ],
)
def test_product_and_gradients_have_rounded_inputs_and_exact_sums(spec, a_shape, b_shape):
  a, b = draw(a_shape, b_shape)
  result, pull = jax.jit(lambda a, b: jax.vjp(lambda a, b: product(spec, a, b), a, b))(a, b)
  of_a, of_b, of_result = spec.replace("->", ",").split(",")
  (cotangent,) = draw(result.shape)
  of_gradients = jax.jit(lambda pull, cotangent: pull(cotangent))(pull, cotangent)
  low_a, low_b, low_cotangent = rounded(a), rounded(b), rounded(cotangent)
  expected = (
    np.einsum(spec, low_a, low_b),
    np.einsum(f"{of_result},{of_b}->{of_a}", low_cotangent, low_b),
    np.einsum(f"{of_result},{of_a}->{of_b}", low_cotangent, low_a),
  )
  for ours, theirs in zip((result, *of_gradients), expected, strict=True):
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


def test_float32_is_jaxs_own():
  a, b = draw((3, 5), (5, 7))
  np.testing.assert_array_equal(products.dense(a, b, jnp.float32), jnp.matmul(a, b))
  assert products.dot_general(jnp.float32) is jax.lax.dot_general


def test_of_a_dense_layer_alone():
  a, b = draw((3, 5), (5, 7))
  with pytest.raises(ValueError, match="only products of the last axis with the first"):
    products.dot_general(LOW)(a, b.T, (((1,), (1,)), ((), ())))


@pytest.mark.skipif(precision.choose("auto").dtype != LOW, reason="the CPU has no products of bfloat16")
def test_all_three_products_of_a_layer_multiply_bfloat16():
  a, b = draw((64, 32), (32, 48))
  step = jax.jit(lambda a, b: jax.grad(lambda a, b: jnp.square(products.dense(a, b, LOW)).sum(), argnums=(0, 1))(a, b))
  program = step.lower(a, b).compile().as_text()
  inputs = [line for line in program.splitlines() if "parameter(0)" in line and "_fusion" not in line]
  assert program.count(" dot(") == 3
  assert sum("bf16[" in line for line in inputs) >= 3, program


@pytest.mark.skipif(precision.choose("auto").dtype != LOW, reason="the CPU has no products of bfloat16")
def test_a_single_row_has_no_float32_copy_of_the_matrix():
  a, b = draw((1, 32), (32, 48))
  step = jax.jit(lambda a, b: products.dense(a, b, LOW))
  assert "f32[32,48]" not in step.lower(a, b.astype(LOW)).compile().as_text()


def test_the_choice_is_the_devices(monkeypatch):
  monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx2"}))
  precision._of_device.cache_clear()
  assert precision.choose("auto").dtype == jnp.float32
  monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx2", "avx512_bf16"}))
  precision._of_device.cache_clear()
  assert str(precision.choose("auto")) == "bfloat16 products (the CPU has avx512_bf16)"
  precision._of_device.cache_clear()
  assert precision.choose("float32").dtype == jnp.float32

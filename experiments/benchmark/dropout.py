"""What random bits for dropout cost, next to the layer whose output is dropped."""

import functools

import jax
import jax.numpy as jnp

from experiments.benchmark.options import Options
from tinybert_jax.models.layers import dropout
from tinybert_jax.training import steps
from tinybert_jax.training.evaluate import median_seconds


def measure(options: Options) -> None:
  """Prints what dropping a tenth of one layer's hidden states costs, next to the layer's own products."""
  shape = (options.batch_size or 32, options.length or 64, options.hidden_size)
  x = jnp.ones(shape)
  inner = jnp.ones((options.hidden_size, 4 * options.hidden_size))

  @jax.jit
  def by_32_bits(key, x):
    return jnp.where(jax.random.bernoulli(key, 0.9, x.shape), x / 0.9, 0)

  by_bytes = jax.jit(lambda key, x: dropout(x, 0.1, key))
  feed_forward = jax.jit(lambda x, w: jax.nn.gelu(x @ w, approximate=False) @ w.T)
  runs = {"feed-forward layer": functools.partial(feed_forward, x, inner)}
  for impl in ("threefry2x32", "rbg"):
    key = jax.random.key(0, impl=impl)
    runs[f"{impl}, 32 bits an element"] = functools.partial(by_32_bits, key, x)
    runs[f"{impl}, a byte an element"] = functools.partial(by_bytes, key, x)
  seconds = median_seconds(runs, options.repeats or 30)
  print(f"{jax.devices()[0].device_kind}, {shape} float32; runs use {jax.random.key_impl(steps.random_key(0))}")
  for name, value in seconds.items():
    print(f"{name:32}{1e3 * value:9.2f} ms{value / seconds['feed-forward layer']:8.2f} of the layer")

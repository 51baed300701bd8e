"""Speed, as ratios of alternatives that run in turns: `python -m experiments.benchmark --suite dropout`."""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp

from experiments import command_line
from tinybert_jax import steps
from tinybert_jax.evaluate import median_seconds
from tinybert_jax.model import dropout


@dataclasses.dataclass(frozen=True)
class Options:
  """Measure alternatives in turns on this machine and print medians and ratios."""

  suite: Literal["dropout"] = "dropout"
  """What to measure. dropout: random generators and bits an element, against a feed-forward layer."""
  batch_size: int = 32
  """Sequences in a batch."""
  length: int = 64
  """Tokens in a sequence."""
  hidden_size: int = 384
  """Width of the feed-forward layer that dropout is set against; inside, it is four times as wide."""
  repeats: int = 30
  """Turns whose median counts."""
  debug: bool = False
  """Show the traceback of an error."""


def main(options: Options) -> None:
  """Prints what dropping a tenth of one layer's hidden states costs, next to the layer's own products."""
  shape = (options.batch_size, options.length, options.hidden_size)
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
  seconds = median_seconds(runs, options.repeats)
  print(f"{jax.devices()[0].device_kind}, {shape} float32; runs use {jax.random.key_impl(steps.random_key(0))}")
  for name, value in seconds.items():
    print(f"{name:32}{1e3 * value:9.2f} ms{value / seconds['feed-forward layer']:8.2f} of the layer")


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.benchmark")

"""Parameters of the models here: drawn, rounded, counted."""

import functools
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from tinybert_jax.models import products

# Names of the layers that give the logits of texts, of tokens, and of spans.
TOKEN_LOGITS = ("token_classifier", "span_classifier")
LOGITS = ("classifier", *TOKEN_LOGITS)


def initialize(model: Any, key: Array, *, kernels: Literal["bert", "glorot"] = "bert") -> dict:
  """Returns fresh float32 parameters for `model`.

  They are drawn leaf by leaf, which spares compiling `model.init`, a program as large as the model.

  Args:
    model: any of the modules here.
    key: for the draw.
    kernels: "bert" draws every matrix with the standard deviation `initializer_range`, as BERT does. At
      0.02 that suits widths near 768; a student of a tenth of that width starts almost as the identity
      and learns slowly. "glorot" scales by the matrix's own shape instead (Glorot & Bengio 2010);
      embeddings are as before.
  """
  paths, tree = jax.tree.flatten_with_path(parameter_shapes(model))
  keys = jax.random.split(key, len(paths))
  draw = functools.partial(_draw, scale=model.config.initializer_range, glorot=kernels == "glorot")
  leaves = [draw(path[-1].key, leaf.shape, key) for (path, leaf), key in zip(paths, keys, strict=True)]
  return jax.tree.unflatten(tree, leaves)


def rounded_once(model: Any, params: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns parameters that do not change, with the matrices rounded that the model would round in each of its calls.

  The matrix that gives the logits is not; it multiplies float32.
  """
  dtype = getattr(model, "dtype", jnp.float32)
  if not products.is_rounded(dtype):
    return params

  def rounded(path: tuple[Any, ...], leaf: Any) -> Any:
    names = [key.key for key in path]
    return jnp.asarray(leaf, dtype) if names[-1] == "kernel" and names[0] not in LOGITS else leaf

  return jax.tree.map_with_path(rounded, params)


def with_rounded_decoder(model: Any, params: Mapping[str, Any]) -> Mapping[str, Any]:
  """Returns parameters that do not change, of a masked language model, with a rounded copy of its decoder.

  The decoder is the word embeddings, which are looked up in float32 besides; so `rounded_once` leaves them. Rounding
  them in each call took an eighth of the time of BERT-base's candidates for 48 sentences of 12 tokens.
  """
  dtype = getattr(model, "dtype", jnp.float32)
  if not products.is_rounded(dtype):
    return params
  table = params["encoder"]["embeddings"]["word_embeddings"]["embedding"]
  return {**params, "decoder": jnp.asarray(table, dtype)}


def _draw(name: str, shape: tuple[int, ...], key: Array, scale: float, glorot: bool) -> Array:
  if name == "kernel" and glorot:
    return jax.nn.initializers.glorot_normal()(key, shape)
  if name in ("kernel", "embedding"):
    return scale * jax.random.normal(key, shape)
  return jnp.ones(shape) if name == "scale" else jnp.zeros(shape)


def parameter_shapes(model: nn.Module) -> dict:
  """Returns the tree of the model's parameters as shapes, without computing any."""
  return jax.tree.map(lambda shape: shape, _parameter_shapes(model))  # a tree of the caller's own


@functools.lru_cache(maxsize=64)
def _parameter_shapes(model: nn.Module) -> dict:
  """See `parameter_shapes`. Tracing a model takes longer than most of what needs its shapes."""
  example = {"input_ids": jax.ShapeDtypeStruct((1, 2), jnp.int32)}
  return jax.eval_shape(model.init, jax.random.key(0), example)["params"]


def count_parameters(params: Mapping) -> int:
  """Returns the number of scalars in a tree of parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))

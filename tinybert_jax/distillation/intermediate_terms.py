"""What each term of the intermediate loss computes from the outputs of student and teacher: a function for each name.

A term's function gives its parts: by the student's layer, by name, or under None where there is but one.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from tinybert_jax.distillation.directions import cosine_loss, pooled_loss
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.losses import (
  AnyArray,
  Averaging,
  WeightedSum,
  attention_loss,
  embedding_loss,
  hidden_loss,
  summed_attention_loss,
)
from tinybert_jax.distillation.relations import distribution_loss, split_heads
from tinybert_jax.distillation.terms import TermName
from tinybert_jax.models import products
from tinybert_jax.models.encoder import Classifier, Model, Outputs

Parts = dict[int | str | None, WeightedSum]


class Pair(NamedTuple):
  """Student and teacher on one batch.

  Attributes:
    student: the module.
    teacher: the module.
    params: the student's, and the projections.
    ours: the student's outputs; of scores those of the mapped layers where the term `attention` asks for them, then
      those of the relation layer where `distribution` does.
    theirs: the teacher's.
    layers: the teacher's layer of each of the student's.
    mask: 1 for a token, 0 for padding.
    weight: of each example; None for 1.
    averaging: see `losses`.
    relation_heads: of the term `relations`.
  """

  student: Model | Classifier
  teacher: Model | Classifier
  params: Mapping[str, Any]
  ours: Outputs
  theirs: Outputs
  layers: LayerMap
  mask: AnyArray
  weight: AnyArray | None
  averaging: Averaging
  relation_heads: int | None

  def mapped(self) -> list[tuple[int, int]]:
    """Returns the pairs of layers, the student's and the teacher's."""
    return list(enumerate(self.layers, start=1))

  def heads(self) -> tuple[int, int]:
    """Returns the attention heads of student and teacher."""
    return self.student.config.num_attention_heads, self.teacher.config.num_attention_heads


def _embedding(pair: Pair) -> Parts:
  hidden, projection = _projected(pair, pair.ours.hidden_states[0], "embedding")
  theirs = pair.theirs.hidden_states[0]
  return {None: embedding_loss(hidden, theirs, pair.mask, pair.weight, averaging=pair.averaging, **projection)}


def _hidden(pair: Pair) -> Parts:
  parts: Parts = {}
  for m, n in pair.mapped():
    hidden, projection = _projected(pair, pair.ours.hidden_states[m], "hidden")
    theirs = pair.theirs.hidden_states[n]
    parts[m] = hidden_loss(hidden, theirs, pair.mask, pair.weight, averaging=pair.averaging, **projection)
  return parts


def _attention(pair: Pair) -> Parts:
  if pair.ours.score_errors:
    heads = pair.student.config.num_attention_heads
    errors = enumerate(pair.ours.score_errors, start=1)
    return {m: summed_attention_loss(error, heads, pair.mask, pair.weight) for m, error in errors}
  number = len(pair.layers)
  both = zip(pair.ours.attention_scores[:number], pair.theirs.attention_scores[:number], strict=True)
  return {
    m: attention_loss(ours, theirs, pair.mask, pair.weight, averaging=pair.averaging)
    for m, (ours, theirs) in enumerate(both, start=1)
  }


def _relations(pair: Pair) -> Parts:
  assert pair.relation_heads is not None  # `choose_terms` gives them with the term
  heads = pair.relation_heads, pair.relation_heads
  return {name: _relation(pair, name, name, heads) for name in ("queries", "keys", "values")}


def _distribution(pair: Pair) -> Parts:
  if not pair.ours.attention_scores:  # fused attention is of models whose scores come from queries and keys alone
    return {None: _relation(pair, "queries", "keys", pair.heads())}
  ours, theirs = pair.ours.attention_scores[-1], pair.theirs.attention_scores[-1]
  return {None: distribution_loss(ours, theirs, pair.mask, pair.weight)}


def _value_relation(pair: Pair) -> Parts:
  return {None: _relation(pair, "values", "values", pair.heads())}


def _cosine(pair: Pair) -> Parts:
  m, n = pair.mapped()[-1]
  hidden, projection = _widened(pair, pair.ours.hidden_states[m])
  return {None: cosine_loss(hidden, pair.theirs.hidden_states[n], pair.mask, pair.weight, **projection)}


def _pooled(pair: Pair) -> Parts:
  parts: Parts = {}
  for m, n in pair.mapped():
    hidden, projection = _widened(pair, pair.ours.hidden_states[m][:, :1])
    theirs = pair.theirs.hidden_states[n][:, :1]
    parts[m] = pooled_loss(hidden, theirs, pair.mask[:, :1], pair.weight, **projection)
  return parts


FUNCTIONS: dict[TermName, Callable[[Pair], Parts]] = {
  "embedding": _embedding,
  "hidden": _hidden,
  "attention": _attention,
  "relations": _relations,
  "distribution": _distribution,
  "value_relation": _value_relation,
  "cosine": _cosine,
  "pooled": _pooled,
}


def _relation(pair: Pair, queries: str, keys: str, heads: tuple[int, int]) -> WeightedSum:
  """Returns the divergence of softmax(ABᵀ/√d) for two of queries, keys and values, split into heads of either side."""
  scores = []
  for model, outputs, number in zip((pair.student, pair.teacher), (pair.ours, pair.theirs), heads, strict=True):
    a, b = (split_heads(getattr(outputs, name)[0], number) for name in (queries, keys))
    product = products.einsum("bqhd,bkhd->bhqk", a, b, getattr(model, "dtype", jnp.float32))
    scores.append(product / jnp.sqrt(a.shape[-1]))
  return distribution_loss(scores[0], scores[1], pair.mask, pair.weight)


def _widened(pair: Pair, hidden: Array) -> tuple[Array, dict[str, Array | None]]:
  """Returns hidden states and their projection, which is that of the term `hidden`; none for equal widths."""
  if hidden.shape[-1] == pair.teacher.config.hidden_size:
    return hidden, {}
  return _projected(pair, hidden, "hidden")


def _projected(pair: Pair, hidden: Array, name: str) -> tuple[Array, dict[str, Array | None]]:
  """Returns hidden states and the projection that the loss is to apply; none where it is applied here."""
  projections = pair.params.get("projections", {})
  chosen = projections.get("shared") or projections.get(name) or {}
  kernel, bias = chosen.get("kernel"), chosen.get("bias")
  dtype = getattr(pair.student, "dtype", jnp.float32)
  if kernel is None or not products.is_rounded(dtype):
    return hidden, {"projection": kernel, "bias": bias}
  projected = products.dense(hidden, kernel, dtype)
  return projected if bias is None else projected + bias, {}

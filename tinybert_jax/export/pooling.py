"""Vectors of texts as ONNX nodes; see the module of that name in `models`.

Shapes: B batch, L length, D width.
"""

from collections.abc import Callable

from tinybert_jax.errors import InputError
from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.export.layers import activate
from tinybert_jax.export.weights import dense
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.sentence_head import DenseLayer

_SHORTEST = {"float32": 1e-12, "float16": 1e-4}  # norms; shorter vectors are divided by them


def add_sentence(graph: Graph, config: EncoderConfig, hidden: Value, mask: Value) -> None:
  """Adds the output `sentence_embedding` of a sentence encoder, B×E."""
  head = config.sentence
  if head is None:
    raise InputError("a sentence encoder needs a configuration whose `sentence` says how texts are pooled")
  weights = graph.node("Unsqueeze", graph.cast(mask, graph.dtype), graph.whole(-1))
  pooled = [_MODES[mode](graph, hidden, weights) for mode in head.pooling]
  x = pooled[0] if len(pooled) == 1 else graph.node("Concat", *pooled, axis=-1)
  number = 0
  for layer in head.layers:
    if isinstance(layer, DenseLayer):
      x = activate(graph, layer.activation, dense(graph, f"dense_{number}", x))
      number += 1
    else:
      norm = graph.node("ReduceL2", x, graph.whole(-1))
      x = graph.node("Div", x, graph.node("Max", norm, graph.number(_SHORTEST[graph.dtype.name])))
  graph.output("sentence_embedding", x, ("batch", head.width(config.hidden_size)))


def mean(graph: Graph, hidden: Value, mask: Value) -> Value:
  """Adds the mean of the tokens' hidden states, B×D."""
  return _mean(graph, hidden, graph.node("Unsqueeze", graph.cast(mask, graph.dtype), graph.whole(-1)))


def _sum(graph: Graph, x: Value) -> Value:
  return graph.node("ReduceSum", x, graph.whole(1), keepdims=0)


def _count(graph: Graph, weights: Value) -> Value:
  return graph.node("Max", _sum(graph, weights), graph.number(1))


def _mean(graph: Graph, hidden: Value, weights: Value) -> Value:
  return graph.node("Div", _sum(graph, graph.node("Mul", hidden, weights)), _count(graph, weights))


def _mean_by_root(graph: Graph, hidden: Value, weights: Value) -> Value:
  total = _sum(graph, graph.node("Mul", hidden, weights))
  return graph.node("Div", total, graph.node("Sqrt", _count(graph, weights)))


def _mean_by_place(graph: Graph, hidden: Value, weights: Value) -> Value:
  """Adds the mean with each token's number in the text, from 1, as its weight."""
  places = graph.node("CumSum", weights, graph.index(1))
  return _mean(graph, hidden, graph.node("Mul", places, weights))


def _at_largest(graph: Graph, hidden: Value, places: Value) -> Value:
  """Adds the hidden state of the token whose place is the largest; 0 where none is above 0."""
  largest = graph.node("ReduceMax", places, graph.whole(1))
  is_there = graph.node("Greater", largest, graph.number(0))
  chosen = graph.node("And", graph.node("Equal", places, largest), is_there)
  return _sum(graph, graph.node("Mul", hidden, graph.cast(chosen, graph.dtype)))


def _last(graph: Graph, hidden: Value, weights: Value) -> Value:
  places = graph.node("CumSum", weights, graph.index(1))
  return _at_largest(graph, hidden, graph.node("Mul", places, weights))


def _first(graph: Graph, hidden: Value, weights: Value) -> Value:
  places = graph.node("CumSum", weights, graph.index(1), reverse=1)
  return _at_largest(graph, hidden, graph.node("Mul", places, weights))


def _largest(graph: Graph, hidden: Value, weights: Value) -> Value:
  is_token = graph.node("Greater", weights, graph.number(0))
  lowest = graph.number(-1e38 if graph.dtype == "float32" else -65504)
  largest = graph.node("ReduceMax", graph.node("Where", is_token, hidden, lowest), graph.whole(1), keepdims=0)
  some = graph.node("ReduceMax", weights, graph.whole(1), keepdims=0)
  return graph.node("Mul", largest, some)


_MODES: dict[str, Callable[[Graph, Value, Value], Value]] = {
  "cls": _first,
  "max": _largest,
  "mean": _mean,
  "mean_sqrt_len_tokens": _mean_by_root,
  "weightedmean": _mean_by_place,
  "lasttoken": _last,
}

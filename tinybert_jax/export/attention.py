"""Multi-head self-attention as ONNX nodes, as each family has it.

Shapes: B batch, L length, Q tokens that are computed, D hidden size, H heads, K head size, S relative positions.
"""

import dataclasses
import math

import numpy as np

from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.export.relative_positions import Distance
from tinybert_jax.export.weights import dense
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.family_settings import DebertaSettings

_OF_HEADS, _OF_KEYS = (0, 2, 1, 3), (0, 2, 3, 1)  # B×L×H×K to B×H×L×K, and to B×H×K×L


@dataclasses.dataclass(frozen=True)
class Surroundings:
  """What a layer reads besides its input.

  Attributes:
    mask: B×L, 1 for a token and 0 for padding.
    masked: what is added to the scores, of `masking`.
    distance: what attention reads of positions.
    first_only: compute the layer for the first token alone, so that Q is 1; `masked` is of that one query too.
  """

  mask: Value
  masked: Value
  distance: Distance
  first_only: bool


def masking(graph: Graph, config: EncoderConfig, mask: Value, distance: Distance) -> Value:
  """Adds what is added to a layer's scores so that none attends to padding: 0, or a huge negative number.

  It is B×1×1×L, or B×1×L×L where it depends on the query. onnxruntime knows this way of writing it, and joins attention
  to one operator.
  """
  mask = graph.cast(mask, graph.dtype)
  rows = graph.node("Unsqueeze", graph.node("Unsqueeze", mask, graph.whole(1)), graph.whole(2))
  if config.family.attention == "disentangled":  # whose padding attends to no token, and to all places alike
    rows = graph.node("Mul", rows, graph.node("Unsqueeze", mask, graph.whole(1, 3)))
  if distance.near is not None:
    rows = graph.node("Mul", rows, graph.cast(distance.near, graph.dtype))
  return graph.node("Mul", graph.node("Sub", graph.number(1), rows), graph.number(_lowest(graph)))


def _lowest(graph: Graph) -> float:
  """Returns a number that any score disappears beside; half of what float16 holds, so that their sum is finite."""
  return float(np.finfo(np.float32).min) if graph.dtype == np.float32 else float(np.finfo(np.float16).min) / 2


def attend(graph: Graph, config: EncoderConfig, x: Value, around: Surroundings) -> Value:
  """Adds multi-head self-attention without the residual, B×Q×D, of queries, keys and values made of `x`, B×L×D."""
  distance, first_only = around.distance, around.first_only
  with graph.at("attention"):
    asking = graph.first(x, 1) if first_only else x
    query, key, value = (dense(graph, name, of) for name, of in (("query", asking), ("key", x), ("value", x)))
    query_BxHxQxK = _turned(graph, config, _split(graph, config, query, _OF_HEADS), distance, first_only)
    if distance.rotation is None:
      key_BxHxKxL = _split(graph, config, key, _OF_KEYS)
    else:
      turned = _turned(graph, config, _split(graph, config, key, _OF_HEADS), distance, False)
      key_BxHxKxL = graph.node("Transpose", turned, perm=[0, 1, 3, 2])
    divisor = graph.number(math.sqrt(config.head_size * _score_parts(config)))
    scores = graph.node("Div", graph.node("MatMul", query_BxHxQxK, key_BxHxKxL), divisor)
    if distance.bias is not None:
      scores = graph.node("Add", scores, graph.first(distance.bias, 2) if first_only else distance.bias)
    for bias in _disentangled(graph, config, query_BxHxQxK, key, distance, first_only):
      scores = graph.node("Add", scores, graph.node("Div", bias, divisor))
    probabilities = graph.node("Softmax", graph.node("Add", scores, around.masked), axis=-1)
    context = graph.node("MatMul", probabilities, _split(graph, config, value, _OF_HEADS))
    merged = graph.reshape(graph.node("Transpose", context, perm=_OF_HEADS), 0, 0, config.hidden_size)
    return dense(graph, "output", merged)


def _score_parts(config: EncoderConfig) -> int:
  """Of how many products a score is the sum, by which DeBERTa scales it."""
  return 1 + len(getattr(config.settings, "pos_att_type", ()))


def _split(graph: Graph, config: EncoderConfig, x: Value, order: tuple[int, ...]) -> Value:
  heads = graph.reshape(x, 0, 0, config.num_attention_heads, config.head_size)
  return graph.node("Transpose", heads, perm=order)


def _turned(graph: Graph, config: EncoderConfig, x: Value, distance: Distance, first_only: bool) -> Value:
  """Adds queries or keys, B×H×L×K, turned by their position, which for the first token is 0."""
  if distance.rotation is None or first_only:
    return x
  cosine, sine = distance.rotation
  half = config.head_size // 2
  first, second = graph.nodes("Split", x, graph.whole(half, half), outputs=2, axis=-1)
  across = graph.node("Concat", graph.node("Neg", second), first, axis=-1)
  return graph.node("Add", graph.node("Mul", x, cosine), graph.node("Mul", across, sine))


def _disentangled(
  graph: Graph, config: EncoderConfig, query: Value, key: Value, distance: Distance, first_only: bool
) -> list[Value]:
  """Adds DeBERTa's scores of content and position, B×H×Q×L each, not yet scaled.

  Args:
    graph: to add them to.
    config: of the model.
    query: B×H×Q×K.
    key: B×L×D, heads merged.
    distance: what the layer reads of positions.
    first_only: whether Q is the first token alone.
  """
  settings, embeddings = config.settings, distance.embeddings
  if embeddings is None or distance.bucket is None or not isinstance(settings, DebertaSettings):
    return []
  batch, length = graph.node("Shape", key, end=1), graph.node("Shape", key, start=1, end=2)
  queries = graph.whole(1) if first_only else length
  bucket = graph.until(distance.bucket, queries)  # Q×L
  found = []

  def of_positions(name: str, shared: str) -> Value:
    """Adds a projection of the positions' embeddings, H×S×K."""
    projected = dense(graph, shared if settings.share_att_key else name, embeddings)
    heads = graph.reshape(projected, -1, config.num_attention_heads, config.head_size)
    return graph.node("Transpose", heads, perm=[1, 2, 0])

  def gather(scores: Value, rows: Value, shape: tuple[Value, Value]) -> Value:
    whole = graph.node("Concat", batch, graph.whole(config.num_attention_heads), *shape, axis=0)
    return graph.node("GatherElements", scores, graph.node("Expand", rows, whole), axis=-1)

  if "c2p" in settings.pos_att_type:
    to_position_BxHxQxS = graph.node("MatMul", query, of_positions("position_key", "key"))
    found.append(gather(to_position_BxHxQxS, bucket, (queries, length)))
  if "p2c" in settings.pos_att_type:
    key_BxHxLxK = _split(graph, config, key, _OF_HEADS)
    to_position_BxHxLxS = graph.node("MatMul", key_BxHxLxK, of_positions("position_query", "query"))
    # The bucket from key to query is the mirror image of that from query to key: -(i - j) = j - i.
    of_keys = gather(to_position_BxHxLxS, graph.node("Transpose", bucket, perm=[1, 0]), (length, queries))
    found.append(graph.node("Transpose", of_keys, perm=[0, 1, 3, 2]))
  return found

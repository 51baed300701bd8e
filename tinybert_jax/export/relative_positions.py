"""What attention knows of how far apart two tokens are, as ONNX nodes; see the module of that name in `models`.

What a pair of tokens has depends on their distance alone. So a table by distance is written, and the graph looks up in
it with a matrix of distances as large as the text.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.export.layers import layer_norm
from tinybert_jax.export.weights import table
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.family_settings import DebertaSettings, ModernBertSettings
from tinybert_jax.models.relative_positions import distance_biases, distance_embeddings, frequencies


@dataclasses.dataclass(frozen=True)
class Distance:
  """What the attention of one layer reads of positions; None for what its family does not have.

  Attributes:
    bias: added to the scores, 1×H×L×L.
    rotation: cosines and sines that queries and keys are turned by, L×K each.
    near: 1 for a query and a key that is near enough to be attended to, else 0; L×L whole numbers.
    embeddings: of relative positions, S×D.
    bucket: the row of `embeddings` for a query and a key, L×L.
  """

  bias: Value | None = None
  rotation: tuple[Value, Value] | None = None
  near: Value | None = None
  embeddings: Value | None = None
  bucket: Value | None = None


def distances(graph: Graph, config: EncoderConfig, length: Value) -> list[Distance]:
  """Adds what each layer reads; `length` is a list of one number."""
  return _KINDS[config.family.attention](graph, config, length)


def _none(graph: Graph, config: EncoderConfig, length: Value) -> list[Distance]:
  return [Distance()] * config.num_hidden_layers


def _biased(graph: Graph, config: EncoderConfig, length: Value) -> list[Distance]:
  with graph.at("relative_positions"):
    bias = graph.parameters[graph.path("bias/embedding")].astype(graph.dtype)
    by_distance = graph.weight(graph.path("bias by distance"), bias[distance_biases(_all(config))])
    found = graph.node("Gather", by_distance, _apart(graph, config, length))
    heads_first = graph.node("Transpose", found, perm=[2, 0, 1])
    return [Distance(bias=graph.node("Unsqueeze", heads_first, graph.whole(0)))] * config.num_hidden_layers


def _rotary(graph: Graph, config: EncoderConfig, length: Value) -> list[Distance]:
  settings = config.settings
  assert isinstance(settings, ModernBertSettings)
  with graph.at("relative_positions"):
    ends = graph.index(0), graph.node("Squeeze", length), graph.index(1)
    places = graph.node("Unsqueeze", graph.cast(graph.node("Range", *ends), np.float32), graph.whole(1))

    def rotation(base: float) -> tuple[Value, Value]:
      frequency = graph.weight(graph.path(f"frequencies {base}"), np.tile(frequencies(config.head_size, base), 2))
      angle = graph.node("Mul", places, frequency)
      return graph.cast(graph.node("Cos", angle), graph.dtype), graph.cast(graph.node("Sin", angle), graph.dtype)

    is_near = (np.abs(_all(config)) <= settings.local_attention // 2).astype(np.int64)
    near = graph.weight(graph.path("near by distance"), is_near)
    local = Distance(
      rotation=rotation(settings.local_rope_theta), near=graph.node("Gather", near, _apart(graph, config, length))
    )
    everywhere = Distance(rotation=rotation(settings.global_rope_theta))
  return [everywhere if settings.is_global(m) else local for m in range(config.num_hidden_layers)]


def _disentangled(graph: Graph, config: EncoderConfig, length: Value) -> list[Distance]:
  settings = config.settings
  assert isinstance(settings, DebertaSettings)
  if not settings.relative_attention:
    return _none(graph, config, length)
  with graph.at("relative_positions"):
    embeddings = table(graph, "embeddings")
    if "layer_norm" in settings.norm_rel_ebd:
      embeddings = layer_norm(graph, config, "layer_norm", embeddings)
    buckets = distance_embeddings(_all(config), settings, config.max_position_embeddings)
    by_distance = graph.weight(graph.path("buckets by distance"), buckets.astype(np.int64))
    bucket = graph.node("Gather", by_distance, _apart(graph, config, length))
  return [Distance(embeddings=embeddings, bucket=bucket)] * config.num_hidden_layers


_KINDS: dict[str, Callable[[Graph, EncoderConfig, Value], list[Distance]]] = {
  "plain": _none,
  "biased": _biased,
  "rotary": _rotary,
  "disentangled": _disentangled,
}


def _all(config: EncoderConfig) -> np.ndarray:
  """Returns all distances that two tokens can have, key - query, from the least."""
  return np.arange(1 - config.longest, config.longest)


def _apart(graph: Graph, config: EncoderConfig, length: Value) -> Value:
  """Adds where the distance of a query and a key stands among all distances, L×L."""
  places = graph.node("Range", graph.index(0), graph.node("Squeeze", length), graph.index(1))
  queries = graph.node("Unsqueeze", places, graph.whole(1))
  return graph.node("Add", graph.node("Sub", places, queries), graph.index(config.longest - 1))

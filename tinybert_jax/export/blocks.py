"""Transformer layers as ONNX nodes: attention, then feed-forward, each with a residual."""

from tinybert_jax.export.attention import Surroundings, attend
from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.export.layers import activate, layer_norm
from tinybert_jax.export.weights import convolve, dense
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.family_settings import DebertaSettings


def layer(graph: Graph, config: EncoderConfig, name: str, x: Value, around: Surroundings) -> Value:
  """Adds the layer of that name, B×L×D."""
  with graph.at(name):
    return (_before if config.family.norm == "before" else _after)(graph, config, x, around)


def _after(graph: Graph, config: EncoderConfig, x: Value, around: Surroundings) -> Value:
  """Adds a layer whose LayerNorms come after each residual."""
  attended = attend(graph, config, x, around)
  residual = graph.first(x, 1) if around.first_only else x
  middle = layer_norm(graph, config, "attention_norm", graph.node("Add", attended, residual))
  inner = activate(graph, config.hidden_act, dense(graph, "intermediate", middle))
  result = layer_norm(graph, config, "output_norm", graph.node("Add", dense(graph, "output", inner), middle))
  if graph.has("convolution/conv/kernel"):
    with graph.at("convolution"):
      result = _convolved(graph, config, x, result, around)
  return result


def _before(graph: Graph, config: EncoderConfig, x: Value, around: Surroundings) -> Value:
  """Adds a layer whose LayerNorms come before attention and the feed-forward layer, which is gated: ModernBERT's."""
  normed = layer_norm(graph, config, "attention_norm", x) if graph.has("attention_norm/scale") else x
  attended = attend(graph, config, normed, around)
  middle = graph.node("Add", graph.first(x, 1) if around.first_only else x, attended)
  normed = layer_norm(graph, config, "intermediate_norm", middle)
  inner = activate(graph, config.hidden_act, dense(graph, "intermediate", normed))
  gated = graph.node("Mul", inner, dense(graph, "gate", normed))
  return graph.node("Add", middle, dense(graph, "output", gated))


def _convolved(graph: Graph, config: EncoderConfig, before: Value, after: Value, around: Surroundings) -> Value:
  """Adds DeBERTa-v2's convolution of the first layer's input to its output; 0 for padding."""
  settings = config.settings
  assert isinstance(settings, DebertaSettings)
  is_token = graph.node("Unsqueeze", graph.cast(around.mask, graph.dtype), graph.whole(-1))
  neighbours = convolve(graph, "conv", before, groups=settings.conv_groups, width=settings.conv_kernel_size)
  if around.first_only:
    is_token, neighbours = graph.first(is_token, 1), graph.first(neighbours, 1)
  active = activate(graph, settings.conv_act, graph.node("Mul", neighbours, is_token))
  normed = layer_norm(graph, config, "layer_norm", graph.node("Add", after, active))
  return graph.node("Mul", normed, is_token)

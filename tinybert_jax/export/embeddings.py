"""The embeddings of tokens as ONNX nodes, with which an encoder begins."""

import dataclasses

from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.export.layers import layer_norm
from tinybert_jax.export.weights import dense, look_up, table
from tinybert_jax.models.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class Inputs:
  """What an encoder reads.

  Attributes:
    input_ids: B×L.
    mask: B×L, 1 for a token and 0 for padding, as the model's file gives it.
    token_type_ids: B×L; None in a model of fewer than two segments.
    length: L, as a list of one number.
  """

  input_ids: Value
  mask: Value
  token_type_ids: Value | None
  length: Value


def read_inputs(graph: Graph, config: EncoderConfig) -> Inputs:
  """Adds the inputs, under the names of Hugging Face's tokenizers."""
  names = ("input_ids", "attention_mask", *(("token_type_ids",) if config.type_vocab_size > 1 else ()))
  ids, mask, *segments = (graph.input(name, ("batch", "length")) for name in names)
  return Inputs(ids, mask, segments[0] if segments else None, graph.node("Shape", ids, start=1))


def embed(graph: Graph, config: EncoderConfig, inputs: Inputs) -> Value:
  """Adds word, position and token-type embeddings, as the family has them, summed and normalised: B×L×D."""
  with graph.at("embeddings"):
    x = look_up(graph, "word_embeddings", inputs.input_ids)
    if config.has_positions:
      x = graph.node("Add", x, _positions(graph, config, inputs))
    if config.type_vocab_size:
      with graph.at("token_type_embeddings"):
        segments = graph.parameter("embedding")
        rows = inputs.token_type_ids if inputs.token_type_ids else graph.index(0)
        x = graph.node("Add", x, graph.node("Gather", segments, rows))
    x = layer_norm(graph, config, "layer_norm", x)
    if config.family.attention == "disentangled":
      x = graph.node("Mul", x, graph.node("Unsqueeze", graph.cast(inputs.mask, graph.dtype), graph.whole(-1)))
    x = x if config.embedding_width == config.hidden_size else dense(graph, "projection", x)
    # The same shape, computed as the model runs. Where onnxruntime (1.32) knows that two shapes are the same, it joins
    # a sum and its LayerNorm. That operator takes a CPU several times as long as both: a third of a model's time.
    shape = graph.node("Concat", graph.node("Shape", inputs.input_ids), graph.whole(config.hidden_size), axis=0)
    return graph.node("Reshape", x, shape)


def _positions(graph: Graph, config: EncoderConfig, inputs: Inputs) -> Value:
  """Adds the positions' embeddings: L×D where they are counted from 0, else B×L×D."""
  if config.padding_position is None:
    return table(graph, "position_embeddings", inputs.length)
  padding = graph.index(config.padding_position)
  is_padding = graph.node("Equal", inputs.input_ids, padding)
  is_token = graph.cast(graph.node("Not", is_padding), "int64")
  counted = graph.node("Mul", graph.node("CumSum", is_token, graph.index(1)), is_token)
  return look_up(graph, "position_embeddings", graph.node("Add", counted, padding))

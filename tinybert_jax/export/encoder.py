"""An encoder with its head as an ONNX model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

import tinybert_jax
from tinybert_jax.errors import InputError
from tinybert_jax.export.attention import Surroundings, masking
from tinybert_jax.export.blocks import layer
from tinybert_jax.export.embeddings import Inputs, embed, read_inputs
from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.export.heads import head_of
from tinybert_jax.export.layers import layer_norm
from tinybert_jax.export.quantization import Quantization
from tinybert_jax.export.relative_positions import Distance, distances
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.finished import AnyModel

_LARGEST = 2**31 - 2**20  # bytes that one file of ONNX's format, protobuf, can hold, less what is not weights


def onnx_model(
  config: EncoderConfig,
  params: Mapping[str, Any],
  model_class: type[AnyModel],
  *,
  dtype: type[np.floating] = np.float32,
  quantization: Quantization | None = None,
) -> onnx.ModelProto:
  """Returns a model as ONNX, of standard operators, for any number of texts of any length that it has positions for.

  Its inputs are named as Hugging Face's tokenizers name them, and its outputs as transformers does: `logits`; of spans
  `start_logits` and `end_logits`; of an encoder `last_hidden_state`, and of one of sentences `sentence_embedding` too.
  Every product of weights has a matrix of its own on the right, which tools for quantisation look for.

  Args:
    config: of the model.
    params: its parameters.
    model_class: `Encoder`, or one with a head.
    dtype: of weights and arithmetic, float32 or float16.
    quantization: how weights become 8-bit integers; by default not.

  Raises:
    InputError: a model that is too large for one file.
  """
  graph = Graph(params, dtype=dtype, quantization=quantization)
  add_model(graph, config, model_class)
  return graph.model(f"{config.family.title} {model_class.__name__}", tinybert_jax.__version__)


def add_model(graph: Graph, config: EncoderConfig, model_class: type[AnyModel]) -> None:
  """Adds inputs, encoder, head and outputs to a graph; errors as for `onnx_model`."""
  size = sum(leaf.size for leaf in graph.parameters.values()) * (1 if graph.quantization else graph.dtype.itemsize)
  if size > _LARGEST:
    raise InputError(
      f"its weights are {size / 2**30:.1f} GiB as {graph.dtype}, and one ONNX file holds less than 2 GiB"
    )
  inputs = read_inputs(graph, config)
  head = head_of(model_class)
  if head.within == "":
    hidden = _encode(graph, config, inputs, head.reads_first(config))
  else:
    with graph.at(head.within):
      hidden = _encode(graph, config, inputs, head.reads_first(config))
  head.add(graph, config, hidden, inputs)


def _encode(graph: Graph, config: EncoderConfig, inputs: Inputs, first_only: bool) -> Value:
  """Adds embeddings and all layers: B×L×D, or B×1×D of the first token alone."""
  x = embed(graph, config, inputs)
  masks: dict[Distance, Value] = {}
  for number, distance in enumerate(distances(graph, config, inputs.length)):
    if distance not in masks:
      masks[distance] = masking(graph, config, inputs.mask, distance)
    is_first = first_only and number == config.num_hidden_layers - 1
    masked = graph.first(masks[distance], 2) if is_first and _by_query(config, distance) else masks[distance]
    x = layer(graph, config, f"layers_{number}", x, Surroundings(inputs.mask, masked, distance, is_first))
  return layer_norm(graph, config, "final_norm", x) if graph.has("final_norm/scale") else x


def _by_query(config: EncoderConfig, distance: Distance) -> bool:
  return config.family.attention == "disentangled" or distance.near is not None

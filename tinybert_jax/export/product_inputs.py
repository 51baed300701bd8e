"""How large the inputs of each product are, on batches of texts."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx

import tinybert_jax
from tinybert_jax.export.encoder import add_model
from tinybert_jax.export.graph import Graph
from tinybert_jax.export.session import Session
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.finished import AnyModel


def largest_inputs(
  config: EncoderConfig,
  params: Mapping[str, Any],
  model_class: type[AnyModel],
  batches: Iterable[Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """Returns the largest absolute input of each product in each channel, by the Flax path of its kernel.

  Args:
    config: of the model.
    params: its parameters.
    model_class: of the model.
    batches: of token ids, with masks; padding counts too, as it does when the model runs.
  """
  graph = Graph(params)
  add_model(graph, config, model_class)
  model = graph.model("inputs of products", tinybert_jax.__version__)
  del model.graph.output[:]
  names = list(dict.fromkeys(name for read in graph.reads.values() for name in read))
  outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
  model.graph.output.extend(outputs)
  session, largest = Session(model.SerializeToString()), dict[str, np.ndarray]()
  for batch in batches:
    for name, values in zip(names, session(batch), strict=True):
      channels = np.abs(values).reshape(-1, values.shape[-1]).max(0)
      largest[name] = np.maximum(largest[name], channels) if name in largest else channels
  return {path: np.max([largest[name] for name in read], axis=0) for path, read in graph.reads.items()}

"""LayerNorm and activations as ONNX nodes, and what encoders compute of whole numbers."""

from collections.abc import Callable

from tinybert_jax.errors import InputError
from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.models.config import EncoderConfig


def layer_norm(graph: Graph, config: EncoderConfig, name: str, x: Value) -> Value:
  """Adds the LayerNorm of that name; its statistics are float32."""
  with graph.at(name):
    parameters = [graph.parameter(each) for each in ("scale", "bias") if graph.has(each)]
    return graph.node("LayerNormalization", x, *parameters, axis=-1, epsilon=config.layer_norm_eps)


def _sigmoid_product(graph: Graph, x: Value, factor: float = 1) -> Value:
  inner = x if factor == 1 else graph.node("Mul", x, graph.number(factor))
  return graph.node("Mul", x, graph.node("Sigmoid", inner))


def _square(graph: Graph, x: Value) -> Value:
  return graph.node("Mul", x, x)


# As in `models.activations`, under the names of Hugging Face's ACT2FN.
ACTIVATIONS: dict[str, Callable[[Graph, Value], Value]] = {
  "gelu": lambda graph, x: graph.node("Gelu", x),
  "gelu_python": lambda graph, x: graph.node("Gelu", x),
  "gelu_new": lambda graph, x: graph.node("Gelu", x, approximate="tanh"),
  "gelu_fast": lambda graph, x: graph.node("Gelu", x, approximate="tanh"),
  "gelu_pytorch_tanh": lambda graph, x: graph.node("Gelu", x, approximate="tanh"),
  "quick_gelu": lambda graph, x: _sigmoid_product(graph, x, 1.702),
  "relu": lambda graph, x: graph.node("Relu", x),
  "relu2": lambda graph, x: _square(graph, graph.node("Relu", x)),
  "relu6": lambda graph, x: graph.node("Clip", x, graph.number(0), graph.number(6)),
  "leaky_relu": lambda graph, x: graph.node("LeakyRelu", x, alpha=0.01),
  "silu": _sigmoid_product,
  "swish": _sigmoid_product,
  "mish": lambda graph, x: graph.node("Mish", x),
  "sigmoid": lambda graph, x: graph.node("Sigmoid", x),
  "tanh": lambda graph, x: graph.node("Tanh", x),
  "linear": lambda graph, x: x,
}


def activate(graph: Graph, name: str, x: Value) -> Value:
  """Adds ACT2FN's `name`; InputError for an unknown one."""
  if name not in ACTIVATIONS:
    raise InputError(f"hidden_act {name!r} is not supported; there are {', '.join(ACTIVATIONS)}")
  return ACTIVATIONS[name](graph, x)

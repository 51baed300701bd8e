"""Products and look-ups of weights in an ONNX graph, with weights as they are or as 8-bit integers."""

import hashlib

import numpy as np

from tinybert_jax.export.graph import Graph, Value


def dense(graph: Graph, name: str, x: Value, *, whole: bool = False) -> Value:
  """Adds the dense layer of that name: x·kernel, and a bias where the model has one; `whole` is never quantised."""
  with graph.at(name):
    graph.reads.setdefault(graph.path("kernel"), []).append(x)
    if whole or not _is_quantized(graph, "kernel"):
      product = graph.node("MatMul", x, graph.parameter("kernel"))
    else:
      matrix = _integers(graph, "kernel", axis=0)
      product = _integer_product(graph, _balanced(graph, x), *matrix)
    return graph.node("Add", product, graph.parameter("bias")) if graph.has("bias") else product


def look_up(graph: Graph, name: str, rows: Value) -> Value:
  """Adds the rows of an embedding, by their numbers."""
  with graph.at(name):
    if not _is_quantized(graph, "embedding"):
      return graph.node("Gather", graph.parameter("embedding"), rows)
    table, scale = _integers(graph, "embedding", axis=1)
    found = graph.cast(graph.node("Gather", table, rows), graph.dtype)
    return graph.node("Mul", found, graph.node("Gather", scale, rows) if _scales(graph) else scale)


def table(graph: Graph, name: str, rows: Value | None = None) -> Value:
  """Adds a whole embedding, or its first rows; `rows` is a list of their number."""
  with graph.at(name):
    if not _is_quantized(graph, "embedding"):
      whole = graph.parameter("embedding")
      return whole if rows is None else graph.until(whole, rows)
    integers, scale = _integers(graph, "embedding", axis=1)
    if rows is not None:
      integers = graph.until(integers, rows)
      scale = graph.until(scale, rows) if _scales(graph) else scale
    return graph.node("Mul", graph.cast(integers, graph.dtype), scale)


def similarities(graph: Graph, name: str, x: Value) -> Value:
  """Adds the inner products of `x` with each row of an embedding: a masked language model's tied decoder."""
  with graph.at(name):
    if not _is_quantized(graph, "embedding"):
      return graph.node("MatMul", x, graph.node("Transpose", graph.parameter("embedding"), perm=[1, 0]))
    integers, scale = _integers(graph, "embedding", axis=1)
    scale = graph.reshape(scale, -1) if _scales(graph) else scale
    return _integer_product(graph, x, graph.node("Transpose", integers, perm=[1, 0]), scale)


def convolve(graph: Graph, name: str, x: Value, *, groups: int, width: int) -> Value:
  """Adds the convolution of that name over the tokens of B×L×D, padded with 0 at both ends; in floating point."""
  with graph.at(name):
    path = graph.path("kernel")
    kernel = graph.weight(path, graph.parameters[path].transpose(2, 1, 0).astype(graph.dtype))
    channels_first = graph.node("Transpose", x, perm=[0, 2, 1])
    ends = [width // 2, width // 2]
    result = graph.node("Conv", channels_first, kernel, graph.parameter("bias"), group=groups, pads=ends)
    return graph.node("Transpose", result, perm=[0, 2, 1])


def _is_quantized(graph: Graph, name: str) -> bool:
  return graph.quantization is not None and not graph.path(name).startswith(graph.quantization.kept)


def _scales(graph: Graph) -> bool:
  return graph.quantization is not None and graph.quantization.per_channel


def _integers(graph: Graph, name: str, axis: int) -> tuple[Value, Value]:
  """Adds the integers and scales of a parameter of the module here."""
  assert graph.quantization is not None
  path = graph.path(name)
  weights, by = graph.parameters[path], graph.quantization.balance(path)
  integers, scale = graph.quantization.integers(weights if by is None else weights * by[:, None], axis)
  return graph.weight(f"{path} integers", integers), graph.weight(f"{path} scale", scale)


def _balanced(graph: Graph, x: Value) -> Value:
  """Adds the input of the product here with its channels made alike in size, where the quantization does that."""
  assert graph.quantization is not None
  by = graph.quantization.balance(graph.path("kernel"))
  if by is None:
    return x
  # Named by its numbers: products of the same input have the same, and share it and its integers.
  name = f"balance {hashlib.sha256(by.tobytes()).hexdigest()[:16]}"
  (balanced,) = graph.once("Mul", x, graph.weight(name, 1 / by))
  return balanced


def _integer_product(graph: Graph, x: Value, matrix: Value, scale: Value) -> Value:
  """Adds x·(matrix·scale), with the integers nearest to `x`: what onnxruntime joins to MatMulIntegerToFloat."""
  nearest, its_scale, zero = graph.once("DynamicQuantizeLinear", x, outputs=3)
  exact = graph.node("MatMulInteger", nearest, matrix, zero, graph.weight("int8 zero", np.zeros((), np.int8)))
  return graph.node("Mul", graph.cast(exact, np.float32), graph.node("Mul", its_scale, scale))

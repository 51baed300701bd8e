"""An ONNX graph that is written node by node, with its weights."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from flax import traverse_util
from onnx import helper, numpy_helper

from tinybert_jax.export.quantization import Quantization

Value = str  # the name of what a node gives

# Opset 20 is the first with Gelu, and LayerNormalization has been there since 17. It came with version 9 of the file
# format, which onnxruntime reads from 1.17 on.
OPSET, _FORMAT = 20, 9
_INT64_MAX = 2**63 - 1


class Graph:
  """A graph under construction: each method adds nodes and returns the name of what they give.

  Parameters are found by the Flax path at which the graph stands, see `at`; nodes are named by it too.

  Attributes:
    dtype: of the weights and of what is computed, float32 or float16.
    quantization: how weights become integers; None where they do not.
    reads: what each product of a kernel reads, by the kernel's path.
    parameters: by Flax path.
  """

  def __init__(
    self,
    params: Mapping[str, Any],
    *,
    dtype: type[np.floating] = np.float32,
    quantization: Quantization | None = None,
  ):
    self.dtype, self.quantization = np.dtype(dtype), quantization
    self.parameters = {path: np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(params, sep="/").items()}
    self.reads: dict[str, list[Value]] = {}
    self._nodes: list[onnx.NodeProto] = []
    self._weights: dict[str, np.ndarray] = {}
    self._scope: list[str] = []
    self._shared: dict[tuple[str, ...], list[Value]] = {}
    self._count: dict[str, int] = {}
    self._inputs: list[onnx.ValueInfoProto] = []
    self._outputs: list[onnx.ValueInfoProto] = []

  @contextlib.contextmanager
  def at(self, name: str) -> Iterator[None]:
    """Stands at a module below the present one while the block runs."""
    self._scope.append(name)
    yield
    self._scope.pop()

  def path(self, name: str) -> str:
    """Returns the Flax path of what is called so here."""
    return "/".join([*self._scope, name])

  def has(self, name: str) -> bool:
    """Returns whether the module here has a parameter of that name."""
    return self.path(name) in self.parameters

  def node(self, operator: str, *inputs: Value, **attributes: Any) -> Value:
    """Adds an operator of one output."""
    (output,) = self.nodes(operator, *inputs, outputs=1, **attributes)
    return output

  def nodes(self, operator: str, *inputs: Value, outputs: int, **attributes: Any) -> list[Value]:
    """Adds an operator of several outputs."""
    name = self._unused(self.path(operator))
    values = [name if number == 0 else f"{name}:{number}" for number in range(outputs)]
    self._nodes.append(helper.make_node(operator, inputs, values, name=name, **attributes))
    return values

  def once(self, operator: str, *inputs: Value, outputs: int = 1) -> list[Value]:
    """Adds an operator without attributes; the same operator of the same values again is the same node."""
    if (operator, *inputs) not in self._shared:
      self._shared[operator, *inputs] = self.nodes(operator, *inputs, outputs=outputs)
    return self._shared[operator, *inputs]

  def weight(self, name: str, value: np.ndarray) -> Value:
    """Adds an array under a name; the same name again means the same array."""
    self._weights.setdefault(name, value)
    return name

  def parameter(self, name: str) -> Value:
    """Adds a parameter of the module here, in the graph's dtype."""
    path = self.path(name)
    return self.weight(path, self.parameters[path].astype(self.dtype))

  def number(self, value: float) -> Value:
    """Adds a number in the graph's dtype."""
    return self.weight(f"number {value}", np.asarray(value, self.dtype))

  def whole(self, *values: int) -> Value:
    """Adds a list of whole numbers, such as a shape or axes."""
    return self.weight(f"whole {','.join(map(str, values))}", np.asarray(values, np.int64))

  def index(self, value: int) -> Value:
    """Adds a whole number."""
    return self.weight(f"index {value}", np.asarray(value, np.int64))

  def cast(self, x: Value, dtype: Any) -> Value:
    return self.node("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

  def reshape(self, x: Value, *shape: int) -> Value:
    """Adds a reshape; 0 keeps an axis, and -1 takes what is left."""
    return self.node("Reshape", x, self.whole(*shape))

  def first(self, x: Value, axis: int) -> Value:
    """Adds what stands first on an axis, which stays, of length 1."""
    return self.node("Slice", x, self.whole(0), self.whole(1), self.whole(axis))

  def until(self, x: Value, end: Value) -> Value:
    """Adds the first rows of a table; `end` is a list of one number."""
    return self.node("Slice", x, self.whole(0), end, self.whole(0))

  def input(self, name: str, shape: tuple[str, ...]) -> Value:
    """Adds an input of whole numbers with named axes."""
    self._inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape))
    return name

  def output(self, name: str, value: Value, shape: tuple[str | int, ...]) -> None:
    """Gives a value out under a name, in float32."""
    value = value if self.dtype == np.float32 else self.cast(value, np.float32)
    self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output {name}"))
    self._outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))

  def model(self, title: str, producer_version: str) -> onnx.ModelProto:
    """Returns the finished graph."""
    read = {name for node in self._nodes for name in node.input}
    weights = [numpy_helper.from_array(value, name) for name, value in self._weights.items() if name in read]
    graph = helper.make_graph(self._nodes, title, self._inputs, self._outputs, weights)
    return helper.make_model(
      graph,
      opset_imports=[helper.make_opsetid("", OPSET)],
      ir_version=_FORMAT,
      producer_name="tinybert_jax",
      producer_version=producer_version,
    )

  def _unused(self, name: str) -> str:
    self._count[name] = number = self._count.get(name, 0) + 1
    return name if number == 1 else f"{name}_{number}"

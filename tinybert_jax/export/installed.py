"""Whether the packages of the extra `onnx` are installed."""

import importlib.util

from tinybert_jax.errors import InputError

_NEEDED = ("onnx", "onnxruntime", "flatbuffers")


def check_installed() -> None:
  """Raises InputError where a package is missing that models are exported with."""
  missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
  if missing:
    raise InputError(f"to export models needs {' and '.join(missing)}; run: pip install 'tinybert_jax[onnx]'")

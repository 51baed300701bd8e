"""Files of weights, read as arrays: safetensors, PyTorch's .bin and Flax's msgpack, whole or in shards."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import serialization, traverse_util
from safetensors import safe_open

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import check_is_no_pointer, read_json

# Numbers that need scales of their own, which no plain BERT file has.
_TOO_SMALL = ("F8_", "F6_", "F4", "float8_", "float6_", "float4_")
_OTHER_FORMATS = ("tf_model.h5", "model.ckpt.index", "bert_model.ckpt.index", "adapter_model.safetensors")


def read_tensors(directory: Path) -> dict[str, np.ndarray]:
  """Returns all tensors of a model directory in PyTorch's shapes, by their names in the file.

  Read is the first of `model.safetensors`, `pytorch_model.bin` (through PyTorch's `weights_only` loader) and
  `flax_model.msgpack` that is there, each whole or by its index of shards. Nothing is unpickled.

  Raises:
    InputError: no such file, a damaged one, or one of numbers that are no weights.
  """
  for file, read in _READERS.items():
    if (directory / file).is_file():
      return read(directory / file)
    index = directory / f"{file}.index.json"
    if index.is_file():
      tensors: dict[str, np.ndarray] = {}
      for shard in _shards(index):
        tensors |= read(shard)
      return tensors
  found = [file for file in _OTHER_FORMATS if (directory / file).is_file()]
  hint = f"; {found[0]} is not read, so save the model with transformers as safetensors" if found else ""
  raise InputError(
    f"{directory}: no weights there (model.safetensors, pytorch_model.bin, flax_model.msgpack, or an index of "
    f"shards){hint}"
  )


def check_file(path: Path) -> None:
  """Raises InputError where a file is the pointer that Git LFS leaves in place of a large file."""
  with path.open("rb") as file:
    check_is_no_pointer(path, file.read(100))


def is_floating(array: np.ndarray) -> bool:
  """Returns whether an array holds floating-point numbers of at least 16 bits."""
  return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _shards(index: Path) -> list[Path]:
  weight_map = read_json(index).get("weight_map")
  if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
    raise InputError(f"{index}: no weight_map from tensors to files, so the shards are not known")
  shards = sorted(set(weight_map.values()))
  for shard in shards:
    if Path(shard).name != shard:
      raise InputError(f"{index}: names the file {shard!r}, and shards must lie beside the index")
    if not (index.parent / shard).is_file():
      raise InputError(f"{index.parent / shard}: missing, and {index.name} names it")
  return [index.parent / shard for shard in shards]


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
  check_file(path)
  try:
    tensors = {}
    with safe_open(path, framework="numpy") as file:
      types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118, not a dict
      for name, dtype in types.items():
        if dtype not in ("BF16",) and not dtype.startswith(_TOO_SMALL):
          tensors[name] = file.get_tensor(name)
    if "BF16" in types.values():
      with safe_open(path, framework="flax") as file:  # "numpy" has no bfloat16
        tensors |= {name: np.asarray(file.get_tensor(name)) for name, dtype in types.items() if dtype == "BF16"}
  except Exception as error:  # its reader raises whatever a damaged header makes of it
    raise InputError(f"{path}: not a readable safetensors file ({error})") from error
  _refuse_small(path, types)
  return tensors


def _read_bin(path: Path) -> dict[str, np.ndarray]:
  check_file(path)
  try:
    import torch
  except ImportError as error:
    raise InputError(f"{path}: a .bin file needs PyTorch; install torch, or give a model.safetensors") from error
  try:
    # weights_only: tensors and nothing else; nothing in the file is run.
    state = _state_dict(torch.load(path, map_location="cpu", weights_only=True))
    state = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    types = {name: str(value.dtype).removeprefix("torch.") for name, value in state.items()}
    numbers = {name: value for name, value in state.items() if not types[name].startswith(_TOO_SMALL)}
    tensors = {
      name: (value.float() if value.dtype == torch.bfloat16 else value).numpy() for name, value in numbers.items()
    }
  except Exception as error:  # torch.load raises whatever its unpickler or zip reader does
    # PyTorch's own message advises to set weights_only=False, which would run what is in the file.
    reason = str(error).split("\n")[0].split(". ")[0][:200]
    raise InputError(f"{path}: not a readable file of PyTorch weights ({reason})") from error
  _refuse_small(path, types)
  return tensors


def _read_msgpack(path: Path) -> dict[str, np.ndarray]:
  check_file(path)
  try:
    tree = serialization.msgpack_restore(path.read_bytes())
    flat = traverse_util.flatten_dict(tree.get("params", tree), sep="/")
    arrays = {path: np.asarray(value) for path, value in flat.items()}
  except Exception as error:  # as for the other formats
    raise InputError(f"{path}: not a readable file of Flax weights ({error})") from error
  _refuse_small(path, {name: value.dtype.name for name, value in arrays.items()})
  tensors = {}
  for name, value in arrays.items():
    *parts, last = name.split("/")
    last = {"kernel": "weight", "embedding": "weight", "scale": "weight"}.get(last, last)
    tensors[".".join([*parts, last])] = value.T if name.endswith("kernel") else value
  return tensors


def _state_dict(value: Any) -> Mapping[str, Any]:
  """Returns the mapping of tensors in what training programs save: itself, or an entry of a checkpoint."""
  for name in ("state_dict", "model_state_dict", "model", "module", "net", "weights"):
    if isinstance(value, Mapping) and isinstance(value.get(name), Mapping):
      return _state_dict(value[name])
  if not isinstance(value, Mapping):
    raise TypeError(f"it holds a {type(value).__name__}, not a dictionary of tensors")
  return value


def _refuse_small(path: Path, types: Mapping[str, str]) -> None:
  for name, dtype in types.items():
    if dtype.startswith(_TOO_SMALL):
      raise InputError(f"{path}: {name} holds {dtype} numbers; weights must be float32, float16, bfloat16 or float64")


_READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
  "model.safetensors": _read_safetensors,
  "pytorch_model.bin": _read_bin,
  "flax_model.msgpack": _read_msgpack,
}

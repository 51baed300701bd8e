"""Where a model lies: a directory here, or a snapshot of the Hugging Face hub."""

import os
from pathlib import Path

from huggingface_hub import errors as hub_errors
from huggingface_hub import snapshot_download

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import read_json

_SMALL_FILES = (
  "config.json",
  "modules.json",
  "config_sentence_transformers.json",
  "sentence_*_config.json",
  "*_Pooling/*",
  "*_Dense/*",
  "*_Normalize/*",
  "tokenizer*",
  "vocab.txt",
  "added_tokens.json",
  "special_tokens_map.json",
)
# Of each format one pattern for whole files and one for shards; an adapter's weights are no model.
_FORMATS = (
  ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json"),
  ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"),
  ("flax_model.msgpack", "flax_model-*.msgpack", "flax_model.msgpack.index.json"),
)


def local_directory(name: str | os.PathLike) -> Path:
  """Returns the directory of a model: `name` itself, or the snapshot of that hub id, fetched if need be.

  A sentence-transformers model may keep its encoder in a folder of its own, such as `0_Transformer`; then that folder.
  """
  return _model_folder(model_root(name))


def model_root(name: str | os.PathLike) -> Path:
  """Returns the whole directory of a model: `name` itself, or the snapshot of that hub id, fetched if need be."""
  path = Path(name)
  if path.is_dir():
    return path
  if path.exists():
    raise InputError(f"{path}: a file, and a model is a directory with config.json and weights")
  if path.is_absolute() or str(name).startswith((".", "~")) or len(path.parts) > 2:
    raise InputError(f"{path}: no such directory")
  return _snapshot(str(name))


def _model_folder(path: Path) -> Path:
  """Returns the folder of a directory that holds the encoder's config.json."""
  modules = path / "modules.json"
  config = path / "config.json"
  # The config.json beside modules.json may hold a version alone.
  if modules.is_file() and not (config.is_file() and _is_encoder(config)):
    for folder in sorted(path.glob("*_*/config.json")):
      if _is_encoder(folder):
        return folder.parent
  if not config.is_file():
    raise InputError(f"{path}: no config.json there, so it is not a model directory")
  return path


def _is_encoder(config: Path) -> bool:
  return any(key in read_json(config) for key in ("hidden_size", "model_type"))


def _snapshot(name: str) -> Path:
  try:
    for weights in _FORMATS:
      files = (*_SMALL_FILES, *weights)
      in_folder = [f"0_Transformer/{file}" for file in files]
      snapshot = Path(snapshot_download(name, allow_patterns=[*files, *in_folder]))
      if any(next(snapshot.glob(f"{folder}{file}"), None) for folder in ("", "0_Transformer/") for file in weights):
        break
  except (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError) as error:
    raise InputError(f"{name}: no directory of that name here, and no such model on the Hugging Face hub") from error
  except (hub_errors.HfHubHTTPError, hub_errors.LocalEntryNotFoundError, OSError) as error:
    raise InputError(
      f"{name}: not a local directory, not in the Hugging Face cache, and the hub cannot be reached; give the "
      "path of a directory that holds config.json and model.safetensors"
    ) from error
  return snapshot

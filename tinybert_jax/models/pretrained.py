"""Hugging Face directories and hub ids to (config, params) and back: all Hugging Face traffic is here."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import traverse_util
from huggingface_hub import errors as hub_errors
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, config_from_dict, config_to_dict, read_json
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  Model,
  SequenceClassifier,
  initialize,
  parameter_shapes,
)
from tinybert_jax.models.model_card import model_card
from tinybert_jax.models.tokenizer_type import Tokenizer

# The table of names: Flax path below "encoder" | Hugging Face name below "bert."; a kernel is a PyTorch
# weight transposed. `{i}` is a layer, counted from 0 on both sides.
_EMBEDDINGS = {
  "embeddings/word_embeddings/embedding": "embeddings.word_embeddings.weight",
  "embeddings/position_embeddings/embedding": "embeddings.position_embeddings.weight",
  "embeddings/token_type_embeddings/embedding": "embeddings.token_type_embeddings.weight",
  "embeddings/layer_norm/scale": "embeddings.LayerNorm.weight",
  "embeddings/layer_norm/bias": "embeddings.LayerNorm.bias",
}
_LAYER = {
  "layers_{i}/attention/query": "encoder.layer.{i}.attention.self.query",
  "layers_{i}/attention/key": "encoder.layer.{i}.attention.self.key",
  "layers_{i}/attention/value": "encoder.layer.{i}.attention.self.value",
  "layers_{i}/attention/output": "encoder.layer.{i}.attention.output.dense",
  "layers_{i}/attention_norm": "encoder.layer.{i}.attention.output.LayerNorm",
  "layers_{i}/intermediate": "encoder.layer.{i}.intermediate.dense",
  "layers_{i}/output": "encoder.layer.{i}.output.dense",
  "layers_{i}/output_norm": "encoder.layer.{i}.output.LayerNorm",
}
_HEADS = {
  Encoder: {},
  SequenceClassifier: {"classifier/kernel": "classifier.weight", "classifier/bias": "classifier.bias"},
  MaskedLanguageModel: {
    "transform/kernel": "cls.predictions.transform.dense.weight",
    "transform/bias": "cls.predictions.transform.dense.bias",
    "transform_norm/scale": "cls.predictions.transform.LayerNorm.weight",
    "transform_norm/bias": "cls.predictions.transform.LayerNorm.bias",
    "bias": "cls.predictions.bias",
  },
}
_ARCHITECTURES = {
  Encoder: "BertModel",
  SequenceClassifier: "BertForSequenceClassification",
  MaskedLanguageModel: "BertForMaskedLM",
}
# Heads and buffers that a BERT file may hold and the model asked for may not read: BERT's pretraining
# heads, task heads, and the projection inside TinyBERT's released students.
_PASSED_OVER = ("cls.", "classifier.", "qa_outputs.", "fit_dense.", "fit_denses.", "embeddings.position_ids")


class Pretrained(NamedTuple):
  """A loaded model.

  Attributes:
    config: its shape and label names.
    params: its parameters, float32, for `model_class(config).apply({"params": params}, …)`.
    initialized: the parameters that the file did not have and that were drawn afresh, as Flax paths.
  """

  config: EncoderConfig
  params: dict[str, Any]
  initialized: tuple[str, ...]


def load_pretrained(
  name: str | os.PathLike,
  model_class: type[Model] = Encoder,
  *,
  labels: Sequence[str] | None = None,
  kernels: Literal["bert", "glorot"] = "bert",
  seed: int = 0,
) -> Pretrained:
  """Returns the configuration and parameters of a Hugging Face BERT.

  Weights come from `model.safetensors`, its index of shards, or `pytorch_model.bin` (through PyTorch's
  `weights_only` loader); with or without the `bert.` prefix and with `gamma`/`beta` for LayerNorm. Pooler
  and head are initialised where the file has none.

  Args:
    name: a directory, or an id on the Hugging Face hub.
    model_class: `Encoder`, `SequenceClassifier` or `MaskedLanguageModel`.
    labels: class names that replace the file's; a classifier in the file must have as many classes.
    kernels: how what the file lacks is initialised, see `model.initialize`.
    seed: of that.

  Raises:
    InputError: nothing there, no BERT, or tensors that are missing, unexpected or wrongly shaped: all of
      them are listed, with both shapes.
  """
  directory = local_directory(name)
  config = config_from_dict(read_json(directory / "config.json"), str(directory / "config.json"))
  tensors = {_bare_name(key): value for key, value in _read_tensors(directory).items()}
  if labels is not None:
    config = _with_labels(config, tuple(labels), tensors, directory)

  model = model_class(config)
  needed = _flat_shapes(model)
  names = {path: _bare_name(name) for path, name in name_table(config, model_class).items()}
  initialized, problems, params = [], [], {}
  if model_class is MaskedLanguageModel and not _is_tied(tensors):
    problems.append("cls.predictions.decoder.weight: other than the word embeddings, and the head here shares them")
  for path, shape in needed.items():
    tensor = tensors.pop(names[path], None)
    if tensor is None and _is_optional(path):
      initialized.append(path)
    elif tensor is None:
      problems.append(f"{names[path]}: missing, shape {shape} needed")
    elif tensor.shape != shape:
      problems.append(f"{names[path]}: shape {tensor.shape}, and {shape} needed")
    else:
      tensor = tensor.astype(np.float32)
      params[path] = np.ascontiguousarray(tensor.T) if path.endswith("kernel") else tensor
  problems += [
    f"{key}: unexpected, shape {value.shape}"
    for key, value in tensors.items()
    if not key.startswith((*_PASSED_OVER, "pooler."))
  ]
  if problems:
    raise InputError(f"{directory}: the weights do not fit config.json: {'; '.join(problems)}")
  if initialized:
    fresh = traverse_util.flatten_dict(initialize(model, jax.random.key(seed), kernels=kernels), sep="/")
    params |= {path: np.asarray(fresh[path]) for path in initialized}
  return Pretrained(config, traverse_util.unflatten_dict(params, sep="/"), tuple(initialized))


def save_pretrained(
  directory: str | os.PathLike,
  config: EncoderConfig,
  params: Mapping[str, Any],
  *,
  tokenizer: Tokenizer | None = None,
  description: str = "",
) -> None:
  """Writes a Hugging Face model directory: `config.json`, `model.safetensors`, tokenizer files, `README.md`.

  The head is read off the parameters: a classifier, a masked LM or the bare encoder. Projections of the
  distillation are left out. What stood in `directory` is replaced at once, when all is written.

  Args:
    directory: where to; made if need be.
    config: the shape, with label names.
    params: the parameters of the model.
    tokenizer: saved alongside, so that `AutoTokenizer` finds it.
    description: a paragraph for the model card.

  Raises:
    InputError: parameters that are not those of a model of this shape.
    OSError: the disk is full, or cannot be written; what stood in `directory` stays.
  """
  model_class = _model_class_of(params)
  names = name_table(config, model_class)
  flat = traverse_util.flatten_dict({k: v for k, v in params.items() if k != "projections"}, sep="/")
  if model_class is Encoder:
    flat = {f"encoder/{path}": value for path, value in flat.items()}
    names = {f"encoder/{path}": name for path, name in names.items()}
  if set(flat) != set(names):
    raise InputError(f"these parameters are not those of the configuration: {sorted(set(flat) ^ set(names))}")
  tensors = {}
  for path, value in flat.items():
    if model_class is MaskedLanguageModel and "/pooler/" in path:
      continue  # BertForMaskedLM has no pooler, and would warn of unexpected weights
    value = np.asarray(value, dtype=np.float32)
    tensors[names[path]] = np.ascontiguousarray(value.T) if path.endswith("kernel") else value

  with replace_directory(directory) as new:
    hf = {"architectures": [_ARCHITECTURES[model_class]], **config_to_dict(config), "dtype": "float32"}
    if model_class is SequenceClassifier:
      hf["problem_type"] = "regression" if config.num_labels == 1 else "single_label_classification"
    (new / "config.json").write_text(json.dumps(hf, indent=2) + "\n", encoding="utf-8")
    _save_safetensors(tensors, new / "model.safetensors")
    if tokenizer is not None:
      tokenizer.save_pretrained(new)
    card = model_card(config, _ARCHITECTURES[model_class], sum(tensor.size for tensor in tensors.values()), description)
    (new / "README.md").write_text(card, encoding="utf-8")


def load_tokenizer(name: str | os.PathLike) -> Tokenizer:
  """Returns the tokenizer of a directory or hub id; InputError where there is none, or a damaged one."""
  from transformers import AutoTokenizer, BertTokenizer  # seconds to import, which no one else need wait for

  directory = local_directory(name)
  if not any((directory / file).is_file() for file in ("tokenizer.json", "vocab.txt")):
    raise InputError(f"{directory}: no tokenizer.json and no vocab.txt; put the model's tokenizer files there")
  # TinyBERT's released configurations have no model_type, which AutoTokenizer goes by.
  known = (directory / "tokenizer_config.json").is_file() or "model_type" in read_json(directory / "config.json")
  try:
    return (AutoTokenizer if known else BertTokenizer).from_pretrained(directory)
  except Exception as error:  # its readers raise whatever a damaged file makes of them
    raise InputError(f"{directory}: its tokenizer's files cannot be read ({error})") from error


def local_directory(name: str | os.PathLike) -> Path:
  """Returns the directory of a model: `name` itself, or the snapshot of that hub id, fetched if need be."""
  path = Path(name)
  if (path / "config.json").is_file():
    return path
  if path.is_dir():
    raise InputError(f"{path}: no config.json there, so it is not a model directory")
  if path.is_absolute() or str(name).startswith((".", "~")) or len(path.parts) > 2:
    raise InputError(f"{path}: no such directory")
  kept = ["config.json", "tokenizer*", "vocab.txt", "special_tokens_map.json"]
  try:
    snapshot = Path(snapshot_download(str(name), allow_patterns=[*kept, "*.safetensors", "*.safetensors.index.json"]))
    if not any(snapshot.glob("*.safetensors")):
      snapshot = Path(snapshot_download(str(name), allow_patterns=[*kept, "pytorch_model.bin"]))
  except (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError) as error:
    raise InputError(f"{name}: no directory of that name here, and no such model on the Hugging Face hub") from error
  except (hub_errors.HfHubHTTPError, hub_errors.LocalEntryNotFoundError, OSError) as error:
    raise InputError(
      f"{name}: not a local directory, not in the Hugging Face cache, and the hub cannot be reached; give the "
      "path of a directory that holds config.json and model.safetensors"
    ) from error
  return snapshot


def name_table(config: EncoderConfig, model_class: type[Model]) -> dict[str, str]:
  """Returns the Hugging Face name of every parameter of a model, by Flax path."""
  body = dict(_EMBEDDINGS)
  for i in range(config.num_hidden_layers):
    for path, name in _LAYER.items():
      kinds = {"scale": "weight", "bias": "bias"} if path.endswith("norm") else {"kernel": "weight", "bias": "bias"}
      body |= {f"{path}/{ours}".format(i=i): f"{name}.{theirs}".format(i=i) for ours, theirs in kinds.items()}
  body |= {"pooler/kernel": "pooler.dense.weight", "pooler/bias": "pooler.dense.bias"}
  if model_class is Encoder:
    return body
  return {f"encoder/{path}": f"bert.{name}" for path, name in body.items()} | _HEADS[model_class]


@contextlib.contextmanager
def replace_directory(directory: str | os.PathLike) -> Iterator[Path]:
  """Gives an empty directory to write to, and puts it in `directory`'s place when the block ends well."""
  directory = Path(directory)
  directory.parent.mkdir(parents=True, exist_ok=True)
  new = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
  try:
    new.chmod(0o755)
    yield new
    if directory.exists():
      old = new.with_name(new.name + ".old")
      directory.rename(old)
      new.rename(directory)
      shutil.rmtree(old)
    else:
      new.rename(directory)
  finally:
    shutil.rmtree(new, ignore_errors=True)


def _read_tensors(directory: Path) -> dict[str, np.ndarray]:
  single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
  if single.is_file():
    return _read_safetensors(single)
  if index.is_file():
    tensors = {}
    for shard in sorted(set(read_json(index)["weight_map"].values())):
      if not (directory / shard).is_file():
        raise InputError(f"{directory / shard}: missing, and {index.name} names it")
      tensors |= _read_safetensors(directory / shard)
    return tensors
  if (directory / "pytorch_model.bin").is_file():
    return _read_bin(directory / "pytorch_model.bin")
  raise InputError(f"{directory}: no weights there (model.safetensors, its index, or pytorch_model.bin)")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
  try:
    with safe_open(path, framework="flax") as file:  # "numpy" has no bfloat16
      return {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118, not a dict
  except (SafetensorError, OSError) as error:
    raise InputError(f"{path}: not a readable safetensors file ({error})") from error


def _save_safetensors(tensors: dict[str, np.ndarray], path: Path) -> None:
  try:
    save_file(tensors, path, metadata={"format": "pt"})
  except SafetensorError as error:  # what it makes of a full disk, and of nothing else that can happen here
    raise OSError(errno.ENOSPC, str(error), str(path)) from error


def _read_bin(path: Path) -> dict[str, np.ndarray]:
  try:
    import torch
  except ImportError as error:
    raise InputError(f"{path}: a .bin file needs PyTorch; install torch, or give a model.safetensors") from error
  try:
    # weights_only: tensors and nothing else; nothing in the file is run.
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in state.items()}
  except Exception as error:  # torch.load raises whatever its unpickler or zip reader does
    raise InputError(f"{path}: not a readable file of PyTorch weights ({error})") from error


def _bare_name(name: str) -> str:
  """Returns a tensor's name without the `bert.` prefix and in today's spelling of LayerNorm's parts."""
  for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
    if name.endswith(old):
      name = name.removesuffix(old) + new
  return name.removeprefix("bert.")


def _is_optional(path: str) -> bool:
  """Whether a parameter may be missing from a file: the pooler (masked LMs have none) and the heads."""
  return "pooler/" in path or any(path in head for head in _HEADS.values())


def _flat_shapes(model: Model) -> dict[str, tuple[int, ...]]:
  """Returns the shape that each parameter has in a PyTorch file, by Flax path."""
  shapes = traverse_util.flatten_dict(parameter_shapes(model), sep="/")
  return {path: value.shape[::-1] if path.endswith("kernel") else value.shape for path, value in shapes.items()}


def _is_tied(tensors: Mapping[str, np.ndarray]) -> bool:
  """Returns whether the masked LM's decoder, where the file names it at all, is the word embeddings."""
  decoder = tensors.get("cls.predictions.decoder.weight")
  return decoder is None or np.array_equal(decoder, tensors.get("embeddings.word_embeddings.weight"))


def _with_labels(
  config: EncoderConfig, labels: tuple[str, ...], tensors: Mapping[str, np.ndarray], directory: Path
) -> EncoderConfig:
  classifier = tensors.get("classifier.weight")
  if classifier is not None and classifier.shape[0] != len(labels):
    raise InputError(f"{directory}: its classifier has {classifier.shape[0]} classes, not {len(labels)} as named")
  hf = config_to_dict(config) | {"id2label": dict(enumerate(labels))}
  return config_from_dict(hf, str(directory))


def _model_class_of(params: Mapping[str, Any]) -> type[Model]:
  if "classifier" in params:
    return SequenceClassifier
  return MaskedLanguageModel if "transform" in params else Encoder

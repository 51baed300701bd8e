"""Hugging Face directories and hub ids to (config, params) and back; the front of the modules beside it."""

import dataclasses
import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import save_file

from tinybert_jax.errors import InputError, UnfinishedError
from tinybert_jax.models.architectures import check_architecture, labels_tokens, pooler_in_words
from tinybert_jax.models.config import EncoderConfig, config_from_dict, config_to_dict, read_json
from tinybert_jax.models.directories import replace_directory, replace_files
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  Model,
  SequenceClassifier,
  SpanClassifier,
  TokenClassifier,
  initialize,
  parameter_shapes,
)
from tinybert_jax.models.families import Family
from tinybert_jax.models.hub import local_directory
from tinybert_jax.models.model_card import ModelCard, is_own_card, model_card
from tinybert_jax.models.names import (
  OF_LAYER,
  architecture,
  bare_names,
  joined,
  may_be_ignored,
  name_table,
  optional_group,
  split,
)
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import FILES, check_fits, load_tokenizer, write_settings
from tinybert_jax.models.weights import is_floating, read_tensors

__all__ = [
  "ModelCard",
  "Pretrained",
  "check_fits",
  "load_pretrained",
  "load_tokenizer",
  "local_directory",
  "name_table",
  "replace_directory",
  "save_pretrained",
]

_MOST_PROBLEMS = 10  # that an error lists
# Weights under the names that transformers reads: of the model before, where a new one is saved. Exports to other
# programs, such as ONNX files, are not among them and stay.
_STALE_WEIGHTS = (
  "model-*-of-*.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model-*-of-*.bin",
  "pytorch_model.bin.index.json",
  "tf_model.h5",
  "tf_model-*-of-*.h5",
  "tf_model.h5.index.json",
  "flax_model.msgpack",
  "flax_model-*-of-*.msgpack",
  "flax_model.msgpack.index.json",
)


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
  finished: bool = False,
) -> Pretrained:
  """Returns the configuration and parameters of a Hugging Face encoder of one of the `families`.

  Weights come from `model.safetensors`, `pytorch_model.bin` (through PyTorch's `weights_only` loader) or
  `flax_model.msgpack`, whole or in shards; with or without the prefixes `bert.`, `module.` and the like, and with
  `gamma`/`beta` for LayerNorm. Pooler and head are initialised where the file has none.

  Args:
    name: a directory, or an id on the Hugging Face hub.
    model_class: `Encoder`, `SequenceClassifier`, `TokenClassifier`, `SpanClassifier` or `MaskedLanguageModel`.
    labels: class names that replace the file's; a classifier in the file must have as many classes.
    kernels: how what the file lacks is initialised, see `model.initialize`.
    seed: random seed for that initialisation.
    finished: refuse a file without the head, or the pooler below a classifier; for models that are used as they are.

  Raises:
    InputError: nothing there, another family or kind of model, or tensors that are missing, unexpected, wrongly shaped,
      not finite or no floating-point numbers; the first ten are listed.
  """
  directory = local_directory(name)
  hf = read_json(directory / "config.json")
  config = config_from_dict(hf, str(directory / "config.json"))
  check_architecture(directory, hf, model_class)
  if model_class is not SequenceClassifier:
    config = dataclasses.replace(config, problem_type=None)  # of a head that is not loaded
  tensors, problems = _bare_tensors(directory, config.family)
  if labels is not None:
    config = _with_labels(config, tuple(labels), tensors, directory)
  if model_class is SequenceClassifier and labels_tokens(config.family, tensors):
    raise InputError(
      f"{directory}: its weights have a classifier and no {pooler_in_words(config.family)}, as models that "
      "label each token have; a classifier of whole texts is needed"
    )
  model = model_class(config)
  params, missing, misfits = _match(model, tensors)
  problems += misfits
  architectures = hf.get("architectures")
  is_named = isinstance(architectures, list) and architecture(config.family, model_class) in architectures
  problems += [
    f"{key}: unexpected, shape {value.shape}"
    for key, value in tensors.items()
    if not may_be_ignored(key, config.family, model_class, is_named=is_named)
  ]
  if problems:
    more = f"; and {len(problems) - _MOST_PROBLEMS:,} more" if len(problems) > _MOST_PROBLEMS else ""
    raise InputError(f"{directory}: the weights do not fit config.json: {'; '.join(problems[:_MOST_PROBLEMS])}{more}")
  if finished:
    _check_finished(directory, config.family, model_class, missing)
  if missing:
    fresh = traverse_util.flatten_dict(initialize(model, jax.random.key(seed), kernels=kernels), sep="/")
    params |= {path: np.asarray(fresh[path]) for path in missing}
  return Pretrained(config, traverse_util.unflatten_dict(params, sep="/"), tuple(missing))


def save_pretrained(
  directory: str | os.PathLike,
  config: EncoderConfig,
  params: Mapping[str, Any],
  *,
  tokenizer: Tokenizer | None = None,
  description: str = "",
  card: ModelCard | None = None,
) -> None:
  """Writes a Hugging Face model directory: `config.json`, `model.safetensors`, tokenizer files, `README.md`.

  The head is read off the parameters: a classifier of texts or tokens, a marker of spans, a masked LM or the bare
  encoder. Projections of the distillation are left out.

  Files of these names are replaced when all is written, and weights of the model before under other names
  (`pytorch_model.bin`, shards, …) are removed, likewise its tokenizer where a new one is given. Everything else in
  `directory` stays, a README of the user's too.

  Args:
    directory: where to; made if need be.
    config: the shape, with label names.
    params: the parameters of the model.
    tokenizer: saved alongside, so that `AutoTokenizer` finds it.
    description: a paragraph for the model card.
    card: what else the model card tells.

  Raises:
    InputError: parameters that are not those of a model of this shape, or not finite, or a file in the directory's
      place.
    OSError: the disk is full, or cannot be written; what stood in `directory` stays.
  """
  model_class = _model_class_of(params)
  tensors = _file_tensors(config, params, model_class)
  class_name = architecture(config.family, model_class)
  hf = {"architectures": [class_name], **config_to_dict(config), "dtype": "float32"}
  if model_class is SequenceClassifier:
    hf["problem_type"] = config.kind
  if tokenizer is not None:
    hf |= _special_ids(config.family, tokenizer)
  readme = Path(directory) / "README.md"
  with replace_files(directory, [*_STALE_WEIGHTS, *(FILES if tokenizer is not None else ())]) as new:
    (new / "config.json").write_text(json.dumps(hf, indent=2) + "\n", encoding="utf-8")
    _save_safetensors(tensors, new / "model.safetensors")
    if tokenizer is not None:
      tokenizer.save_pretrained(new)
      write_settings(new, config.longest, config.type_vocab_size)
    if not readme.is_file() or is_own_card(readme.read_text(encoding="utf-8", errors="replace")):
      count = sum(tensor.size for tensor in tensors.values())
      text = model_card(config, class_name, count, description, card)
      (new / "README.md").write_text(text, encoding="utf-8", errors="replace")


def _special_ids(family: Family, tokenizer: Tokenizer) -> dict[str, int | None]:
  """Returns the ids of special tokens that a family's configurations tell; CLS is BOS where there is none."""
  instead = {"bos": "cls", "eos": "sep"}
  ids = {role: getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos", "cls", "sep")}
  found = {role: ids[instead.get(role, role)] if ids[role] is None else ids[role] for role in family.token_roles}
  return {f"{role}_token_id": number for role, number in found.items()}


def _bare_tensors(directory: Path, family: Family) -> tuple[dict[str, np.ndarray], list[str]]:
  """Returns the file's tensors by bare name, shared ones under their main name, and what contradicts itself."""
  tensors: dict[str, np.ndarray] = {}
  problems, origin = [], dict[str, str]()
  found = read_tensors(directory)
  for name, bare in bare_names(found, str(directory), family).items():
    if bare in tensors and not np.array_equal(tensors[bare], found[name]):
      problems.append(f"{bare}: twice, as {origin[bare]} and as {name}, with other values")
    tensors[bare], origin[bare] = found[name], name
  for second, shared in family.names.tied.items():
    if second in tensors and shared not in tensors:
      tensors[shared] = tensors[second]
  return split(tensors, family.names), problems


def _match(model: Model, tensors: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
  """Returns the model's parameters by Flax path, the paths that the file lacks, and what does not fit.

  It takes what the model reads out of `tensors`.
  """
  needed, family_names = _flat_shapes(model), model.config.family.names
  names = {path: name.removeprefix(family_names.base) for path, name in name_table(model.config, type(model)).items()}
  present = {optional_group(path) for path in needed if names[path] in tensors}
  params, missing, problems = {}, [], []
  if isinstance(model, MaskedLanguageModel):
    problems += [
      f"{second}: other than {'the word embeddings' if 'word' in shared else shared}, and the head here shares them"
      for second, shared in family_names.tied.items()
      if second in tensors and shared in tensors and not np.array_equal(tensors[second], tensors[shared])
    ]
  for path, shape in needed.items():
    name, group = names[path], optional_group(path)
    tensor = tensors.pop(name, None)
    if tensor is None and group is not None and group not in present:
      missing.append(path)
    elif tensor is None:
      problems.append(f"{name}: missing, shape {shape} needed")
    elif tensor.shape != shape:
      problems.append(f"{name}: shape {tensor.shape}, and {shape} needed")
    elif not is_floating(tensor):
      problems.append(f"{name}: {tensor.dtype} numbers, and floating-point ones are needed")
    else:
      with np.errstate(over="ignore"):
        tensor = tensor.astype(np.float32)
      wrong = tensor.size - int(np.isfinite(tensor).sum())
      if wrong:
        problems.append(f"{name}: {wrong:,} of {tensor.size:,} numbers are not finite (NaN or infinite)")
      params[path] = np.ascontiguousarray(tensor.T) if path.endswith("kernel") else tensor
  return params, missing, problems


def _check_finished(directory: Path, family: Family, model_class: type[Model], missing: Sequence[str]) -> None:
  groups = {group for path in missing if (group := optional_group(path)) is not None}
  if model_class is not SequenceClassifier:
    groups.discard("pooler")  # masked language models do not read it; the encoder's is an extra
  if groups:
    names = {
      "pooler": "pooler",
      "pre_classifier": pooler_in_words(family),
      SequenceClassifier.__name__: "classifier",
      TokenClassifier.__name__: "classifier of tokens",
      SpanClassifier.__name__: "layer that marks spans",
    }
    what = " and no ".join(sorted(names.get(group, "masked language model's head") for group in groups))
    raise UnfinishedError(
      f"{directory}: no {what} in its weights, so it is not a finished {architecture(family, model_class)}"
    )


def _file_tensors(config: EncoderConfig, params: Mapping[str, Any], model_class: type[Model]) -> dict[str, np.ndarray]:
  """Returns the tensors that a file of the model holds, by their names there."""
  names, shapes = name_table(config, model_class), _flat_shapes(model_class(config))
  flat = traverse_util.flatten_dict({k: v for k, v in params.items() if k != "projections"}, sep="/")
  if set(flat) != set(names):
    raise InputError(f"these parameters are not those of the configuration: {sorted(set(flat) ^ set(names))}")
  tensors = {}
  for path, value in flat.items():
    if model_class is MaskedLanguageModel and "/pooler/" in path:
      continue  # BertForMaskedLM has no pooler, and would warn of unexpected weights
    value = np.asarray(value, dtype=np.float32)
    tensor = np.ascontiguousarray(value.T) if path.endswith("kernel") else value
    if tensor.shape != shapes[path]:
      raise InputError(f"{path}: the shape of {names[path]} is {tensor.shape}, and {shapes[path]} in the configuration")
    if not np.isfinite(tensor).all():
      raise InputError(f"{path}: numbers that are not finite (NaN or infinite), so nothing is saved")
    tensors[names[path]] = tensor
  return joined(tensors, config.family.names)


def _save_safetensors(tensors: dict[str, np.ndarray], path: Path) -> None:
  path.touch()
  mode = path.stat().st_mode & 0o777  # as the umask has it; safetensors writes files for their owner alone
  try:
    save_file(tensors, path, metadata={"format": "pt"})
  except SafetensorError as error:  # what it makes of a full disk, and of nothing else that can happen here
    raise OSError(errno.ENOSPC, str(error), str(path)) from error
  path.chmod(mode)


def _flat_shapes(model: Model) -> dict[str, tuple[int, ...]]:
  """Returns the shape that each parameter has in a PyTorch file, by Flax path."""
  shapes = traverse_util.flatten_dict(parameter_shapes(model), sep="/")
  return {path: value.shape[::-1] if path.endswith("kernel") else value.shape for path, value in shapes.items()}


def _with_labels(
  config: EncoderConfig, labels: tuple[str, ...], tensors: Mapping[str, np.ndarray], directory: Path
) -> EncoderConfig:
  classifier = tensors.get(f"{config.family.names.classifier['classifier']}.weight")
  if classifier is not None and classifier.shape[:1] != (len(labels),):
    raise InputError(f"{directory}: its classifier has {classifier.shape[0]} classes, not {len(labels)} as named")
  hf = config_to_dict(config) | {"id2label": dict(enumerate(labels))}
  return config_from_dict(hf, str(directory))


def _model_class_of(params: Mapping[str, Any]) -> type[Model]:
  found = next((OF_LAYER[name] for name in params if name in OF_LAYER), None)
  return found or (MaskedLanguageModel if "transform" in params else Encoder)

"""Directories of sentence-transformers to (config, params) and back.

Such a directory holds an encoder's Hugging Face directory, in itself or in a folder such as `0_Transformer`, and
`modules.json` with what comes after the encoder, each module in a folder of its own.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from safetensors.numpy import save_file

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, read_json
from tinybert_jax.models.directories import make_directory, remove_directory, replace_file
from tinybert_jax.models.encoder import Encoder
from tinybert_jax.models.hub import model_root
from tinybert_jax.models.model_card import ModelCard
from tinybert_jax.models.pretrained import Pretrained, load_pretrained, save_pretrained
from tinybert_jax.models.sentence_head import DenseLayer, Pooling, SentenceHead
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.weights import is_floating, read_tensors

MODULES = "modules.json"
_PROMPTS = "config_sentence_transformers.json"
_LENGTH = "sentence_bert_config.json"
_SENTENCES = "SentenceTransformer"  # the kind of model, which older directories do not name
_CLASSES = "sentence_transformers.models."
# Older directories have a switch for each, in the order in which their vectors stand behind each other.
_SWITCHES = {
  "pooling_mode_cls_token": "cls",
  "pooling_mode_max_tokens": "max",
  "pooling_mode_mean_tokens": "mean",
  "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
  "pooling_mode_weightedmean_tokens": "weightedmean",
  "pooling_mode_lasttoken": "lasttoken",
}
# PyTorch's classes of activations, by their names in `activations`.
_ACTIVATIONS = {
  "linear": "torch.nn.modules.linear.Identity",
  "tanh": "torch.nn.modules.activation.Tanh",
  "relu": "torch.nn.modules.activation.ReLU",
  "gelu": "torch.nn.modules.activation.GELU",
  "silu": "torch.nn.modules.activation.SiLU",
  "sigmoid": "torch.nn.modules.activation.Sigmoid",
  "mish": "torch.nn.modules.activation.Mish",
}
_LONGEST = 1_000_000  # tokenizers write a larger number where none is known
_READ = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")


class Module(NamedTuple):
  """A line of `modules.json`: the class without its package, and the folder."""

  kind: str
  folder: Path


def is_sentence_encoder(name: str | os.PathLike) -> bool:
  """Whether a directory, or what a hub id names, is a sentence encoder's; sentence-transformers has other models too.

  Raises:
    InputError: no such directory or model.
  """
  root = model_root(name)
  return (root / MODULES).is_file() and _kind(root) == _SENTENCES


def load_sentence_encoder(name: str | os.PathLike) -> Pretrained:
  """Returns configuration and parameters of a `SentenceEncoder`; `config.sentence` is its head.

  Args:
    name: a directory of sentence-transformers, or an id on the Hugging Face hub.

  Raises:
    InputError: no such directory, modules that are not known, which are named, or weights that do not fit; also as
      `load_pretrained`.
  """
  root = model_root(name)
  modules = _modules(root)
  encoder = load_pretrained(root, Encoder)
  head = read_head(root, modules)
  params: dict[str, Any] = {"encoder": encoder.params}
  folders = [module.folder for module in modules if module.kind == "Dense"]
  inputs = head.inputs(encoder.config.hidden_size)
  for number, (folder, layer, width) in enumerate(zip(folders, head.dense, inputs, strict=True)):
    params[f"dense_{number}"] = _dense_params(folder, layer, width)
  return Pretrained(dataclasses.replace(encoder.config, sentence=head), params, encoder.initialized)


def read_head(root: Path, modules: Sequence[Module] | None = None) -> SentenceHead:
  """Returns what a directory does after its encoder, and its prompts; errors as `load_sentence_encoder`."""
  transformer, *others = modules or _modules(root)
  if not others or others[0].kind != "Pooling":
    raise InputError(f"{root / MODULES}: no Pooling after the Transformer, so a text has no vector")
  if [module.kind for module in others].count("Pooling") > 1:
    raise InputError(f"{root / MODULES}: several Pooling modules, and one is supported")
  settings, pooled = _json(root / _PROMPTS), _json(others[0].folder / "config.json")
  return SentenceHead(
    pooling=_pooling(others[0].folder, pooled),
    layers=tuple(_layer(module) for module in others[1:] if module.kind != "Dropout"),
    max_length=_max_length(transformer.folder),
    prompts=_prompts(root / _PROMPTS, settings),
    default_prompt=settings.get("default_prompt_name"),
    includes_prompt=pooled.get("include_prompt", True) is not False,
    similarity=settings.get("similarity_fn_name"),
  )


def save_sentence_encoder(
  directory: str | os.PathLike,
  config: EncoderConfig,
  params: Mapping[str, Any],
  *,
  tokenizer: Tokenizer | None = None,
  description: str = "",
  card: ModelCard | None = None,
) -> None:
  """Writes a directory that `SentenceTransformer` opens, with the encoder beside `modules.json`.

  Folders of the modules that it held before are removed; everything else as in `save_pretrained`, whose arguments and
  errors these are. Texts are cut to the shorter of the tokenizer's longest and that of `config.sentence`.
  """
  head = config.sentence
  if head is None:
    raise InputError("a sentence encoder needs a configuration whose `sentence` says how texts are pooled")
  directory = Path(directory)
  encoder = params["encoder"]
  lengths = [config.longest, head.max_length, None if tokenizer is None else tokenizer.model_max_length]
  save_pretrained(directory, config, encoder, tokenizer=tokenizer, description=description, card=card)
  for folder in directory.glob("[0-9]*_*"):
    if folder.is_dir() and folder.name.partition("_")[2] in (*_READ, "LayerNorm"):
      remove_directory(folder)
  modules = [_line(0, "Transformer", "")]
  for number, (kind, files) in enumerate(_parts(config, head, params), start=1):
    modules.append(_line(number, kind))
    make_directory(directory / modules[-1]["path"])
    for file, write in files.items():
      with replace_file(directory / modules[-1]["path"] / file) as new:
        write(new)
  longest = min(length for length in lengths if length is not None)
  prompts = {
    "prompts": dict(head.prompts),
    "default_prompt_name": head.default_prompt,
    "similarity_fn_name": head.similarity,
  }
  _write(directory / _LENGTH, {"max_seq_length": longest, "do_lower_case": False})
  _write(directory / _PROMPTS, prompts)
  _write(directory / MODULES, modules)


def _modules(root: Path) -> list[Module]:
  """Returns the modules of a directory in their order, the Transformer first."""
  path = root / MODULES
  if not path.is_file():
    raise InputError(
      f"{root}: no {MODULES}, so it is no directory of sentence-transformers, which tells how texts are pooled"
    )
  if (kind := _kind(root)) != _SENTENCES:
    raise InputError(f"{root}: a {kind}, and a {_SENTENCES} is needed")
  try:
    lines = json.loads(path.read_bytes())
    modules = [Module(str(line["type"]).rpartition(".")[2], root / str(line["path"])) for line in lines]
  except (ValueError, TypeError, KeyError) as error:
    raise InputError(f"{path}: cannot be read as a list of modules with type and path ({error})") from error
  unknown = [str(line["type"]) for line, module in zip(lines, modules, strict=True) if module.kind not in _READ]
  if unknown:
    raise InputError(f"{path}: the modules {', '.join(unknown)} are not known; supported are {', '.join(_READ)}")
  for module in modules:
    if ".." in module.folder.parts or root not in (module.folder, *module.folder.parents):
      raise InputError(f"{path}: the module {module.kind} lies outside the directory")
  if not modules or modules[0].kind != "Transformer" or [one.kind for one in modules].count("Transformer") > 1:
    raise InputError(f"{path}: one Transformer must come first, and there {_are([one.kind for one in modules])}")
  return modules


def _are(names: Sequence[str]) -> str:
  return f"are {', '.join(names)}" if names else "is nothing"


def _kind(root: Path) -> str:
  return str(_json(root / _PROMPTS).get("model_type", _SENTENCES))


def _pooling(folder: Path, settings: Mapping[str, Any]) -> tuple[Pooling, ...]:
  named = settings.get("pooling_mode")
  if named is None:
    on = tuple(name for switch, name in _SWITCHES.items() if settings.get(switch))
    if not on and settings.get("pooling_mode_mean_tokens", True) is not True:
      raise InputError(f"{folder / 'config.json'}: no way of pooling is on; set one of {', '.join(_SWITCHES)} to true")
    named = on or ("mean",)  # as sentence-transformers reads a configuration without a word of it
  modes = (named,) if isinstance(named, str) else tuple(named)
  if wrong := [mode for mode in modes if mode not in get_args(Pooling)]:
    raise InputError(
      f"{folder / 'config.json'}: pooling {wrong[0]!r} is not known; there are {', '.join(get_args(Pooling))}"
    )
  return modes


def _layer(module: Module) -> Any:
  settings = _json(module.folder / "config.json")
  where = module.folder / "config.json"
  for key in ("module_input_name", "module_output_name"):
    if settings.get(key) not in (None, "sentence_embedding"):
      raise InputError(f"{where}: {key} is {settings[key]!r}, and only sentence_embedding is supported")
  if module.kind == "Normalize":
    return "normalize"
  if settings.get("use_residual"):
    raise InputError(f"{where}: use_residual is set, which is not supported")
  features = settings.get("out_features")
  if isinstance(features, bool) or not isinstance(features, int) or features < 1:
    raise InputError(f"{where}: out_features must be a positive whole number, not {features!r:.40}")
  # As sentence-transformers reads a configuration without one.
  name = str(settings.get("activation_function", _ACTIVATIONS["tanh"])).rpartition(".")[2]
  known = {path.rpartition(".")[2]: activation for activation, path in _ACTIVATIONS.items()}
  if name not in known:
    raise InputError(f"{where}: the activation_function {name} is not known; supported are {', '.join(known)}")
  return DenseLayer(features, known[name], settings.get("bias", True) is not False)


def _dense_params(folder: Path, layer: DenseLayer, inputs: int) -> dict[str, np.ndarray]:
  tensors = read_tensors(folder)
  needed = {"linear.weight": (layer.features, inputs)} | ({"linear.bias": (layer.features,)} if layer.bias else {})
  for name, shape in needed.items():
    if name not in tensors:
      raise InputError(f"{folder}: no {name} in its weights, shape {shape} needed")
    if tensors[name].shape != shape:
      raise InputError(f"{folder}: {name} has the shape {tensors[name].shape}, and {shape} is needed")
    if not is_floating(tensors[name]) or not np.isfinite(tensors[name].astype(np.float32)).all():
      raise InputError(f"{folder}: {name} holds numbers that are not finite, or no floating-point ones")
  if extra := sorted(set(tensors) - set(needed)):
    raise InputError(f"{folder}: its weights have {extra[0]}, which its config.json does not tell of")
  kernel = np.ascontiguousarray(tensors["linear.weight"].astype(np.float32).T)
  bias = {"bias": tensors["linear.bias"].astype(np.float32)} if layer.bias else {}
  return {"kernel": kernel, **bias}


def _max_length(folder: Path) -> int | None:
  """Returns the tokens that texts are cut to, which the tokenizer's settings tell where no file of its own does."""
  tokenizer = folder / "tokenizer_config.json"
  found: list[tuple[Path, Any]] = [(tokenizer, _json(tokenizer).get("model_max_length"))]
  for path in sorted(folder.glob("sentence_*_config.json")):  # its name had the kind of encoder in it
    settings = read_json(path)
    found.append((path, settings.get("max_seq_length")))
    if settings.get("do_lower_case"):
      _check_lower_case(path, folder)
  given = [(path, length) for path, length in found if length is not None]
  if not given:
    return None
  path, length = given[-1]
  if isinstance(length, bool) or not isinstance(length, int | float) or length < 2:
    raise InputError(f"{path}: the longest text must be a whole number of at least 2, not {length!r:.40}")
  return int(length) if length <= _LONGEST else None


def _check_lower_case(path: Path, folder: Path) -> None:
  """Raises InputError where texts are to be made lower-case and the tokenizer keeps capitals."""
  from transformers import AutoTokenizer

  tokenizer = AutoTokenizer.from_pretrained(folder)
  if tokenizer.tokenize("A CAT") != tokenizer.tokenize("a cat"):
    raise InputError(f"{path}: do_lower_case is set, and the tokenizer keeps capitals; make it a lower-casing one")


def _prompts(path: Path, settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
  prompts, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
  if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
    raise InputError(f"{path}: prompts must map names to texts")
  if default is not None and default not in prompts:
    raise InputError(f"{path}: default_prompt_name is {default!r}, and prompts have no such name")
  return tuple(prompts.items())


def _parts(
  config: EncoderConfig, head: SentenceHead, params: Mapping[str, Any]
) -> list[tuple[str, dict[str, Callable[[Path], None]]]]:
  """Returns each module after the Transformer, with what writes its files."""
  pooling = {
    "word_embedding_dimension": config.hidden_size,
    **{switch: name in head.pooling for switch, name in _SWITCHES.items()},
    "include_prompt": head.includes_prompt,
  }
  if list(head.pooling) != [name for name in _SWITCHES.values() if name in head.pooling]:
    raise InputError(f"pooling {list(head.pooling)}: sentence-transformers has another order of these")
  parts: list[tuple[str, dict[str, Callable[[Path], None]]]] = [("Pooling", {"config.json": _writes(pooling)})]
  numbers, inputs = iter(range(len(head.dense))), head.inputs(config.hidden_size)
  for layer in head.layers:
    if not isinstance(layer, DenseLayer):
      parts.append(("Normalize", {}))
      continue
    if layer.activation not in _ACTIVATIONS:
      raise InputError(f"{layer}: directories have the activations {', '.join(_ACTIVATIONS)}")
    number = next(numbers)
    settings = {
      "in_features": inputs[number],
      "out_features": layer.features,
      "bias": layer.bias,
      "activation_function": _ACTIVATIONS[layer.activation],
    }
    files = {"config.json": _writes(settings), "model.safetensors": _writes_dense(params[f"dense_{number}"])}
    parts.append(("Dense", files))
  return parts


def _writes(value: Any) -> Callable[[Path], None]:
  return lambda path: _dump(path, value)


def _writes_dense(params: Mapping[str, Any]) -> Callable[[Path], None]:
  tensors = {"linear.weight": np.ascontiguousarray(np.asarray(params["kernel"], np.float32).T)}
  if "bias" in params:
    tensors["linear.bias"] = np.asarray(params["bias"], np.float32)
  if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
    raise InputError("a dense layer's numbers are not finite (NaN or infinite), so nothing is saved")

  def write(path: Path) -> None:
    path.touch()
    mode = path.stat().st_mode & 0o777  # as the umask has it; safetensors writes files for their owner alone
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(mode)

  return write


def _line(number: int, kind: str, folder: str | None = None) -> dict[str, Any]:
  path = f"{number}_{kind}" if folder is None else folder
  return {"idx": number, "name": str(number), "path": path, "type": _CLASSES + kind}


def _write(path: Path, value: Any) -> None:
  with replace_file(path) as new:
    _dump(new, value)


def _dump(path: Path, value: Any) -> None:
  path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
  return read_json(path) if path.is_file() else {}

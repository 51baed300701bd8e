"""The shape of a BERT encoder, and its Hugging Face `config.json`."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from tinybert_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """Shape and settings of a BERT-family encoder; hashable, so it can be a static argument.

  Fields carry the names of Hugging Face's `BertConfig`; the defaults are BERT-base. `labels` are the
  class names in the order of the logits (Hugging Face's `id2label`); a single label is a regression.
  """

  vocab_size: int = 30522
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  intermediate_size: int = 3072
  hidden_act: str = "gelu"
  hidden_dropout_prob: float = 0.1
  attention_probs_dropout_prob: float = 0.1
  classifier_dropout: float | None = None
  max_position_embeddings: int = 512
  type_vocab_size: int = 2
  initializer_range: float = 0.02
  layer_norm_eps: float = 1e-12
  pad_token_id: int = 0
  labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
  problem_type: str | None = dataclasses.field(default=None, repr=False)

  def __post_init__(self):
    for name in _POSITIVE:
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a positive whole number, not {value!r}")
    if self.hidden_size % self.num_attention_heads:
      raise InputError(
        f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
      )
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
      rate = getattr(self, name)
      if rate is not None and not 0 <= rate < 1:
        raise InputError(f"{name} must be at least 0 and below 1, not {rate!r}")
    if not self.labels:
      raise InputError("labels must name at least one class (one name means regression)")

  @property
  def head_size(self) -> int:
    return self.hidden_size // self.num_attention_heads

  @property
  def num_labels(self) -> int:
    return len(self.labels)


_POSITIVE = (
  "vocab_size",
  "hidden_size",
  "num_hidden_layers",
  "num_attention_heads",
  "intermediate_size",
  "max_position_embeddings",
  "type_vocab_size",
)
_FIELDS = {field.name for field in dataclasses.fields(EncoderConfig)} - {"labels"}

# The paper's students (Section 4.1), and its teacher. Published counts: 14.5M, 67.0M and 109M parameters;
# encoder and pooler of these shapes, without any head or projection, have 14,350,248, 66,955,008 and
# 109,482,240.
PRESETS = {
  "tinybert-4l-312d": EncoderConfig(hidden_size=312, num_hidden_layers=4, intermediate_size=1200),
  "tinybert-6l-768d": EncoderConfig(num_hidden_layers=6),
  "bert-base": EncoderConfig(),
}


def config_from_dict(hf: Mapping[str, Any], source: str = "config.json") -> EncoderConfig:
  """Returns the EncoderConfig that a Hugging Face configuration dictionary describes.

  Raises InputError, naming `source`, for anything that is not a plain BERT encoder.
  """
  model_type = hf.get("model_type", "bert")  # TinyBERT's released configurations leave it out
  if model_type != "bert":
    raise InputError(f"{source}: model_type is {model_type!r}, and only 'bert' encoders are supported")
  position = hf.get("position_embedding_type") or "absolute"
  if position != "absolute":
    raise InputError(f"{source}: position_embedding_type is {position!r}, and only 'absolute' is supported")
  for switch in ("is_decoder", "add_cross_attention"):
    if hf.get(switch):
      raise InputError(f"{source}: {switch} is set, and only encoders are supported")
  missing = [name for name in ("hidden_size", "num_hidden_layers", "num_attention_heads") if name not in hf]
  if missing:
    raise InputError(f"{source}: no {' and no '.join(missing)}; it is not a BERT configuration")
  fields = {name: hf[name] for name in _FIELDS if hf.get(name) is not None}
  try:
    return EncoderConfig(**fields, labels=_labels(hf, source))
  except InputError as error:
    raise InputError(f"{source}: {error}") from error
  except TypeError as error:
    raise InputError(f"{source}: a value has the wrong type ({error})") from error


def _labels(hf: Mapping[str, Any], source: str) -> tuple[str, ...]:
  if hf.get("id2label"):
    try:
      names = {int(index): str(name) for index, name in hf["id2label"].items()}
    except (AttributeError, ValueError) as error:
      raise InputError(f"{source}: id2label must map class numbers to names") from error
    if sorted(names) != list(range(len(names))):
      raise InputError(f"{source}: id2label must number its classes 0 to {len(names) - 1} without a gap")
    return tuple(names[index] for index in range(len(names)))
  return tuple(f"LABEL_{index}" for index in range(hf.get("num_labels") or 2))


def config_to_dict(config: EncoderConfig) -> dict[str, Any]:
  """Returns the Hugging Face dictionary of `config`: what `config.json` holds, less `architectures`."""
  fields = dataclasses.asdict(config)
  labels = fields.pop("labels")
  return {
    "model_type": "bert",
    **fields,
    "position_embedding_type": "absolute",
    "id2label": {str(index): name for index, name in enumerate(labels)},
    "label2id": {name: index for index, name in enumerate(labels)},
  }


def load_config(name: str | os.PathLike) -> EncoderConfig:
  """Returns the configuration of a preset's name, a `config.json`, or a directory that holds one."""
  if str(name) in PRESETS:
    return PRESETS[str(name)]
  path = os.path.join(name, "config.json") if os.path.isdir(name) else os.fspath(name)
  if not os.path.isfile(path):
    known = ", ".join(PRESETS)
    raise InputError(f"{name}: no such preset ({known}), and no config.json there")
  return config_from_dict(read_json(path), path)


def read_json(path: str | os.PathLike) -> dict[str, Any]:
  """Returns the JSON object in the file `path`; InputError where it is not readable or not an object."""
  try:
    with open(path, encoding="utf-8") as file:
      value = json.load(file)
  except (OSError, ValueError) as error:
    raise InputError(f"{path}: cannot be read as JSON ({error})") from error
  if not isinstance(value, dict):
    raise InputError(f"{path}: holds a JSON {type(value).__name__}, and an object is needed")
  return value

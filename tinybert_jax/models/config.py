"""The shape of a BERT encoder, and its Hugging Face `config.json`."""

import dataclasses
import json
import os
import reprlib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from tinybert_jax.errors import InputError

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """Shape and settings of a BERT-family encoder; hashable, so it can be a static argument.

  Fields carry the names of Hugging Face's `BertConfig`; the defaults are BERT-base. `labels` are the class names
  in the order of the logits (Hugging Face's `id2label`). `problem_type` says what the logits mean; see `kind`.
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
  # Not in the repr: fingerprints of finished runs are made of it.
  problem_type: ProblemType | None = dataclasses.field(default=None, repr=False)

  def __post_init__(self):
    for name, largest in _SIZES.items():
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a positive whole number, not {_short(value)}")
      if value > largest:
        raise InputError(f"{name} must be at most {largest:,}, not {_short(value)}")
    if self.hidden_size % self.num_attention_heads:
      raise InputError(
        f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
      )
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
      rate = getattr(self, name)
      if rate is None and name == "classifier_dropout":
        continue
      if not _is_number(rate) or not 0 <= rate <= _HIGHEST_DROPOUT:
        raise InputError(f"{name} must be a number from 0 to {_HIGHEST_DROPOUT:.3f} (254/256), not {_short(rate)}")
    eps, scale = self.layer_norm_eps, self.initializer_range
    if not _is_number(eps) or not 0 < eps <= 1:
      raise InputError(f"layer_norm_eps must be a number above 0 and at most 1, such as 1e-12, not {_short(eps)}")
    if not _is_number(scale) or not 0 <= scale <= 1000:
      raise InputError(f"initializer_range must be a number from 0 to 1000, such as 0.02, not {_short(scale)}")
    if self.max_position_embeddings < 2:
      raise InputError("max_position_embeddings must be at least 2, for the tokens before and after a text")
    pad = self.pad_token_id
    if isinstance(pad, bool) or not isinstance(pad, int) or not 0 <= pad < self.vocab_size:
      raise InputError(f"pad_token_id must be a token id from 0 to {self.vocab_size - 1}, not {_short(pad)}")
    if not isinstance(self.hidden_act, str):
      raise InputError(f"hidden_act must be the name of an activation, such as 'gelu', not {_short(self.hidden_act)}")
    if not self.labels:
      raise InputError("labels must name at least one class (one name means regression)")
    if self.problem_type is not None and self.problem_type not in get_args(ProblemType):
      raise InputError(
        f"problem_type must be one of {', '.join(get_args(ProblemType))}, not {_short(self.problem_type)}"
      )

  @property
  def head_size(self) -> int:
    return self.hidden_size // self.num_attention_heads

  @property
  def shape(self) -> str:
    """Layers and width, such as "4 layers x 312"."""
    return f"{self.num_hidden_layers} layer{'s' * (self.num_hidden_layers > 1)} x {self.hidden_size}"

  @property
  def num_labels(self) -> int:
    return len(self.labels)

  @property
  def kind(self) -> ProblemType:
    """What the logits mean: `problem_type`, and where that is None, regression for one label, else single-label."""
    return self.problem_type or kind_of(self.num_labels)


def kind_of(num_labels: int) -> ProblemType:
  """Returns what a head of so many labels is where nothing says so; transformers goes by the same rule."""
  return "regression" if num_labels == 1 else "single_label_classification"


# The largest sizes keep a damaged file from filling the memory before it is refused.
_SIZES = {
  "vocab_size": 2**31 - 1,
  "hidden_size": 2**31 - 1,
  "num_hidden_layers": 1000,
  "num_attention_heads": 2**31 - 1,
  "intermediate_size": 2**31 - 1,
  "max_position_embeddings": 2**31 - 1,
  "type_vocab_size": 2**31 - 1,
}
_MOST_LABELS = 1_000_000
# `layers.dropout` rounds a rate to a multiple of 1/256 and divides by what is kept.
_HIGHEST_DROPOUT = 254 / 256
_FIELDS = {field.name for field in dataclasses.fields(EncoderConfig)} - {"labels"}


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def _short(value: Any) -> str:
  """Returns the value as an error shows it; a damaged file may hold a long one."""
  text = reprlib.repr(value)
  return text if len(text) <= 80 else f"{text[:77]}..."


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
  labels = _labels(hf, source)
  if fields.get("problem_type") == kind_of(len(labels)):
    del fields["problem_type"]  # what it is anyway; so a copy with other labels is not held to it
  try:
    return EncoderConfig(**fields, labels=labels)
  except InputError as error:
    raise InputError(f"{source}: {error}") from error
  except TypeError as error:
    raise InputError(f"{source}: a value has the wrong type ({error})") from error


def _labels(hf: Mapping[str, Any], source: str) -> tuple[str, ...]:
  numbers = hf.get("label2id")
  numbers = numbers if isinstance(numbers, Mapping) else {}
  if hf.get("id2label"):
    names = _numbered(hf["id2label"], "id2label", source)
    # Where one was left at its default, the other has other names.
    wrong = [name for index, name in enumerate(names) if str(numbers.get(name, index)) != str(index)]
    if wrong and len(set(names)) == len(names):
      raise InputError(f"{source}: id2label and label2id give {wrong[0]!r} different numbers")
    return names
  if numbers and not hf.get("num_labels"):
    by_index = {str(index): name for name, index in numbers.items()}
    if len(by_index) < len(numbers):
      raise InputError(f"{source}: label2id gives two names one number")
    return _numbered(by_index, "label2id", source)
  number = hf.get("num_labels") or 2
  if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST_LABELS:
    raise InputError(f"{source}: num_labels must be a whole number from 1 to {_MOST_LABELS:,}, not {_short(number)}")
  return tuple(f"LABEL_{index}" for index in range(number))


def _numbered(by_index: Any, key: str, source: str) -> tuple[str, ...]:
  """Returns the class names in the order of their numbers."""
  try:
    names = {int(index): str(name) for index, name in by_index.items()}
  except (AttributeError, TypeError, ValueError) as error:
    what = "class numbers to names" if key == "id2label" else "names to class numbers"
    raise InputError(f"{source}: {key} must map {what}") from error
  if sorted(names) != list(range(len(names))):
    raise InputError(f"{source}: {key} must number its classes 0 to {len(names) - 1} without a gap")
  return tuple(names[index] for index in range(len(names)))


def config_to_dict(config: EncoderConfig) -> dict[str, Any]:
  """Returns the Hugging Face dictionary of `config`: what `config.json` holds, less `architectures`."""
  fields = dataclasses.asdict(config)
  labels = fields.pop("labels")
  if fields["problem_type"] is None:
    del fields["problem_type"]
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


def check_is_no_pointer(path: str | os.PathLike, start: bytes) -> None:
  """Raises InputError where the bytes that a file begins with are those of a pointer of Git LFS."""
  if start.startswith(b"version https://git-lfs"):
    raise InputError(f"{path}: a pointer of Git LFS, not the file itself; `git lfs pull` in its repository fetches it")


def read_json(path: str | os.PathLike) -> dict[str, Any]:
  """Returns the JSON object in the file `path`; InputError where it is not readable or not an object."""
  try:
    with open(path, "rb") as file:  # whose encoding is found, with a byte order mark or without
      content = file.read()
    check_is_no_pointer(path, content)
    value = json.loads(content)
  except InputError:
    raise
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(f"{path}: cannot be read as JSON ({error})") from error
  if not isinstance(value, dict):
    raise InputError(f"{path}: holds a JSON {type(value).__name__}, and an object is needed")
  return value

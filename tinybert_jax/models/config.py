"""The shape of an encoder, and its Hugging Face `config.json`."""

import dataclasses
import json
import os
import reprlib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from tinybert_jax.errors import InputError
from tinybert_jax.models.activations import check_supported
from tinybert_jax.models.config_labels import label_names
from tinybert_jax.models.families import FAMILIES, Family
from tinybert_jax.models.family_settings import DebertaSettings, FamilySettings
from tinybert_jax.models.sentence_head import SentenceHead

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """Shape and settings of an encoder; hashable, so it can be a static argument.

  Fields carry the names of Hugging Face's `BertConfig`; the defaults are BERT-base. `labels` are the class names
  in the order of the logits (Hugging Face's `id2label`). `problem_type` says what the logits mean; see `kind`.
  `model_type` is the family, see `families`; `family_defaults` gives the defaults of another one than BERT.
  `embedding_size` is the width of the embeddings where it is not the hidden size, and `settings` are those that the
  family alone has. `type_vocab_size` is 0 in a family without segments. `sentence` is the head of a sentence encoder,
  which `config.json` does not tell.
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
  # In the repr where they are not as in BERT, see `__repr__`.
  model_type: str = dataclasses.field(default="bert", repr=False)
  embedding_size: int | None = dataclasses.field(default=None, repr=False)
  settings: FamilySettings | None = dataclasses.field(default=None, repr=False)
  sentence: SentenceHead | None = dataclasses.field(default=None, repr=False)

  def __repr__(self) -> str:
    """Returns what fingerprints of runs are made of; that of a BERT names no field that only other families have."""
    shown = [field.name for field in dataclasses.fields(self) if field.repr]
    shown += [
      name for name in ("model_type", "embedding_size", "settings", "sentence") if getattr(self, name) != _PLAIN[name]
    ]
    return f"EncoderConfig({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

  def __post_init__(self):
    if not isinstance(self.model_type, str) or self.model_type not in FAMILIES:
      raise InputError(f"model_type must be one of {', '.join(FAMILIES)}, not {_short(self.model_type)}")
    self._check_family()
    for name, largest in _SIZES.items():
      value = getattr(self, name)
      if value is None and name == "embedding_size":
        continue
      if name == "type_vocab_size" and value == 0 and not isinstance(value, bool) and self.family.segments != "yes":
        continue
      if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a positive whole number, not {_short(value)}")
      if value > largest:
        raise InputError(f"{name} must be at most {largest:,}, not {_short(value)}")
    if self.hidden_size % self.num_attention_heads:
      raise InputError(
        f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
      )
    if self.hidden_size % self.width_step:
      raise InputError(
        f"hidden_size {self.hidden_size} / num_attention_heads {self.num_attention_heads} is odd, and rotary positions "
        "turn pairs of components"
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
    if self.longest < 2:
      raise InputError(
        f"max_position_embeddings {self.max_position_embeddings} leaves {self.longest} positions for a text, since a "
        f"{self.family.title} counts from the padding token's; at least 2 are needed"
      )
    if not isinstance(self.hidden_act, str):
      raise InputError(f"hidden_act must be the name of an activation, such as 'gelu', not {_short(self.hidden_act)}")
    if not self.labels:
      raise InputError("labels must name at least one class (one name means regression)")
    if self.problem_type is not None and self.problem_type not in get_args(ProblemType):
      raise InputError(
        f"problem_type must be one of {', '.join(get_args(ProblemType))}, not {_short(self.problem_type)}"
      )

  def _check_family(self) -> None:
    """Raises InputError where fields are not those of the family; fills in its settings."""
    family = self.family
    if self.settings is None and family.settings is not None:
      object.__setattr__(self, "settings", family.settings())
    wanted = family.settings or type(None)
    if not isinstance(self.settings, wanted):
      raise InputError(f"settings of a {family.title} must be {wanted.__name__}, not {_short(self.settings)}")
    if self.embedding_size is not None and not family.own_embedding_width and self.embedding_size != self.hidden_size:
      raise InputError(f"embedding_size {_short(self.embedding_size)}: a {family.title} has that of its hidden_size")
    if self.embedding_size == self.hidden_size:
      object.__setattr__(self, "embedding_size", None)  # so that a copy of another width has embeddings of its own
    if family.segments == "no" and self.type_vocab_size != 0:
      raise InputError(f"type_vocab_size must be 0, as a {family.title} has no segments; not {self.type_vocab_size!r}")

  @property
  def family(self) -> Family:
    """The row of `families` for this model type."""
    return FAMILIES[self.model_type]

  @property
  def longest(self) -> int:
    """The most tokens that a text can have."""
    first = 0 if self.padding_position is None else self.padding_position + 1
    return self.max_position_embeddings - first

  @property
  def padding_position(self) -> int | None:
    """The position of padding, after which those of tokens come; None where positions are counted from 0."""
    if self.family.positions != "after padding":
      return None
    return self.pad_token_id if self.family.padding_position is None else self.family.padding_position

  @property
  def has_positions(self) -> bool:
    """Whether there is a table of absolute positions."""
    if isinstance(self.settings, DebertaSettings):
      return self.settings.position_biased_input
    return self.family.positions != "none"

  @property
  def embedding_width(self) -> int:
    return self.embedding_size or self.hidden_size

  @property
  def classifier_rate(self) -> float:
    """The rate of dropout before the classifier."""
    return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

  @property
  def pooled_activation(self) -> str:
    """Of the dense layer below the classifier."""
    return (self.settings or self.family).pooled_activation

  @property
  def transform_activation(self) -> str:
    """Of the masked language model's dense layer."""
    return (self.settings or self.family).transform_activation or self.hidden_act

  @property
  def head_size(self) -> int:
    return self.hidden_size // self.num_attention_heads

  @property
  def width_step(self) -> int:
    """What the hidden size is a multiple of: each head has one component, or two where positions turn pairs."""
    return self.num_attention_heads * (2 if self.family.attention == "rotary" else 1)

  def resized(self, layers: int, width: int, heads: int | None = None) -> "EncoderConfig":
    """Returns a model of the same family of another size, with the family's usual feed-forward width.

    Args:
      layers: their number.
      width: the hidden size.
      heads: their number; by default as many as here.
    """
    return dataclasses.replace(
      self,
      num_hidden_layers=layers,
      hidden_size=width,
      num_attention_heads=heads or self.num_attention_heads,
      intermediate_size=int(self.family.feed_forward * width),
      classifier_dropout=None,
    )

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
  "embedding_size": 2**31 - 1,
}
_PLAIN = {field.name: field.default for field in dataclasses.fields(EncoderConfig)}
# `layers.dropout` rounds a rate to a multiple of 1/256 and divides by what is kept.
_HIGHEST_DROPOUT = 254 / 256
_FIELDS = {field.name for field in dataclasses.fields(EncoderConfig)} - {"labels", "model_type", "settings", "sentence"}


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


def family_defaults(model_type: str) -> dict[str, Any]:
  """Returns the fields of `EncoderConfig` that a family has by default otherwise than BERT, its name among them."""
  family = FAMILIES[model_type]
  return {"model_type": model_type, **family.defaults, **family.fixed}


def config_from_dict(hf: Mapping[str, Any], source: str = "config.json") -> EncoderConfig:
  """Returns the EncoderConfig that a Hugging Face configuration dictionary describes.

  Raises InputError, naming `source`, for anything that is not an encoder of one of the `families`.
  """
  model_type = hf.get("model_type", "bert")  # TinyBERT's released configurations leave it out
  if not isinstance(model_type, str) or model_type not in FAMILIES:
    raise InputError(f"{source}: model_type is {model_type!r}, and only {', '.join(FAMILIES)} are supported")
  family = FAMILIES[model_type]
  position = hf.get("position_embedding_type") or "absolute"
  if position != "absolute":
    raise InputError(f"{source}: position_embedding_type is {position!r}, and only 'absolute' is supported")
  for switch in ("is_decoder", "add_cross_attention"):
    if hf.get(switch):
      raise InputError(f"{source}: {switch} is set, and only encoders are supported")
  theirs = {name: family.renamed.get(name, name) for name in _FIELDS}
  needed = [theirs[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")]
  missing = [name for name in needed if name not in hf]
  if missing:
    raise InputError(f"{source}: no {' and no '.join(missing)}; it is not a {family.title} configuration")
  found = {name: hf[theirs[name]] for name in _FIELDS if hf.get(theirs[name]) is not None}
  if not family.own_embedding_width and family.settings is None:
    found.pop("embedding_size", None)
  fields = {**family_defaults(model_type), **found, **family.fixed}
  if "classifier_dropout" in family.defaults and fields["classifier_dropout"] == fields.get("hidden_dropout_prob", 0.1):
    fields["classifier_dropout"] = None  # which means just that, and is what a new model has
  labels = label_names(hf, source)
  if fields.get("problem_type") == kind_of(len(labels)):
    del fields["problem_type"]  # what it is anyway; so a copy with other labels is not held to it
  try:
    settings = None if family.settings is None else family.settings.read(hf)
    config = EncoderConfig(**fields, labels=labels, settings=settings)
    check_supported(config.hidden_act)  # which the model would find out too, without a word of the file
    return config
  except InputError as error:
    raise InputError(f"{source}: {error}") from error
  except (TypeError, AttributeError) as error:
    raise InputError(f"{source}: a value has the wrong type ({error})") from error


def config_to_dict(config: EncoderConfig) -> dict[str, Any]:
  """Returns the Hugging Face dictionary of `config`: what `config.json` holds, less `architectures`."""
  family, labels = config.family, config.labels
  fields = {name: getattr(config, name) for name in _PLAIN if name in _FIELDS}
  if fields["problem_type"] is None:
    del fields["problem_type"]
  del fields["embedding_size"]
  if family.own_embedding_width:
    fields["embedding_size"] = config.embedding_width
  if "classifier_dropout" in family.defaults:
    fields["classifier_dropout"] = config.classifier_rate  # a number there
  return {
    "model_type": config.model_type,
    **{family.renamed.get(name, name): value for name, value in fields.items() if name not in family.fixed},
    **({} if config.settings is None else config.settings.written(config.num_hidden_layers)),
    **({"position_embedding_type": "absolute"} if config.has_positions else {}),
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

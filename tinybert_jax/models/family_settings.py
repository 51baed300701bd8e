"""Settings that one family of encoders has and others do not, under Hugging Face's names."""

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any

from tinybert_jax.errors import InputError

_LARGEST = 1_000_000


@dataclasses.dataclass(frozen=True)
class ModernBertSettings:
  """What ModernBERT and Ettin have besides the fields of `EncoderConfig`; the defaults are ModernBERT-base.

  Attributes:
    norm_bias: whether LayerNorms have a bias.
    attention_bias: whether the products around attention have one.
    mlp_bias: whether those of the feed-forward layer have one.
    classifier_bias: whether the dense layer of the heads has one.
    decoder_bias: whether the masked language model's logits have one.
    embedding_dropout: rate of dropout on the embeddings.
    local_attention: tokens that local attention spans, half of them on each side.
    global_attn_every_n_layers: the first layer, and every so many after it, attends to all tokens; others locally.
    global_rope_theta: base of the rotary positions in global layers.
    local_rope_theta: the same in local layers.
    classifier_pooling: "cls" for the first token, "mean" for the mean over the tokens.
    classifier_activation: of the heads' dense layer.
  """

  norm_bias: bool = False
  attention_bias: bool = False
  mlp_bias: bool = False
  classifier_bias: bool = False
  decoder_bias: bool = True
  embedding_dropout: float = 0.0
  local_attention: int = 128
  global_attn_every_n_layers: int = 3
  global_rope_theta: float = 160_000.0
  local_rope_theta: float = 10_000.0
  classifier_pooling: str = "cls"
  classifier_activation: str = "gelu"

  def __post_init__(self):
    _check_types(self)
    if self.classifier_pooling not in ("cls", "mean"):
      raise InputError(f"classifier_pooling must be cls or mean, not {self.classifier_pooling!r:.60}")
    if not 0 <= self.embedding_dropout < 1:
      raise InputError(f"embedding_dropout must be a number from 0 to below 1, not {self.embedding_dropout}")
    for name in ("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"):
      if getattr(self, name) < 1:
        raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
    if self.local_attention < 0:
      raise InputError(f"local_attention must not be negative, and is {self.local_attention}")

  @property
  def pooled_activation(self) -> str:
    return self.classifier_activation

  @property
  def transform_activation(self) -> str | None:
    return self.classifier_activation

  def is_global(self, layer: int) -> bool:
    """Returns whether a layer, counted from 0, attends to all tokens."""
    return layer % self.global_attn_every_n_layers == 0

  def rope_theta(self, layer: int) -> float:
    """Returns the base of the rotary positions of a layer, counted from 0."""
    return self.global_rope_theta if self.is_global(layer) else self.local_rope_theta

  @classmethod
  def read(cls, hf: Mapping[str, Any]) -> "ModernBertSettings":
    """Returns the settings in a configuration, in the spelling of transformers 4 or 5."""
    fields = {name: hf[name] for name in _names(cls) if hf.get(name) is not None}
    for kind, name in (("full_attention", "global_rope_theta"), ("sliding_attention", "local_rope_theta")):
      rope = (hf.get("rope_parameters") or {}).get(kind) or {}
      if (rope.get("rope_type") or "default") != "default" or hf.get("rope_scaling"):
        raise InputError(f"rotary positions of the kind {rope.get('rope_type')!r} are not supported, only 'default'")
      if rope.get("rope_theta") is not None:
        fields[name] = rope["rope_theta"]
    if hf.get("layer_types") is not None:
      fields["global_attn_every_n_layers"] = _period(hf["layer_types"], fields.get("global_attn_every_n_layers", 3))
    return cls(**fields)

  def written(self, layers: int) -> dict[str, Any]:
    """Returns the settings as transformers 5 reads them, for a model of so many layers."""
    kinds = ["full_attention" if self.is_global(layer) else "sliding_attention" for layer in range(layers)]
    thetas = {"full_attention": self.global_rope_theta, "sliding_attention": self.local_rope_theta}
    rope = {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()}
    return {**dataclasses.asdict(self), "layer_types": kinds, "rope_parameters": rope}


@dataclasses.dataclass(frozen=True)
class DebertaSettings:
  """What DeBERTa-v2 and v3 have besides the fields of `EncoderConfig`; the defaults are those of transformers.

  Attributes:
    relative_attention: whether attention depends on relative positions.
    pos_att_type: "c2p" for scores of content to position, "p2c" for position to content, or both.
    position_buckets: relative positions on each side that have an embedding, larger ones in logarithmic buckets;
      -1 for as many as `max_relative_positions`.
    max_relative_positions: the farthest; -1 for `max_position_embeddings`.
    share_att_key: whether relative positions go through the matrices of the tokens' queries and keys.
    norm_rel_ebd: "layer_norm" where the relative positions' embeddings are normalised.
    position_biased_input: whether absolute positions are added to the embeddings.
    conv_kernel_size: width of the convolution beside the first layer; 0 for none.
    conv_groups: its groups.
    conv_act: its activation.
    pooler_dropout: rate of dropout before the classifier's dense layer.
    pooler_hidden_act: activation of that layer.
  """

  relative_attention: bool = False
  pos_att_type: tuple[str, ...] = ()
  position_buckets: int = -1
  max_relative_positions: int = -1
  share_att_key: bool = False
  norm_rel_ebd: str = "none"
  position_biased_input: bool = True
  conv_kernel_size: int = 0
  conv_groups: int = 1
  conv_act: str = "tanh"
  pooler_dropout: float = 0.0
  pooler_hidden_act: str = "gelu"

  def __post_init__(self):
    _check_types(self)
    if not set(self.pos_att_type) <= {"c2p", "p2c"} or len(set(self.pos_att_type)) != len(self.pos_att_type):
      raise InputError(f"pos_att_type must be c2p, p2c or both, not {'|'.join(map(str, self.pos_att_type)):.60}")
    if not 0 <= self.pooler_dropout < 1:
      raise InputError(f"pooler_dropout must be a number from 0 to below 1, not {self.pooler_dropout}")
    if self.conv_kernel_size < 0 or (self.conv_kernel_size and self.conv_kernel_size % 2 == 0):
      raise InputError(f"conv_kernel_size must be odd, or 0 for no convolution, not {self.conv_kernel_size}")
    if self.conv_groups < 1:
      raise InputError(f"conv_groups must be at least 1, not {self.conv_groups}")

  @property
  def pooled_activation(self) -> str:
    return self.pooler_hidden_act

  @property
  def transform_activation(self) -> str | None:
    return None

  @classmethod
  def read(cls, hf: Mapping[str, Any]) -> "DebertaSettings":
    """Returns the settings in a configuration."""
    fields = {name: hf[name] for name in _names(cls) if hf.get(name) is not None}
    kinds = fields.get("pos_att_type", ())
    if isinstance(kinds, str):
      kinds = kinds.lower().replace(" ", "").split("|")
    if not isinstance(kinds, list | tuple):
      raise InputError(f"pos_att_type must be c2p, p2c or both, not {kinds!r:.60}")
    fields["pos_att_type"] = tuple(kind for kind in kinds if kind != "")
    if hf.get("pooler_hidden_size") not in (None, hf.get("hidden_size")):
      raise InputError(f"pooler_hidden_size is {hf['pooler_hidden_size']}, and only hidden_size is supported")
    if hf.get("attention_head_size") is not None and hf.get("attention_head_size") != _head_size(hf):
      raise InputError("attention_head_size is not hidden_size / num_attention_heads, and only that is supported")
    return cls(**fields)

  def written(self, layers: int) -> dict[str, Any]:
    """Returns the settings as transformers reads them."""
    return {**dataclasses.asdict(self), "pos_att_type": list(self.pos_att_type)}

  def span(self, positions: int) -> int:
    """Returns how many relative positions on each side have an embedding, in a model of so many positions."""
    return self.position_buckets if self.position_buckets > 0 else self.farthest(positions)

  def farthest(self, positions: int) -> int:
    """Returns the farthest relative position of a model of so many positions."""
    return self.max_relative_positions if self.max_relative_positions >= 1 else positions


FamilySettings = ModernBertSettings | DebertaSettings


def _names(cls: type) -> list[str]:
  return [field.name for field in dataclasses.fields(cls)]


def _check_types(settings: Any) -> None:
  """Raises InputError for a value of another type than its default has."""
  for field in dataclasses.fields(settings):
    value, default = getattr(settings, field.name), field.default
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
    if isinstance(default, bool):
      right = isinstance(value, bool)
    elif isinstance(default, int):
      right = is_number and isinstance(value, int)
    elif isinstance(default, float):
      right = is_number
    else:
      right = isinstance(value, type(default))
    if not right:
      raise InputError(f"{field.name} must be of the kind of {default!r}, not {reprlib.repr(value):.60}")


def _period(kinds: Any, written: Any) -> int:
  """Returns every how many layers one is global; `written` where several numbers say the same of so few layers."""
  if not isinstance(kinds, list) or not kinds or set(map(str, kinds)) - {"full_attention", "sliding_attention"}:
    raise InputError("layer_types must list full_attention or sliding_attention for each layer")
  is_global = [kind == "full_attention" for kind in kinds]
  candidates = [written] if isinstance(written, int) and written >= 1 else []
  for period in (*candidates, *range(1, len(kinds) + 1)):
    if is_global == [layer % period == 0 for layer in range(len(kinds))]:
      return period
  raise InputError("layer_types must have full_attention in the first layer and every n-th after it, and no others")


def _head_size(hf: Mapping[str, Any]) -> Any:
  try:
    return hf["hidden_size"] // hf["num_attention_heads"]
  except (KeyError, TypeError, ZeroDivisionError):
    return None

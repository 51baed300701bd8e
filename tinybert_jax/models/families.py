"""The families of encoders: in what each differs from BERT, one row a family.

What a row means is defined by transformers' class of that family, which the tests compare with.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from tinybert_jax.models import family_names
from tinybert_jax.models.family_names import Names
from tinybert_jax.models.family_settings import DebertaSettings, FamilySettings, ModernBertSettings


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
  """One family of encoders.

  Attributes:
    model_type: its name in configurations.
    title: its name in sentences.
    class_prefix: what the names of its classes in transformers begin with.
    names: of the tensors in its files.
    renamed: fields of `EncoderConfig` that have another name in its configurations.
    defaults: of fields, where they are not those of `EncoderConfig`.
    fixed: fields that its configurations do not have.
    settings: the type of the settings that it alone has.
    positions: the first position of a text is 0; or the one after the padding token's, and padding has that one; or
      there is no table of positions.
    padding_position: the padding token's position where that is not its id.
    segments: whether it has a table of segments; "some" where that depends on the configuration.
    own_embedding_width: whether `embedding_size` may differ from the hidden size.
    norm: LayerNorm after each residual sum, or before what is added to it.
    attention: what the attention of two tokens depends on besides their queries and keys.
    gated: whether the feed-forward layer is a product of two branches.
    drops_attended: whether there is dropout after attention's output.
    pooler: whether the encoder has a pooler; otherwise the classifier has a dense layer of its own.
    pooled_activation: of the classifier's dense layer, where no setting names it.
    drops_before_pooling: whether the classifier has dropout before its dense layer too.
    transform_activation: of the masked language model's dense layer, where it is not the encoder's.
    feed_forward: usual width of the feed-forward layer, in hidden sizes.
    mask_token: the usual one.
    token_roles: special tokens whose ids its configuration tells.
  """

  model_type: str
  title: str
  class_prefix: str
  names: Names
  renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
  defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  settings: type[FamilySettings] | None = None
  positions: Literal["from 0", "after padding", "none"] = "from 0"
  padding_position: int | None = None
  segments: Literal["yes", "no", "some"] = "yes"
  own_embedding_width: bool = False
  norm: Literal["after", "before"] = "after"
  attention: Literal["plain", "biased", "rotary", "disentangled"] = "plain"
  gated: bool = False
  drops_attended: bool = True
  pooler: bool = True
  pooled_activation: str = "tanh"
  drops_before_pooling: bool = False
  transform_activation: str | None = None
  feed_forward: float = 4
  mask_token: str = "[MASK]"
  token_roles: tuple[str, ...] = ()

  @property
  def fits_fused_attention(self) -> bool:
    """Whether its scores are those of queries and keys alone, which is what `fused_attention` computes."""
    return self.attention == "plain"


def _robertas(model_type: str, title: str, class_prefix: str, vocab_size: int) -> Family:
  return Family(
    model_type,
    title,
    class_prefix,
    family_names.ROBERTA,
    defaults={"vocab_size": vocab_size, "pad_token_id": 1},
    positions="after padding",
    drops_before_pooling=True,
    transform_activation="gelu",
    mask_token="<mask>",
    token_roles=("bos", "eos"),
  )


_ROWS = (
  Family("bert", "BERT", "Bert", family_names.BERT),
  _robertas("roberta", "RoBERTa", "Roberta", 50265),
  _robertas("xlm-roberta", "XLM-RoBERTa", "XLMRoberta", 30522),
  _robertas("camembert", "CamemBERT", "Camembert", 30522),
  Family(
    "distilbert",
    "DistilBERT",
    "DistilBert",
    family_names.DISTILBERT,
    renamed={
      "hidden_size": "dim",
      "num_hidden_layers": "n_layers",
      "num_attention_heads": "n_heads",
      "intermediate_size": "hidden_dim",
      "hidden_act": "activation",
      "hidden_dropout_prob": "dropout",
      "attention_probs_dropout_prob": "attention_dropout",
      "classifier_dropout": "seq_classif_dropout",
    },
    defaults={"classifier_dropout": 0.2},
    fixed={"layer_norm_eps": 1e-12, "type_vocab_size": 0},
    segments="no",
    drops_attended=False,
    pooler=False,
    pooled_activation="relu",
  ),
  Family(
    "electra",
    "ELECTRA",
    "Electra",
    family_names.ELECTRA,
    defaults={"embedding_size": 128, "intermediate_size": 1024},
    own_embedding_width=True,
    pooler=False,
    pooled_activation="gelu",
    drops_before_pooling=True,
    transform_activation="gelu",
  ),
  Family(
    "mpnet",
    "MPNet",
    "MPNet",
    family_names.MPNET,
    defaults={"vocab_size": 30527, "pad_token_id": 1},
    fixed={"type_vocab_size": 0, "classifier_dropout": None},
    positions="after padding",
    padding_position=1,
    segments="no",
    attention="biased",
    drops_before_pooling=True,
    transform_activation="gelu",
    mask_token="<mask>",
    token_roles=("bos", "eos"),
  ),
  Family(
    "modernbert",
    "ModernBERT",
    "ModernBert",
    family_names.MODERNBERT,
    renamed={
      "hidden_act": "hidden_activation",
      "hidden_dropout_prob": "mlp_dropout",
      "attention_probs_dropout_prob": "attention_dropout",
      "layer_norm_eps": "norm_eps",
    },
    defaults={
      "vocab_size": 50368,
      "intermediate_size": 1152,
      "max_position_embeddings": 8192,
      "layer_norm_eps": 1e-5,
      "pad_token_id": 50283,
      "hidden_dropout_prob": 0.0,
      "attention_probs_dropout_prob": 0.0,
      "classifier_dropout": 0.0,
    },
    fixed={"type_vocab_size": 0},
    settings=ModernBertSettings,
    positions="none",
    segments="no",
    norm="before",
    attention="rotary",
    gated=True,
    pooler=False,
    feed_forward=1.5,
    token_roles=("bos", "eos", "cls", "sep"),
  ),
  Family(
    "deberta-v2",
    "DeBERTa",
    "DebertaV2",
    family_names.DEBERTA,
    renamed={"classifier_dropout": "cls_dropout"},
    defaults={"vocab_size": 128100, "type_vocab_size": 0, "layer_norm_eps": 1e-7, "intermediate_size": 6144},
    settings=DebertaSettings,
    segments="some",
    attention="disentangled",
    pooler=False,
    drops_before_pooling=True,
  ),
)
FAMILIES: dict[str, Family] = {row.model_type: row for row in _ROWS}

"""Names of tensors in the files of each family, beside those of the Flax modules here."""

import dataclasses
from collections.abc import Mapping

# Tensors that are no weights: positions, segments and angles that older files hold.
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids", "rotary_emb.")
# Heads that a file of any family may hold and the model asked for does not read: of BERT's pretraining, of other tasks,
# and the projections inside TinyBERT's released students.
OTHER_HEADS = ("cls.", "classifier.", "qa_outputs.", "fit_dense.", "fit_denses.")


@dataclasses.dataclass(frozen=True)
class Names:
  """How a family names the tensors of its files.

  A module here has the parameters kernel and bias, scale and bias, or embedding; there weight and bias. A kernel is a
  PyTorch weight transposed.

  Attributes:
    base: what stands before the encoder's names where a model has a head.
    anchor: a tensor that every file has, and that a masked language model shares with nothing.
    body: the encoder's modules: Flax path below the encoder, and name there.
    layer: those of layer `{i}`, counted from 0 on both sides: Flax path below the layer, and name there.
    classifier: the modules of `SequenceClassifier` outside the encoder, or named otherwise with the head than without.
    masked: those of `MaskedLanguageModel`; "bias" is a tensor's whole name.
    tokens: those of `TokenClassifier`.
    spans: those of `SpanClassifier`.
    tied: second names of shared tensors, which a file may hold as well or instead.
    fused: modules whose weight there holds several here, one below the other.
    other_heads: what the names of further heads of the family begin with.
    unread: what the names of tensors begin with that a file may hold though its configuration turns them off.
  """

  base: str
  anchor: str
  body: Mapping[str, str]
  layer: Mapping[str, str]
  classifier: Mapping[str, str]
  masked: Mapping[str, str]
  tied: Mapping[str, str]
  tokens: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"token_classifier": "classifier"})
  spans: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"span_classifier": "qa_outputs"})
  fused: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  other_heads: tuple[str, ...] = ()
  unread: tuple[str, ...] = ()

  @property
  def heads(self) -> tuple[str, ...]:
    """What the names of the tensors of heads begin with."""
    tables = (*self.classifier.values(), *self.masked.values(), *self.tied)
    return (*OTHER_HEADS, *self.other_heads, *sorted({name.split(".")[0] + "." for name in tables} - {"pooler."}))


_EMBEDDINGS = {
  "embeddings/word_embeddings": "embeddings.word_embeddings",
  "embeddings/position_embeddings": "embeddings.position_embeddings",
  "embeddings/token_type_embeddings": "embeddings.token_type_embeddings",
  "embeddings/layer_norm": "embeddings.LayerNorm",
}
_LAYER = {
  "attention/query": "encoder.layer.{i}.attention.self.query",
  "attention/key": "encoder.layer.{i}.attention.self.key",
  "attention/value": "encoder.layer.{i}.attention.self.value",
  "attention/output": "encoder.layer.{i}.attention.output.dense",
  "attention_norm": "encoder.layer.{i}.attention.output.LayerNorm",
  "intermediate": "encoder.layer.{i}.intermediate.dense",
  "output": "encoder.layer.{i}.output.dense",
  "output_norm": "encoder.layer.{i}.output.LayerNorm",
}
_POOLER = {"pooler": "pooler.dense"}
_POSITIONS = "embeddings.position_embeddings.weight"
_WORDS = "embeddings.word_embeddings.weight"
_TWO_LAYERS = {"encoder/pooler": "classifier.dense", "classifier": "classifier.out_proj"}
_LM_HEAD = {"transform": "lm_head.dense", "transform_norm": "lm_head.layer_norm", "bias": "lm_head.bias"}
_LM_TIED = {"lm_head.decoder.weight": _WORDS, "lm_head.decoder.bias": "lm_head.bias"}

BERT = Names(
  base="bert.",
  anchor=_POSITIONS,
  body=_EMBEDDINGS | _POOLER,
  layer=_LAYER,
  classifier={"classifier": "classifier"},
  masked={
    "transform": "cls.predictions.transform.dense",
    "transform_norm": "cls.predictions.transform.LayerNorm",
    "bias": "cls.predictions.bias",
  },
  tied={"cls.predictions.decoder.weight": _WORDS, "cls.predictions.decoder.bias": "cls.predictions.bias"},
)
# XLM-RoBERTa and CamemBERT call their encoder "roberta" as well.
ROBERTA = Names("roberta.", _POSITIONS, _EMBEDDINGS | _POOLER, _LAYER, _TWO_LAYERS, _LM_HEAD, _LM_TIED)
DISTILBERT = Names(
  base="distilbert.",
  anchor=_POSITIONS,
  body=_EMBEDDINGS,
  layer={
    "attention/query": "transformer.layer.{i}.attention.q_lin",
    "attention/key": "transformer.layer.{i}.attention.k_lin",
    "attention/value": "transformer.layer.{i}.attention.v_lin",
    "attention/output": "transformer.layer.{i}.attention.out_lin",
    "attention_norm": "transformer.layer.{i}.sa_layer_norm",
    "intermediate": "transformer.layer.{i}.ffn.lin1",
    "output": "transformer.layer.{i}.ffn.lin2",
    "output_norm": "transformer.layer.{i}.output_layer_norm",
  },
  classifier={"pre_classifier": "pre_classifier", "classifier": "classifier"},
  masked={"transform": "vocab_transform", "transform_norm": "vocab_layer_norm", "bias": "vocab_projector.bias"},
  tied={"vocab_projector.weight": _WORDS},
)
ELECTRA = Names(
  base="electra.",
  anchor=_POSITIONS,
  body=_EMBEDDINGS | {"embeddings/projection": "embeddings_project"},
  layer=_LAYER,
  classifier={"pre_classifier": "classifier.dense", "classifier": "classifier.out_proj"},
  masked={
    "transform": "generator_predictions.dense",
    "transform_norm": "generator_predictions.LayerNorm",
    "bias": "generator_lm_head.bias",
  },
  tied={"generator_lm_head.weight": _WORDS},
  other_heads=("discriminator_predictions.", "sequence_summary."),
)
MPNET = Names(
  base="mpnet.",
  anchor=_POSITIONS,
  body=_EMBEDDINGS | _POOLER | {"relative_positions/bias": "encoder.relative_attention_bias"},
  layer=_LAYER
  | {
    "attention/query": "encoder.layer.{i}.attention.attn.q",
    "attention/key": "encoder.layer.{i}.attention.attn.k",
    "attention/value": "encoder.layer.{i}.attention.attn.v",
    "attention/output": "encoder.layer.{i}.attention.attn.o",
    "attention_norm": "encoder.layer.{i}.attention.LayerNorm",
  },
  classifier=_TWO_LAYERS,
  masked=_LM_HEAD,
  tied=_LM_TIED,
)
_HEAD = {"pre_classifier": "head.dense", "pre_classifier_norm": "head.norm"}
MODERNBERT = Names(
  base="model.",
  anchor="embeddings.norm.weight",
  body={
    "embeddings/word_embeddings": "embeddings.tok_embeddings",
    "embeddings/layer_norm": "embeddings.norm",
    "final_norm": "final_norm",
  },
  layer={
    "attention_norm": "layers.{i}.attn_norm",
    "attention/query": "layers.{i}.attn.Wqkv[query]",
    "attention/key": "layers.{i}.attn.Wqkv[key]",
    "attention/value": "layers.{i}.attn.Wqkv[value]",
    "attention/output": "layers.{i}.attn.Wo",
    "intermediate_norm": "layers.{i}.mlp_norm",
    "intermediate": "layers.{i}.mlp.Wi[input]",
    "gate": "layers.{i}.mlp.Wi[gate]",
    "output": "layers.{i}.mlp.Wo",
  },
  classifier=_HEAD | {"classifier": "classifier"},
  masked={"transform": "head.dense", "transform_norm": "head.norm", "bias": "decoder.bias"},
  tied={"decoder.weight": "embeddings.tok_embeddings.weight"},
  tokens=_HEAD | {"token_classifier": "classifier"},
  spans=_HEAD | {"span_classifier": "classifier"},
  fused={"attn.Wqkv": ("query", "key", "value"), "mlp.Wi": ("input", "gate")},
)
DEBERTA = Names(
  base="deberta.",
  anchor="embeddings.LayerNorm.weight",
  body=_EMBEDDINGS
  | {
    "relative_positions/embeddings": "encoder.rel_embeddings",
    "relative_positions/layer_norm": "encoder.LayerNorm",
  },
  layer=_LAYER
  | {
    "attention/query": "encoder.layer.{i}.attention.self.query_proj",
    "attention/key": "encoder.layer.{i}.attention.self.key_proj",
    "attention/value": "encoder.layer.{i}.attention.self.value_proj",
    "attention/position_query": "encoder.layer.{i}.attention.self.pos_query_proj",
    "attention/position_key": "encoder.layer.{i}.attention.self.pos_key_proj",
    "convolution/conv": "encoder.conv.conv",  # of the first layer
    "convolution/layer_norm": "encoder.conv.LayerNorm",
  },
  classifier={"pre_classifier": "pooler.dense", "classifier": "classifier"},
  masked=BERT.masked,
  tied=BERT.tied,
  other_heads=("lm_predictions.", "mask_predictions."),
  unread=("embeddings.position_embeddings.",),
)

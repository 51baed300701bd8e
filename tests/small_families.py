"""Small models of every family, by PyTorch's classes in transformers, at odd sizes."""

import numpy as np
import torch
import transformers

from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  SequenceClassifier,
  SpanClassifier,
  TokenClassifier,
)

ONE = {"vocab_size": 53, "hidden_size": 15, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 23}
TWO = {"vocab_size": 37, "hidden_size": 14, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 9}
DISTIL = [
  {"dim": 15, "n_layers": 2, "n_heads": 3, "hidden_dim": 23, "vocab_size": 53},
  {"dim": 14, "n_layers": 1, "n_heads": 1, "hidden_dim": 9, "vocab_size": 37, "activation": "relu"},
]
ROTARY = {"hidden_size": 18, "local_attention": 6, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2,
          "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
BIASES = dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), True)
RELATIVE = {"relative_attention": True, "position_buckets": 4, "max_position_embeddings": 16, "type_vocab_size": 0}
PADDED = {"pad_token_id": 1, "max_position_embeddings": 20}
CONFIGURATIONS = {
  "roberta": [ONE | PADDED | {"type_vocab_size": 1}, TWO | PADDED | {"hidden_act": "relu"}],
  "xlm-roberta": [ONE | PADDED | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}, TWO | PADDED],
  "camembert": [
    TWO | {"pad_token_id": 3, "type_vocab_size": 1, "max_position_embeddings": 24},
    ONE | PADDED | {"type_vocab_size": 1, "hidden_act": "gelu_new"},
  ],
  "distilbert": DISTIL,
  "electra": [ONE | {"embedding_size": 9}, TWO | {"embedding_size": 14, "hidden_act": "silu"}],
  "mpnet": [ONE | PADDED, TWO | PADDED | {"hidden_act": "relu"}],
  "modernbert": [
    ONE | ROTARY | {"num_hidden_layers": 4, "global_attn_every_n_layers": 2},
    TWO | ROTARY | BIASES | {"hidden_size": 16, "num_hidden_layers": 3, "classifier_pooling": "mean",
                             "classifier_activation": "silu", "decoder_bias": False, "norm_eps": 1e-3},
  ],
  "deberta-v2": [
    ONE | RELATIVE | {"pos_att_type": "p2c|c2p", "share_att_key": True, "norm_rel_ebd": "layer_norm",
                      "position_biased_input": False},
    TWO | RELATIVE | {"pos_att_type": ["c2p", "p2c"], "position_buckets": -1, "type_vocab_size": 2,
                      "conv_kernel_size": 3, "conv_act": "gelu", "num_hidden_layers": 2, "num_attention_heads": 2},
  ],
}  # fmt: skip
BERTS = [ONE | {"max_position_embeddings": 13}, TWO | {"hidden_act": "relu"}]
MODELS = {
  Encoder: transformers.AutoModel,
  SequenceClassifier: transformers.AutoModelForSequenceClassification,
  MaskedLanguageModel: transformers.AutoModelForMaskedLM,
}
_TOKENS = {
  TokenClassifier: transformers.AutoModelForTokenClassification,
  SpanClassifier: transformers.AutoModelForQuestionAnswering,
}


def make_theirs(model_class, model_type, number):
  torch.manual_seed(number)
  # A wide initialisation, so that attention is far from uniform and a wrong layer cannot hide.
  wide = {"initializer_range": 0.3, "num_labels": 2 + (model_class is not SpanClassifier)}
  shape = {"bert": BERTS, **CONFIGURATIONS}[model_type][number]
  config = transformers.AutoConfig.for_model(model_type, **shape, **wide, attn_implementation="eager")
  model = {**MODELS, **_TOKENS}[model_class].from_config(config, attn_implementation="eager").eval()
  for name, parameter in model.named_parameters():  # biases and norms are drawn too: at 0 and 1 they hide mistakes
    if parameter.ndim == 1:
      torch.nn.init.normal_(parameter.data, 1.0 if "norm" in name.lower() and "weight" in name else 0.0, 0.2)
  return model


def make_batch(config, side):
  """Three rows of 11 tokens, two of them padded; the second half of each text is a second segment."""
  rng = np.random.default_rng(1)
  lengths = np.array([11, 7, 1])
  place = np.arange(11) if side == "right" else np.arange(11)[::-1]
  mask = (place < lengths[:, None]).astype(np.int32)
  ids = np.where(mask, rng.integers(4, config.vocab_size, (3, 11)), config.pad_token_id).astype(np.int32)
  batch = {"input_ids": ids, "attention_mask": mask}
  if config.type_vocab_size > 1:
    batch["token_type_ids"] = (np.arange(11) > 5).astype(np.int32) * mask
  return batch

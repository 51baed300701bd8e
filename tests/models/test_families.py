"""Every family against its PyTorch classes in transformers, both ways, at odd sizes."""

import jax
import numpy as np
import pytest
import torch
import transformers

from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier
from tinybert_jax.models.pretrained import load_pretrained, save_pretrained

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
  "xlm-roberta": [ONE | PADDED | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}],
  "camembert": [TWO | {"pad_token_id": 3, "type_vocab_size": 1, "max_position_embeddings": 24}],
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
TOKENS = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")  # which come with a tokenizer
SAVING = ("dtype", "architectures", "transformers_version", "_name_or_path")  # of the file, not of the model
AUTO = {
  Encoder: transformers.AutoModel,
  SequenceClassifier: transformers.AutoModelForSequenceClassification,
  MaskedLanguageModel: transformers.AutoModelForMaskedLM,
}
# The encoders within the heads are compared as well, so the bare one is loaded once a family.
CASES = [
  (model_type, number, model_class)
  for model_type, given in CONFIGURATIONS.items()
  for number in range(len(given))
  for model_class in AUTO
  if (model_class is Encoder) <= (number == 0)
]


def make_theirs(model_class, model_type, number):
  torch.manual_seed(number)
  # A wide initialisation, so that attention is far from uniform and a wrong layer cannot hide.
  wide = {"initializer_range": 0.3, "num_labels": 3, "attn_implementation": "eager"}
  config = transformers.AutoConfig.for_model(model_type, **CONFIGURATIONS[model_type][number], **wide)
  model = AUTO[model_class].from_config(config, attn_implementation="eager").eval()
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


def their_scores(model):
  """Returns a list that each forward pass appends the scores of its layers to: what enters the softmax, unmasked."""
  scores, softmax = [], torch.nn.functional.softmax

  def recorded(x, *args, **options):
    if x.ndim == 4:
      scores.append(x.detach().numpy())
    return softmax(x, *args, **options)

  return scores, recorded


def their_outputs(model, batch, monkeypatch):
  scores, recorded = their_scores(model)
  with monkeypatch.context() as patch, torch.no_grad():
    patch.setattr(torch.nn.functional, "softmax", recorded)
    outputs = model(**{name: torch.tensor(value).long() for name, value in batch.items()}, output_hidden_states=True)
  return {
    "hidden_states": [hidden.numpy() for hidden in outputs.hidden_states],
    "scores": scores,
    "logits": outputs.logits.numpy() if "logits" in outputs else None,
    "pooled": outputs.pooler_output.numpy() if outputs.get("pooler_output") is not None else None,
  }


def assert_agrees(ours, theirs, mask, near=None):
  def close(a, b, where):
    a, b = np.asarray(a)[where], b[where]
    assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()

  assert len(ours.hidden_states) == len(theirs["hidden_states"])
  for a, b in zip(ours.hidden_states, theirs["hidden_states"], strict=True):
    close(a, b, mask)
  for a, b in zip(ours.attention_scores, theirs["scores"], strict=True):
    close(a, b, np.broadcast_to((mask[:, :, None] & mask[:, None])[:, None], b.shape) & (b > -1e30))
  for name in ("logits", "pooled"):
    if theirs[name] is not None:
      close(getattr(ours, name), theirs[name], mask if theirs[name].ndim == 3 else slice(None))


def run_ours(model_class, config, params, batch):
  layers = tuple(range(1, config.num_hidden_layers + 1))
  model = model_class(config)
  return jax.jit(lambda params, batch: model.apply({"params": params}, batch, score_layers=layers))(params, batch)


@pytest.mark.parametrize(("model_type", "number", "model_class"), CASES)
def test_both_ways_agree_with_pytorch(tmp_path, monkeypatch, model_type, number, model_class):
  theirs = make_theirs(model_class, model_type, number)
  theirs.save_pretrained(tmp_path / "theirs")
  loaded = load_pretrained(tmp_path / "theirs", model_class)
  pooler = {"encoder/pooler/bias", "encoder/pooler/kernel"} if model_class is MaskedLanguageModel else set()
  assert set(loaded.initialized) <= pooler
  for side in ("right", "left"):
    batch = make_batch(loaded.config, side)
    reference = their_outputs(theirs, batch, monkeypatch)
    ours = run_ours(model_class, loaded.config, loaded.params, batch)
    assert_agrees(ours, reference, batch["attention_mask"].astype(bool))
  save_pretrained(tmp_path / "ours", loaded.config, loaded.params)
  back, info = AUTO[model_class].from_pretrained(tmp_path / "ours", output_loading_info=True)
  assert type(back) is type(theirs) and not any(info.values()), info
  assert transformers.AutoConfig.from_pretrained(tmp_path / "ours").architectures == [type(theirs).__name__]
  for (name, tensor), (_, same) in zip(theirs.named_parameters(), back.named_parameters(), strict=True):
    torch.testing.assert_close(tensor, same, rtol=0, atol=0, msg=name)
  lost = {key for key, value in theirs.config.to_dict().items() if value != back.config.to_dict().get(key)}
  assert lost <= {
    "initializer_range",
    "problem_type",
    "bos_token_id",
    "eos_token_id",
    "cls_token_id",
    "sep_token_id",
    *SAVING,
  }

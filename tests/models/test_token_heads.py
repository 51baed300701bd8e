"""Heads that read every token against their PyTorch classes in transformers, both ways."""

import datasets
import jax
import numpy as np
import pytest
import torch
import transformers

from tinybert_jax.errors import InputError, UnfinishedError
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.heads import SPANS, TOKENS, on_encoder
from tinybert_jax.models.pretrained import load_pretrained
from tinybert_jax.training.evaluate import predict

SIZES = {"vocab_size": 37, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 9}
OF_FAMILY = {
  "bert": SIZES,
  "distilbert": {"dim": 12, "n_layers": 1, "n_heads": 2, "hidden_dim": 9, "vocab_size": 37},
  "modernbert": SIZES | {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
}
AUTO = {TOKENS: transformers.AutoModelForTokenClassification, SPANS: transformers.AutoModelForQuestionAnswering}
LENGTHS = (7, 2, 5)
CASES = [("bert", TOKENS, 3), ("bert", SPANS, 2), ("distilbert", SPANS, 2), ("modernbert", TOKENS, 3)]


def make_theirs(head, model_type, labels):
  torch.manual_seed(0)
  config = transformers.AutoConfig.for_model(
    model_type, **OF_FAMILY[model_type], initializer_range=0.3, num_labels=labels, attn_implementation="eager"
  )
  model = AUTO[head].from_config(config, attn_implementation="eager").eval()
  for parameter in model.parameters():
    if parameter.ndim == 1:
      torch.nn.init.normal_(parameter.data, 0.5, 0.2)
  return model


def their_logits(model, ids):
  with torch.no_grad():
    outputs = model(torch.tensor([ids]))
  if "start_logits" in outputs:
    return torch.stack([outputs.start_logits, outputs.end_logits], -1)[0].numpy()
  return outputs.logits[0].numpy()


@pytest.mark.parametrize(("model_type", "head", "labels"), CASES)
def test_logits_of_each_token_and_files_are_transformers(tmp_path, model_type, head, labels):
  theirs = make_theirs(head, model_type, labels)
  theirs.save_pretrained(tmp_path / "theirs")
  loaded = head.load(tmp_path / "theirs", finished=True)
  rng = np.random.default_rng(0)
  ids = [rng.integers(4, 37, length).tolist() for length in LENGTHS]
  rows = datasets.Dataset.from_dict({"input_ids": ids})
  found = predict(head.module(loaded.config), loaded.params, rows, lengths=(8,))  # all in one batch, two rows padded
  assert found.lengths.tolist() == list(LENGTHS) and found.values.shape == (sum(LENGTHS), labels)
  for row, one in enumerate(ids):
    np.testing.assert_allclose(found[row], their_logits(theirs, one), atol=2e-5)

  head.save(tmp_path / "ours", loaded.config, loaded.params)
  again, report = AUTO[head].from_pretrained(tmp_path / "ours", output_loading_info=True)
  assert type(again) is type(theirs) and not any(report[name] for name in ("missing_keys", "unexpected_keys"))
  np.testing.assert_allclose(their_logits(again.eval(), ids[0]), their_logits(theirs, ids[0]), atol=1e-5)


def test_other_heads_are_told_by_the_name_of_their_class(tmp_path):
  config = transformers.BertConfig(**SIZES)
  transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "texts")
  transformers.BertModel(config).save_pretrained(tmp_path / "bare")
  with pytest.raises(
    InputError, match="ForSequenceClassification, which classifies whole texts, and a classifier of to"
  ):
    TOKENS.load(tmp_path / "texts")
  with pytest.raises(InputError, match="and a model that marks spans is needed"):
    SPANS.load(tmp_path / "texts")
  with pytest.raises(UnfinishedError, match="no classifier of tokens in its weights"):
    TOKENS.load(tmp_path / "bare", finished=True)
  encoder = load_pretrained(tmp_path / "bare")
  made = on_encoder(TOKENS, encoder.config, encoder.params)
  assert set(made.params["encoder"]) == set(encoder.params) - {"pooler"}
  assert "pooler" in on_encoder(TOKENS.__class__(SequenceClassifier), encoder.config, encoder.params).params["encoder"]
  fresh = jax.tree.map(np.asarray, on_encoder(TOKENS, encoder.config).params["encoder"]["embeddings"])
  assert not np.array_equal(
    fresh["word_embeddings"]["embedding"], made.params["encoder"]["embeddings"]["word_embeddings"]["embedding"]
  )

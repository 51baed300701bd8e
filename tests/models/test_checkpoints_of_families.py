"""What checkpoints of the families look like in the wild: each opens, or gets one sentence."""

import json

import jax
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from small_tokenizer import word_tokenizer

from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier
from tinybert_jax.models.pretrained import load_pretrained, local_directory, save_pretrained

SIZES = {"vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6}
DISTIL = {"vocab_size": 64, "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 6}
OWN = {
  "distilbert": DISTIL,
  "electra": SIZES | {"embedding_size": 6},
  "modernbert": SIZES | {"pad_token_id": 0},
  "deberta-v2": SIZES | {"relative_attention": True, "position_biased_input": False, "pos_att_type": "p2c|c2p"},
}


def write(directory, auto, model_type, **options):
  config = transformers.AutoConfig.for_model(model_type, **{**OWN.get(model_type, SIZES), **options})
  model = auto.from_config(config)
  model.save_pretrained(directory)
  return model


def change(directory, tensors=None, **config):
  """Rewrites the weights by a function of the dictionary, and fields of the configuration; None removes one."""
  if tensors is not None:
    found = load_file(directory / "model.safetensors")
    save_file(tensors(found), directory / "model.safetensors")
  hf = json.loads((directory / "config.json").read_text()) | config
  (directory / "config.json").write_text(json.dumps({key: value for key, value in hf.items() if value is not None}))


def assert_same(one, other):
  jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


def test_prefixes_buffers_and_tied_tensors_of_a_roberta(tmp_path):
  write(tmp_path, transformers.AutoModelForMaskedLM, "roberta")
  plain = load_pretrained(tmp_path, MaskedLanguageModel, seed=1)
  assert load_pretrained(tmp_path, MaskedLanguageModel).config == plain.config

  def as_older_programs(tensors):
    tensors["lm_head.decoder.weight"] = tensors["roberta.embeddings.word_embeddings.weight"].clone()
    tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"].clone()
    tensors["roberta.embeddings.position_ids"] = torch.arange(512)[None]
    return {f"module.{name}": tensor for name, tensor in tensors.items()}

  change(tmp_path, as_older_programs)
  assert_same(load_pretrained(tmp_path, MaskedLanguageModel, seed=1), plain)
  encoder = load_pretrained(tmp_path, Encoder)
  assert encoder.initialized == ("pooler/bias", "pooler/kernel")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_float32(tmp_path, dtype):
  model = write(tmp_path, transformers.AutoModel, "modernbert").to(dtype)
  model.save_pretrained(tmp_path)
  loaded = load_pretrained(tmp_path)
  assert {leaf.dtype for leaf in jax.tree.leaves(loaded.params)} == {np.dtype(np.float32)}
  whole = model.layers[0].attn.Wqkv.weight.detach().float().numpy()
  attention = loaded.params["layers_0"]["attention"]
  np.testing.assert_array_equal(
    np.concatenate([attention[name]["kernel"].T for name in ("query", "key", "value")]), whole
  )


def test_a_sentence_transformer_may_keep_a_distilbert_in_a_folder(tmp_path):
  write(tmp_path / "0_Transformer", transformers.AutoModel, "distilbert")
  (tmp_path / "modules.json").write_text("[]")
  (tmp_path / "config.json").write_text('{"__version__": "2.0.0"}')
  assert local_directory(tmp_path) == tmp_path / "0_Transformer"
  loaded = load_pretrained(tmp_path)
  assert loaded.config.hidden_size == 8 and loaded.initialized == ()


def test_a_discriminator_of_electra_is_an_encoder_and_the_start_of_a_classifier(tmp_path):
  write(tmp_path, transformers.AutoModelForPreTraining, "electra")
  assert load_pretrained(tmp_path).initialized == ()
  fresh = load_pretrained(tmp_path, SequenceClassifier, labels=("a", "b", "c")).initialized
  assert {path.split("/")[0] for path in fresh} == {"pre_classifier", "classifier"}
  with pytest.raises(InputError, match=r"no classifier and no classifier.dense in its weights.*a finished Electra"):
    load_pretrained(tmp_path, SequenceClassifier, finished=True)


def test_a_deberta_v3_may_hold_positions_and_heads_that_it_does_not_use(tmp_path):
  write(tmp_path, transformers.AutoModelForSequenceClassification, "deberta-v2")
  plain = load_pretrained(tmp_path, SequenceClassifier, finished=True)
  extra = {
    "deberta.embeddings.position_embeddings.weight": torch.zeros(512, 8),
    "lm_predictions.lm_head.bias": torch.zeros(64),
    "mask_predictions.dense.weight": torch.zeros(8, 8),
  }
  change(tmp_path, lambda tensors: tensors | extra, architectures=None)
  assert_same(load_pretrained(tmp_path, SequenceClassifier), plain)


@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "electra", "deberta-v2"])
def test_a_tagger_is_no_classifier_whether_named_or_not(tmp_path, model_type):
  write(tmp_path, transformers.AutoModelForTokenClassification, model_type)
  assert load_pretrained(tmp_path, Encoder).config.model_type == model_type
  with pytest.raises(InputError, match="ForTokenClassification, which labels each token"):
    load_pretrained(tmp_path, SequenceClassifier)
  change(tmp_path, architectures=None)
  with pytest.raises(InputError, match=r"its weights have a classifier and no .* as models that label each token"):
    load_pretrained(tmp_path, SequenceClassifier)


def test_configurations_without_class_names_and_with_numbers_as_text(tmp_path):
  write(tmp_path, transformers.AutoModelForSequenceClassification, "distilbert", num_labels=3)
  change(tmp_path, id2label=None, label2id=None, num_labels=3, pad_token_id=None)
  assert load_pretrained(tmp_path, SequenceClassifier).config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
  change(tmp_path, label2id={"no": "0", "maybe": "1", "yes": "2"}, num_labels=None)
  assert load_pretrained(tmp_path, SequenceClassifier).config.labels == ("no", "maybe", "yes")


def test_special_tokens_of_the_tokenizer_are_in_the_configuration(tmp_path):
  write(tmp_path / "theirs", transformers.AutoModel, "modernbert")
  loaded, tokenizer = load_pretrained(tmp_path / "theirs"), word_tokenizer()
  save_pretrained(tmp_path / "ours", loaded.config, loaded.params, tokenizer=tokenizer)
  hf = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
  assert (hf.cls_token_id, hf.bos_token_id) == (tokenizer.cls_token_id,) * 2
  assert (hf.sep_token_id, hf.eos_token_id) == (tokenizer.sep_token_id,) * 2


def test_a_family_that_is_none_of_these_is_one_sentence(tmp_path):
  write(tmp_path, transformers.AutoModel, "mpnet")
  change(tmp_path, model_type="xlnet")
  with pytest.raises(InputError, match=r"model_type is 'xlnet', and only bert, roberta, .*deberta-v2 are supported"):
    load_pretrained(tmp_path)
  change(tmp_path, model_type="bert")
  with pytest.raises(InputError, match=r"the weights do not fit config\.json"):
    load_pretrained(tmp_path)

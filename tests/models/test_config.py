import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS, EncoderConfig, config_from_dict, config_to_dict, load_config
from tinybert_jax.models.encoder import Encoder, parameter_shapes


@pytest.mark.parametrize(
  ("preset", "count", "published"),
  [
    ("tinybert-4l-312d", 14_350_248, 14.5e6),
    ("tinybert-6l-768d", 66_955_008, 67.0e6),
    ("bert-base", 109_482_240, 109e6),
  ],
)
def test_presets_have_the_published_sizes(preset, count, published):
  """Counted: encoder and pooler, with BERT's vocabulary; no head, no projection."""
  import jax

  size = sum(leaf.size for leaf in jax.tree.leaves(parameter_shapes(Encoder(PRESETS[preset]))))
  assert size == count
  assert abs(size - published) <= 0.011 * published


def test_round_trip_through_transformers(tmp_path):
  config = EncoderConfig(hidden_size=24, num_attention_heads=3, hidden_act="relu", labels=("no", "maybe", "yes"))
  (tmp_path / "config.json").write_text(json.dumps(config_to_dict(config)))
  theirs = transformers.AutoConfig.from_pretrained(tmp_path)
  assert theirs.id2label == {0: "no", 1: "maybe", 2: "yes"}
  assert (theirs.hidden_size, theirs.num_attention_heads, theirs.hidden_act) == (24, 3, "relu")
  theirs.save_pretrained(tmp_path / "again")
  assert load_config(tmp_path / "again") == config


def test_released_tinybert_configuration():
  """As TinyBERT's releases have it: no model_type, no labels, fields of their own."""
  released = {
    "attention_probs_dropout_prob": 0.1, "cell": {}, "emb_size": 312, "hidden_act": "gelu", "hidden_size": 312,
    "intermediate_size": 1200, "max_position_embeddings": 512, "num_attention_heads": 12, "num_hidden_layers": 4,
    "pre_trained": "", "structure": [], "type_vocab_size": 2, "vocab_size": 30522,
  }  # fmt: skip
  assert config_from_dict(released) == PRESETS["tinybert-4l-312d"]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"model_type": "gpt2"}, "model_type is 'gpt2', and only bert, roberta, "),
    ({"position_embedding_type": "relative_key"}, "'relative_key'"),
    ({"is_decoder": True}, "is_decoder is set"),
    ({"hidden_size": 100}, "not a multiple of num_attention_heads 12"),
    ({"hidden_size": "768"}, "positive whole number, not '768'"),
    ({"num_hidden_layers": 0}, "num_hidden_layers must be a positive"),
    ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
    ({"id2label": {"0": "a", "2": "b"}}, "without a gap"),
    ({"id2label": ["a", "b"]}, "must map class numbers"),
  ],
)
@pytest.mark.usefixtures("unchecked")
def test_configurations_that_do_not_fit_name_the_file_and_the_field(change, message):
  with pytest.raises(InputError, match=message) as error:
    config_from_dict(config_to_dict(EncoderConfig()) | change, "somewhere/config.json")
  assert "somewhere/config.json" in str(error.value)


def test_missing_and_malformed_files(tmp_path):
  with pytest.raises(InputError, match="no such preset"):
    load_config("tinybert-5l")
  (tmp_path / "config.json").write_text("{")
  with pytest.raises(InputError, match="cannot be read as JSON"):
    load_config(tmp_path)
  (tmp_path / "config.json").write_text("[]")
  with pytest.raises(InputError, match="JSON list"):
    load_config(tmp_path / "config.json")
  (tmp_path / "config.json").write_text("{}")
  with pytest.raises(InputError, match="no hidden_size"):
    load_config(tmp_path)


@pytest.mark.usefixtures("unchecked")
def test_problem_type_is_kept_and_says_what_the_logits_mean():
  two, one = config_to_dict(EncoderConfig()), config_to_dict(EncoderConfig(labels=("score",)))
  assert config_from_dict(two).kind == "single_label_classification"
  assert config_from_dict(one).kind == "regression"
  multi = config_from_dict(two | {"problem_type": "multi_label_classification"})
  assert multi.problem_type == multi.kind == "multi_label_classification"
  assert config_from_dict(config_to_dict(multi)) == multi
  assert config_from_dict(two | {"problem_type": "regression"}).kind == "regression"
  # What the labels imply is not held on to, so a copy with other labels is not held to it either.
  plain = config_from_dict(two | {"problem_type": "single_label_classification"})
  assert plain == config_from_dict(two)
  assert dataclasses.replace(plain, labels=("score",)).kind == "regression"
  with pytest.raises(InputError, match=r"problem_type must be one of single_label_classification, .*, not 'ranking'"):
    config_from_dict(two | {"problem_type": "ranking"})


def test_problem_type_changes_no_fingerprint_and_serves_as_a_static_argument():
  multi = EncoderConfig(problem_type="multi_label_classification")
  assert repr(multi) == repr(EncoderConfig()) and multi != EncoderConfig()
  assert len({multi, EncoderConfig(), EncoderConfig(problem_type="multi_label_classification")}) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_harm(tmp_path, encoding):
  config = json.dumps(config_to_dict(EncoderConfig()))
  (tmp_path / "config.json").write_text(config, encoding=encoding)
  assert load_config(tmp_path) == EncoderConfig()


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"layer_norm_eps": "1e-12"}, "layer_norm_eps must be a number above 0 and at most 1, such as 1e-12, not '1e-12'"),
    ({"layer_norm_eps": 0}, "layer_norm_eps must be a number above 0"),
    ({"layer_norm_eps": float("nan")}, "layer_norm_eps must be a number above 0"),
    ({"initializer_range": "0.02"}, "initializer_range must be a number from 0 to 1000, such as 0.02, not '0.02'"),
    ({"hidden_dropout_prob": "0.1"}, "hidden_dropout_prob must be a number from 0"),
    ({"hidden_dropout_prob": True}, "hidden_dropout_prob must be a number from 0"),
    ({"attention_probs_dropout_prob": 0.999}, r"attention_probs_dropout_prob .* to 0.992 \(254/256\), not 0.999"),
    ({"classifier_dropout": 0.9925}, "classifier_dropout must be a number from 0 to 0.992"),
    ({"initializer_range": 10**30}, "initializer_range must be a number from 0 to 1000"),
    ({"layer_norm_eps": 10**400}, "layer_norm_eps must be a number above 0"),
    ({"max_position_embeddings": 1}, "max_position_embeddings must be at least 2"),
    ({"hidden_act": 3}, "hidden_act must be the name of an activation"),
    ({"pad_token_id": 30522}, "pad_token_id must be a token id from 0 to 30521, not 30522"),
    ({"pad_token_id": "0"}, "pad_token_id must be a token id"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers must be at most 1,000"),
    ({"vocab_size": 10**40}, "vocab_size must be at most 2,147,483,647"),
    ({"id2label": None, "num_labels": "3"}, "num_labels must be a whole number"),
    ({"id2label": None, "num_labels": 10**9}, "num_labels must be a whole number"),
    ({"id2label": {"a": "b"}}, "must map class numbers"),
    ({"problem_type": ["regression"]}, "problem_type must be one of"),
    ({"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}, "id2label and label2id give 'a' different"),
    ({"id2label": None, "label2id": {"a": 0, "b": 2}}, "label2id must number its classes 0 to 1 without a gap"),
    ({"id2label": None, "label2id": {"a": 0, "b": 0}}, "label2id gives two names one number"),
    ({"id2label": None, "label2id": {"a": "x"}}, "label2id must map names to class numbers"),
  ],
)
@pytest.mark.usefixtures("unchecked")
def test_values_of_the_wrong_type_or_size_are_one_sentence(change, message):
  with pytest.raises(InputError, match=message) as error:
    config_from_dict(config_to_dict(EncoderConfig()) | change, "somewhere/config.json")
  assert str(error.value).startswith("somewhere/config.json: ")


def test_class_names_come_from_either_map():
  hf = config_to_dict(EncoderConfig()) | {"id2label": {"0": "a", "1": "b"}}
  assert config_from_dict(hf).labels == ("a", "b")  # label2id has the names by default
  assert config_from_dict(hf | {"label2id": {"a": "0", "b": 1}}).labels == ("a", "b")
  assert config_from_dict(hf | {"id2label": None, "label2id": {"y": 1, "n": 0, "m": 2}}).labels == ("n", "y", "m")


def test_the_highest_dropout_still_trains():
  from tinybert_jax.models.layers import dropout

  EncoderConfig(hidden_dropout_prob=254 / 256)
  kept = dropout(jnp.ones(4096), 254 / 256, jax.random.key(0))
  assert np.isfinite(kept).all() and 0 < (kept > 0).mean() < 0.03

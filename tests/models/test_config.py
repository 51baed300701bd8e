import json

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
    ({"model_type": "roberta"}, "model_type is 'roberta'"),
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

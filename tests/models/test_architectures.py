"""Models that are something else than what they are loaded as, and where the encoder lies."""

import json

import jax
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier, apply, initialize
from tinybert_jax.models.pretrained import load_pretrained, local_directory, save_pretrained

SMALL = {"vocab_size": 13, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6}
IDS = np.array([[2, 5, 7, 3]])
OTHERS = {
  transformers.BertForTokenClassification: "a BertForTokenClassification, which labels each token",
  transformers.BertForQuestionAnswering: "a BertForQuestionAnswering, which answers questions",
  transformers.BertForMultipleChoice: "a BertForMultipleChoice, which chooses among several texts",
}


def write(directory, model_class, **options):
  torch.manual_seed(0)
  model = model_class(transformers.BertConfig(**SMALL, **options)).eval()
  model.save_pretrained(directory)
  return model


def assert_encoder_agrees(directory, model, where=None):
  loaded = load_pretrained(where or directory)
  ours = jax.jit(lambda params: apply(Encoder(loaded.config), params, {"input_ids": IDS}))(loaded.params).hidden_states[
    -1
  ]
  with torch.no_grad():
    theirs = getattr(model, "bert", model)(torch.tensor(IDS)).last_hidden_state.numpy()
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("model_class", OTHERS)
def test_other_tasks_are_no_classifiers_and_their_encoders_load(tmp_path, model_class):
  model = write(tmp_path, model_class, num_labels=2)
  with pytest.raises(InputError, match=OTHERS[model_class]):
    load_pretrained(tmp_path, SequenceClassifier)
  assert_encoder_agrees(tmp_path, model)


def test_a_tagger_is_told_by_its_head_where_nothing_names_it(tmp_path):
  write(tmp_path, transformers.BertForTokenClassification, num_labels=2)
  hf = json.loads((tmp_path / "config.json").read_text())
  del hf["architectures"]
  (tmp_path / "config.json").write_text(json.dumps(hf))
  with pytest.raises(InputError, match="its weights have a classifier and no pooler, as models that label each token"):
    load_pretrained(tmp_path, SequenceClassifier)


@pytest.mark.parametrize("model_class", [Encoder, MaskedLanguageModel])
def test_decoders_are_refused(tmp_path, model_class):
  write(tmp_path, transformers.BertLMHeadModel, is_decoder=True)
  with pytest.raises(InputError, match="is_decoder is set"):
    load_pretrained(tmp_path, model_class)
  write(tmp_path, transformers.BertLMHeadModel)
  with pytest.raises(InputError, match="a BertLMHeadModel, which reads texts from left to right"):
    load_pretrained(tmp_path, model_class)


def test_pretraining_models_and_classifiers_lend_their_encoders(tmp_path):
  for model_class in (transformers.BertForPreTraining, transformers.BertForSequenceClassification):
    model = write(tmp_path / model_class.__name__, model_class)
    assert_encoder_agrees(tmp_path / model_class.__name__, model)
  loaded = load_pretrained(tmp_path / "BertForPreTraining", MaskedLanguageModel, finished=True)
  assert loaded.initialized == ()


@pytest.mark.parametrize(
  ("labels", "given", "kind"),
  [
    (3, "multi_label_classification", "multi_label_classification"),
    (3, None, "single_label_classification"),
    (1, None, "regression"),
    (2, "regression", "regression"),
  ],
)
def test_the_kind_of_logits_goes_both_ways(tmp_path, labels, given, kind):
  write(tmp_path / "theirs", transformers.BertForSequenceClassification, num_labels=labels, problem_type=given)
  loaded = load_pretrained(tmp_path / "theirs", SequenceClassifier)
  assert loaded.config.kind == kind
  save_pretrained(tmp_path / "ours", loaded.config, loaded.params)
  assert transformers.AutoConfig.from_pretrained(tmp_path / "ours").problem_type == kind
  assert load_pretrained(tmp_path / "ours", SequenceClassifier).config == loaded.config
  # A bare encoder says nothing of logits, so a new head on it is not held to the old one's.
  assert load_pretrained(tmp_path / "theirs", Encoder).config.problem_type is None


def test_a_multi_label_model_works_in_transformers_pipelines(tmp_path):
  from small_tokenizer import word_tokenizer

  config = EncoderConfig(**SMALL, labels=("a", "b", "c"), problem_type="multi_label_classification")
  params = initialize(SequenceClassifier(config), jax.random.key(0))
  save_pretrained(tmp_path, config, params, tokenizer=word_tokenizer())
  classify = transformers.pipeline("text-classification", str(tmp_path), device="cpu")
  scores = {entry["label"]: entry["score"] for entry in classify("hello", top_k=None, truncation=True)}
  batch = {"input_ids": np.array([[2, 5, 3]])}
  logits = jax.jit(lambda params: apply(SequenceClassifier(config), params, batch))(params).logits[0]
  np.testing.assert_allclose([scores[name] for name in "abc"], jax.nn.sigmoid(logits), atol=1e-5)


def test_the_layouts_of_sentence_transformers(tmp_path):
  modules = [
    {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
  ]
  model = write(tmp_path / "0_Transformer", transformers.BertModel)
  (tmp_path / "modules.json").write_text(json.dumps(modules))
  (tmp_path / "1_Pooling").mkdir()
  (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 4}))
  for version in (None, {"__version__": "2.0.0"}):
    if version:
      (tmp_path / "config.json").write_text(json.dumps(version))
    assert local_directory(tmp_path) == tmp_path / "0_Transformer"
    assert_encoder_agrees(tmp_path, model)
  # A model that is saved beside them is the one that counts.
  model = write(tmp_path, transformers.BertForSequenceClassification)
  assert local_directory(tmp_path) == tmp_path
  assert_encoder_agrees(tmp_path, model)


def test_a_file_in_place_of_a_directory(tmp_path):
  write(tmp_path, transformers.BertModel)
  with pytest.raises(InputError, match=r"model\.safetensors: a file, and a model is a directory"):
    load_pretrained(tmp_path / "model.safetensors")


def test_an_encoder_below_another_name_loads(tmp_path):
  """As a program saves its own module, with the encoder and its heads beside one another."""
  model = write(tmp_path, transformers.BertModel)
  tensors = {f"body.{name}": tensor for name, tensor in load_file(tmp_path / "model.safetensors").items()}
  save_file(tensors | {"head.weight": torch.zeros(3, 4)}, tmp_path / "model.safetensors")
  assert_encoder_agrees(tmp_path, model)

"""Every family against its PyTorch classes in transformers, both ways, at odd sizes."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
import transformers
from small_families import CONFIGURATIONS, MODELS, ONE, make_batch, make_theirs

from tinybert_jax.distillation.objectives import initialize_projections, intermediate_distillation, total_loss
from tinybert_jax.errors import InputError
from tinybert_jax.models import relative_positions
from tinybert_jax.models.config import EncoderConfig, config_from_dict, family_defaults
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier, initialize
from tinybert_jax.models.families import FAMILIES
from tinybert_jax.models.pretrained import load_pretrained, save_pretrained

TOKENS = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")  # which come with a tokenizer
SAVING = ("dtype", "architectures", "transformers_version", "_name_or_path")  # of the file, not of the model
# The encoders within the heads are compared as well, so the bare one is loaded once a family.
CASES = [
  (model_type, number, model_class)
  for model_type, given in CONFIGURATIONS.items()
  for number in range(len(given))
  for model_class in MODELS
  if (model_class is Encoder) <= (number == 0)
]


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


def assert_agrees(ours, theirs, mask):
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


def program_of(model_class, config):
  layers = tuple(range(1, config.num_hidden_layers + 1))
  model = model_class(config)
  return jax.jit(lambda params, batch: model.apply({"params": params}, batch, score_layers=layers))


@pytest.mark.parametrize(("model_type", "number", "model_class"), CASES)
def test_both_ways_agree_with_pytorch(tmp_path, monkeypatch, model_type, number, model_class):
  theirs = make_theirs(model_class, model_type, number)
  theirs.save_pretrained(tmp_path / "theirs")
  loaded = load_pretrained(tmp_path / "theirs", model_class)
  pooler = {"encoder/pooler/bias", "encoder/pooler/kernel"} if model_class is MaskedLanguageModel else set()
  assert set(loaded.initialized) <= pooler
  program = program_of(model_class, loaded.config)
  for side in ("right", "left"):
    batch = make_batch(loaded.config, side)
    reference = their_outputs(theirs, batch, monkeypatch)
    assert_agrees(program(loaded.params, batch), reference, batch["attention_mask"].astype(bool))
  save_pretrained(tmp_path / "ours", loaded.config, loaded.params)
  back, info = MODELS[model_class].from_pretrained(tmp_path / "ours", output_loading_info=True)
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


def small(model_type, **fields):
  """Returns a small configuration of a family: its defaults but for the sizes."""
  settings = FAMILIES[model_type].settings
  if model_type == "deberta-v2":
    own = {"settings": settings(relative_attention=True, pos_att_type=("c2p", "p2c"), position_buckets=4)}
  else:
    own = {} if settings is None else {"settings": settings(local_attention=4)}
  sizes = {**ONE, "hidden_size": 12, "max_position_embeddings": 20, "pad_token_id": 1, "embedding_size": None}
  return EncoderConfig(**{**family_defaults(model_type), **sizes, **own, **fields})


@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "electra", "mpnet", "modernbert", "deberta-v2"])
def test_the_intermediate_loss_and_its_gradient_are_finite_and_blind_to_padding(model_type):
  teacher, student = small(model_type), small(model_type, num_hidden_layers=1, hidden_size=6)
  models = {name: Encoder(config) for name, config in (("teacher", teacher), ("student", student))}
  params = {name: initialize(model, jax.random.key(3), kernels="glorot") for name, model in models.items()}
  params["student"]["projections"] = initialize_projections(student, teacher, jax.random.key(4))
  loss_fn = intermediate_distillation(models["student"], models["teacher"], (2,))

  @jax.jit
  def value_and_gradient(params, batch):
    return jax.value_and_grad(lambda own: total_loss(loss_fn(own, params["teacher"], batch, None)))(params["student"])

  batch = make_batch(teacher, "right")
  garbage = np.where(batch["attention_mask"], batch["input_ids"], 7).astype(np.int32)
  results = [value_and_gradient(params, {**batch, "input_ids": ids}) for ids in (batch["input_ids"], garbage)]
  for one, other in zip(*map(jax.tree.leaves, results), strict=True):
    assert np.isfinite(one).all()
    np.testing.assert_allclose(one, other, atol=1e-6 * max(1, np.abs(one).max()))
  unread = {path for path, leaf in jax.tree.leaves_with_path(results[0][1]) if not np.any(leaf)}
  assert {path[0].key for path in unread} <= {"pooler", "layers_0"}  # a bias of keys moves no probability


@pytest.mark.parametrize("model_type", ["modernbert", "mpnet", "deberta-v2"])
def test_the_first_token_alone_has_the_same_logits(model_type):
  model = SequenceClassifier(small(model_type))
  params, batch = initialize(model, jax.random.key(0), kernels="glorot"), make_batch(model.config, "right")

  @jax.jit
  def both(params):
    outputs = [model.apply({"params": params}, batch, score_layers=(2,), first_token=first) for first in (False, True)]
    return [output.logits for output in outputs], [output.attention_scores[0] for output in outputs]

  logits, scores = both(params)
  np.testing.assert_allclose(*logits, atol=1e-5)
  np.testing.assert_allclose(scores[0][:, :, :1], scores[1], atol=1e-5)


def test_buckets_of_distances_are_those_of_transformers():
  from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
  from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

  apart = torch.arange(600)[None] - torch.arange(600)[:, None]
  np.testing.assert_array_equal(relative_positions.bias_buckets(600), MPNetEncoder.relative_position_bucket(apart))
  for buckets, farthest in ((256, 512), (32, 600), (6, 20)):
    ours = relative_positions.log_buckets(-apart.numpy(), buckets, farthest)
    np.testing.assert_array_equal(ours, make_log_bucket_position(-apart, buckets, farthest).numpy())


def test_a_family_says_what_does_not_fit_it():
  with pytest.raises(InputError, match="type_vocab_size must be 0, as a DistilBERT has no segments"):
    small("distilbert", type_vocab_size=2)
  with pytest.raises(InputError, match="max_position_embeddings 3 leaves 1 positions for a text, since a RoBERTa"):
    small("roberta", max_position_embeddings=3)
  with pytest.raises(InputError, match=r"hidden_size 15 / num_attention_heads 3 is odd, and rotary positions"):
    small("modernbert", hidden_size=15)
  with pytest.raises(InputError, match="embedding_size 8: a MPNet has that of its hidden_size"):
    small("mpnet", embedding_size=8)
  with pytest.raises(ValueError, match="19 tokens do not fit max_position_embeddings 20, of which 2 come before"):
    jax.eval_shape(Encoder(small("mpnet")).init, jax.random.key(0), {"input_ids": np.ones((1, 19), np.int32)})
  with pytest.raises(InputError, match=r"attention 'fused' computes scores of queries and keys alone, .* is rotary"):
    model, ids = Encoder(small("modernbert")), {"input_ids": np.ones((1, 4), np.int32)}
    jax.eval_shape(lambda key: model.init(key, ids, attention="fused"), jax.random.key(0))


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"layer_types": ["sliding_attention", "full_attention"]}, "layer_types must have full_attention in the first"),
    ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "of the kind 'yarn' are not supported"),
    ({"classifier_pooling": "max"}, "classifier_pooling must be cls or mean, not 'max'"),
    ({"norm_bias": "no"}, "norm_bias must be of the kind of False, not 'no'"),
    ({"layer_types": 3}, "layer_types must list"),
    ({"rope_parameters": 3}, "a value has the wrong type"),
  ],
)
@pytest.mark.usefixtures("unchecked")
def test_configurations_of_modernbert_that_cannot_be_computed_are_one_sentence(change, message):
  hf = {"model_type": "modernbert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
  with pytest.raises(InputError, match=f"^x.json: .*{message}"):
    config_from_dict(hf | change, "x.json")


def test_modernbert_is_spelt_alike_by_transformers_4_and_5():
  sizes = {"model_type": "modernbert", "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2}
  four = sizes | {"global_attn_every_n_layers": 2, "global_rope_theta": 9e4, "local_rope_theta": 5e3}
  five = transformers.ModernBertConfig(**{name: value for name, value in four.items() if name != "model_type"})
  config = config_from_dict(four)
  assert config == config_from_dict(five.to_dict()) and config.settings.global_attn_every_n_layers == 2
  # A copy of fewer layers keeps the pattern.
  assert [dataclasses.replace(config, num_hidden_layers=3).settings.is_global(layer) for layer in range(3)] == [1, 0, 1]


def test_the_representation_of_a_bert_is_what_it_was_and_a_familys_is_its_own():
  assert repr(EncoderConfig()).endswith("pad_token_id=0, labels=('LABEL_0', 'LABEL_1'))")
  shown = {repr(small(model_type)) for model_type in FAMILIES if model_type != "bert"}
  assert len(shown) == len(FAMILIES) - 1
  assert repr(small("modernbert")) != repr(dataclasses.replace(small("modernbert"), settings=None))

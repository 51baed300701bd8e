"""Weights in and out, against transformers' PyTorch BERT."""

import functools
import json

import jax
import numpy as np
import pytest
import torch
import transformers
from flax import traverse_util
from safetensors.torch import load_file, save_file
from small_tokenizer import word_tokenizer

from experiments import demo_data
from tinybert_jax.errors import InputError
from tinybert_jax.models import pretrained
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier, apply, initialize
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained

CLASSES = {
  Encoder: transformers.BertModel,
  SequenceClassifier: transformers.BertForSequenceClassification,
  MaskedLanguageModel: transformers.BertForMaskedLM,
}
AUTO = {
  Encoder: transformers.AutoModel,
  SequenceClassifier: transformers.AutoModelForSequenceClassification,
  MaskedLanguageModel: transformers.AutoModelForMaskedLM,
}
SMALL = {"vocab_size": 61, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
CONFIGURATIONS = {
  "odd sizes": SMALL | {"vocab_size": 97, "hidden_size": 39, "num_attention_heads": 3, "intermediate_size": 77},
  "gelu_new": SMALL | {"hidden_act": "gelu_new", "num_hidden_layers": 3, "type_vocab_size": 4},
  "relu, one layer": SMALL | {"hidden_act": "relu", "num_hidden_layers": 1, "layer_norm_eps": 1e-5},
  "long input": SMALL | {"hidden_act": "silu", "max_position_embeddings": 600, "length": 600},
}


def theirs(model_class, options, seed=0):
  torch.manual_seed(seed)
  options = {name: value for name, value in options.items() if name != "length"}
  # A wide initialisation, so that attention is far from uniform and a wrong layer cannot hide.
  config = transformers.BertConfig(**options, initializer_range=0.3, num_labels=3, attn_implementation="eager")
  return CLASSES[model_class](config).eval()


def batch(vocab_size=61, length=11, types=2):
  rng = np.random.default_rng(1)
  lengths = np.array([length, max(1, length // 3)])
  return {
    "input_ids": rng.integers(0, vocab_size, (2, length)),
    "attention_mask": (np.arange(length) < lengths[:, None]).astype(np.int64),
    "token_type_ids": rng.integers(0, types, (2, length)),
  }


def torch_outputs(model, data):
  """Hidden states, scores before the softmax, pooled output and logits of a PyTorch BERT."""
  bert = getattr(model, "bert", model)
  scores = []
  for layer in bert.encoder.layer:
    attention = layer.attention.self

    def hook(module, inputs, keywords, _output):
      x = inputs[0] if inputs else keywords["hidden_states"]
      heads = lambda y: y.view(*y.shape[:2], module.num_attention_heads, -1).transpose(1, 2)  # noqa: E731
      q, k = heads(module.query(x)), heads(module.key(x))
      scores.append((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).detach().numpy())

    attention.register_forward_hook(hook, with_kwargs=True)
  with torch.no_grad():
    outputs = model(**{name: torch.tensor(value) for name, value in data.items()}, output_hidden_states=True)
  return {
    "hidden_states": [hidden.numpy() for hidden in outputs.hidden_states],
    "scores": scores,
    "pooled": outputs.pooler_output.numpy() if "pooler_output" in outputs else None,
    "logits": outputs.logits.numpy() if "logits" in outputs else None,
  }


def assert_agrees(ours, reference, valid):
  def close(a, b, mask=None):
    a, b = (np.asarray(a), b) if mask is None else (np.asarray(a)[mask], b[mask])
    assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()

  for a, b in zip(ours.hidden_states, reference["hidden_states"], strict=True):
    close(a, b, valid)
  for a, b in zip(ours.attention_scores, reference["scores"], strict=True):
    pairs = np.broadcast_to((valid[:, :, None] & valid[:, None, :])[:, None], b.shape)
    close(a, b, pairs)
  if reference["pooled"] is not None:
    close(ours.pooled, reference["pooled"])
  if reference["logits"] is not None:
    close(ours.logits, reference["logits"], valid if reference["logits"].ndim == 3 else None)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("model_class", CLASSES)
def test_both_directions_agree_with_pytorch(tmp_path, model_class, name):
  options = CONFIGURATIONS[name]
  torch_model = theirs(model_class, options)
  data = batch(options["vocab_size"], options.get("length", 11), options.get("type_vocab_size", 2))
  valid = data["attention_mask"].astype(bool)
  reference = torch_outputs(torch_model, data)
  layers = tuple(range(1, options["num_hidden_layers"] + 1))

  torch_model.save_pretrained(tmp_path / "theirs")
  loaded = load_pretrained(tmp_path / "theirs", model_class)
  assert loaded.initialized == (
    ("encoder/pooler/bias", "encoder/pooler/kernel") if model_class is MaskedLanguageModel else ()
  )
  ours = jax.jit(functools.partial(apply, model_class(loaded.config), score_layers=layers))(loaded.params, data)
  assert_agrees(ours, reference, valid)

  save_pretrained(tmp_path / "ours", loaded.config, loaded.params)
  back, info = AUTO[model_class].from_pretrained(tmp_path / "ours", output_loading_info=True)
  assert type(back) is CLASSES[model_class]
  assert not any(info.values()), info
  back = CLASSES[model_class].from_pretrained(tmp_path / "ours", attn_implementation="eager").eval()
  assert_agrees(ours, torch_outputs(back, data), valid)


def test_shards_prefixes_and_old_names(tmp_path):
  model = theirs(SequenceClassifier, SMALL)
  model.save_pretrained(tmp_path / "plain")
  plain = load_pretrained(tmp_path / "plain", SequenceClassifier)
  tensors = load_file(tmp_path / "plain" / "model.safetensors")

  model.save_pretrained(tmp_path / "shards", max_shard_size="8KB")
  assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
  old = {
    name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
    for name, t in tensors.items()
  }
  bare = {name.removeprefix("bert."): t for name, t in tensors.items()} | {
    "embeddings.position_ids": torch.arange(512)[None]
  }
  released = tensors | {"fit_dense.weight": torch.zeros(16, 12), "cls.predictions.bias": torch.zeros(61)}
  for variant, contents in (("old", old), ("bare", bare), ("released", released)):
    (tmp_path / variant).mkdir()
    save_file(contents, tmp_path / variant / "model.safetensors")
    (tmp_path / variant / "config.json").write_text((tmp_path / "plain" / "config.json").read_text())
  (tmp_path / "bin").mkdir()
  torch.save(old, tmp_path / "bin" / "pytorch_model.bin")
  (tmp_path / "bin" / "config.json").write_text((tmp_path / "plain" / "config.json").read_text())
  (tmp_path / "half").mkdir()
  for variant in ("shards", "old", "bare", "released", "bin"):
    loaded = load_pretrained(tmp_path / variant, SequenceClassifier)
    assert loaded.initialized == ()
    jax.tree.map(np.testing.assert_array_equal, loaded.params, plain.params)


def test_bfloat16_files_are_read_as_float32(tmp_path):
  model = theirs(Encoder, SMALL)
  model.to(torch.bfloat16).save_pretrained(tmp_path)
  loaded = load_pretrained(tmp_path)
  np.testing.assert_array_equal(loaded.params["pooler"]["kernel"], model.pooler.dense.weight.detach().float().numpy().T)
  assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(loaded.params))


def test_a_head_that_is_not_there_is_initialised_and_named(tmp_path):
  theirs(Encoder, SMALL).save_pretrained(tmp_path)
  loaded = load_pretrained(tmp_path, SequenceClassifier, labels=("a", "b", "c", "d"), seed=3)
  assert loaded.initialized == ("classifier/bias", "classifier/kernel")
  assert loaded.params["classifier"]["kernel"].shape == (12, 4)
  assert loaded.config.labels == ("a", "b", "c", "d")
  again = load_pretrained(tmp_path, SequenceClassifier, labels=("a", "b", "c", "d"), seed=3)
  jax.tree.map(np.testing.assert_array_equal, loaded.params, again.params)


def test_tensors_that_do_not_fit_are_all_listed_with_both_shapes(tmp_path):
  theirs(SequenceClassifier, SMALL).save_pretrained(tmp_path)
  tensors = load_file(tmp_path / "model.safetensors")
  del tensors["bert.encoder.layer.1.output.dense.bias"]
  tensors["bert.pooler.dense.weight"] = torch.zeros(12, 5)
  tensors["bert.encoder.layer.2.output.dense.bias"] = torch.zeros(12)
  save_file(tensors, tmp_path / "model.safetensors")
  with pytest.raises(InputError) as error:
    load_pretrained(tmp_path, SequenceClassifier)
  for part in (
    "encoder.layer.1.output.dense.bias: missing, shape (12,) needed",
    "pooler.dense.weight: shape (12, 5), and (12, 12) needed",
    "encoder.layer.2.output.dense.bias: unexpected, shape (12,)",
  ):
    assert part in str(error.value)


def test_labels_that_do_not_match_the_classifier(tmp_path):
  theirs(SequenceClassifier, SMALL).save_pretrained(tmp_path)
  with pytest.raises(InputError, match="its classifier has 3 classes, not 2 as named"):
    load_pretrained(tmp_path, SequenceClassifier, labels=("a", "b"))


def test_bad_directories(tmp_path):
  with pytest.raises(InputError, match=r"no config\.json"):
    load_pretrained(tmp_path)
  with pytest.raises(InputError, match="no such directory"):
    load_pretrained(tmp_path / "nowhere")
  with pytest.raises(InputError, match="give the path of a directory"):
    load_pretrained("somebody/some-model")  # offline
  (tmp_path / "config.json").write_text(json.dumps(SMALL))
  with pytest.raises(InputError, match="no weights there"):
    load_pretrained(tmp_path)
  (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
  with pytest.raises(InputError, match="not a readable safetensors file"):
    load_pretrained(tmp_path)
  (tmp_path / "model.safetensors").unlink()
  (tmp_path / "pytorch_model.bin").write_bytes(b"not weights")
  with pytest.raises(InputError, match="not a readable file of PyTorch weights"):
    load_pretrained(tmp_path)
  with pytest.raises(InputError, match=r"no tokenizer\.json and no vocab\.txt"):
    load_tokenizer(tmp_path)


def test_a_damaged_tokenizer_is_one_sentence(tmp_path):
  theirs(Encoder, SMALL).save_pretrained(tmp_path)
  word_tokenizer().save_pretrained(tmp_path)
  load_tokenizer(tmp_path)
  (tmp_path / "tokenizer.json").write_text("{")
  with pytest.raises(InputError, match=f"{tmp_path}: its tokenizer's files cannot be read"):
    load_tokenizer(tmp_path)


def test_a_decoder_of_its_own_is_refused(tmp_path):
  """The head here shares the word embeddings, so other weights would be left out in silence."""
  theirs(MaskedLanguageModel, SMALL).save_pretrained(tmp_path)
  weights = load_file(tmp_path / "model.safetensors")
  decoder = weights["bert.embeddings.word_embeddings.weight"].clone()
  save_file(weights | {"cls.predictions.decoder.weight": decoder}, tmp_path / "model.safetensors")
  load_pretrained(tmp_path, MaskedLanguageModel)
  save_file(weights | {"cls.predictions.decoder.weight": decoder + 1}, tmp_path / "model.safetensors")
  with pytest.raises(InputError, match=r"cls.predictions.decoder.weight: other than the word embeddings"):
    load_pretrained(tmp_path, MaskedLanguageModel)


def test_a_bin_file_that_would_run_code_is_refused(tmp_path):
  class Evil:
    def __reduce__(self):
      return (exec, ("raise SystemExit('ran')",))

  (tmp_path / "config.json").write_text(json.dumps(SMALL))
  torch.save({"x": Evil()}, tmp_path / "pytorch_model.bin")
  with pytest.raises(InputError, match="not a readable file of PyTorch weights"):
    load_pretrained(tmp_path)


def test_saved_directory_is_complete_and_leaves_projections_out(tmp_path):
  config = EncoderConfig(**SMALL, labels=("no", "yes"))
  params = initialize(SequenceClassifier(config), jax.random.key(0))
  params["projections"] = {"hidden": {"kernel": np.zeros((12, 16), np.float32)}}
  (tmp_path / "model").mkdir()
  (tmp_path / "model" / "thesis.txt").write_text("of the user")
  save_pretrained(tmp_path / "model", config, params, tokenizer=word_tokenizer(), description="A test.")
  files = {path.name for path in (tmp_path / "model").iterdir()}
  assert files >= {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
  assert "thesis.txt" in files and [path.name for path in tmp_path.iterdir()] == ["model"]
  assert not any("projection" in name for name in load_file(tmp_path / "model" / "model.safetensors"))
  assert transformers.AutoConfig.from_pretrained(tmp_path / "model").id2label == {0: "no", 1: "yes"}
  assert load_tokenizer(tmp_path / "model")("hello world")["input_ids"] == word_tokenizer()("hello world")["input_ids"]
  card = (tmp_path / "model" / "README.md").read_text()
  assert "A test." in card and "AutoModelForSequenceClassification" in card and "labels: no, yes" in card
  loaded = load_pretrained(tmp_path / "model", SequenceClassifier)
  del params["projections"]
  jax.tree.map(np.testing.assert_array_equal, loaded.params, params)


def test_a_save_that_fails_leaves_the_old_directory(tmp_path, monkeypatch):
  config = EncoderConfig(**SMALL)
  params = initialize(Encoder(config), jax.random.key(0))
  save_pretrained(tmp_path / "model", config, params)

  def full_disk(*_, **__):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr("tinybert_jax.models.pretrained.save_file", full_disk)
  with pytest.raises(OSError, match="No space left"):
    save_pretrained(tmp_path / "model", config, initialize(Encoder(config), jax.random.key(1)))
  jax.tree.map(np.testing.assert_array_equal, load_pretrained(tmp_path / "model").params, params)
  assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_parameters_of_another_shape_are_refused(tmp_path):
  config = EncoderConfig(**SMALL)
  params = traverse_util.flatten_dict(initialize(Encoder(config), jax.random.key(0)), sep="/")
  del params["pooler/bias"]
  with pytest.raises(InputError, match="pooler/bias"):
    save_pretrained(tmp_path / "model", config, traverse_util.unflatten_dict(params, sep="/"))


def test_what_no_program_could_load_is_not_saved(tmp_path):
  config = EncoderConfig(**SMALL, labels=("no", "yes"))
  params = initialize(SequenceClassifier(config), jax.random.key(0))
  save_pretrained(tmp_path, config, params)
  before = (tmp_path / "model.safetensors").read_bytes()
  for changes, problem in (
    ({"labels": ("a", "b", "c")}, r"classifier/bias: .* \(2,\), and \(3,\) in the configuration"),
    ({"vocab_size": 9}, r"word_embeddings.* \(61, 12\), and \(9, 12\) in the configuration"),
  ):
    with pytest.raises(InputError, match=problem):
      save_pretrained(tmp_path, EncoderConfig(**{**config.__dict__, **changes}), params)
  params["classifier"]["bias"] = np.array([0, np.inf], np.float32)
  with pytest.raises(InputError, match=r"classifier/bias: numbers that are not finite \(NaN or infinite\)"):
    save_pretrained(tmp_path, config, params)
  assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.fixture
def minilm():
  try:
    return demo_data.encoder_directory()
  except InputError as error:
    pytest.skip(str(error))


def test_the_real_minilm_agrees_with_pytorch_in_both_directions(minilm, tmp_path):
  tokenizer = load_tokenizer(minilm)
  data = dict(
    tokenizer(
      ["The quick brown fox jumps over the lazy dog.", "Distillation keeps what matters, and little else besides it."],
      ["It barks.", "[MASK] is hidden."],
      padding=True,
      return_tensors="np",
    )
  )
  valid = data["attention_mask"].astype(bool)
  theirs = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager").eval()
  loaded = load_pretrained(minilm)
  assert loaded.initialized == ()
  run = jax.jit(functools.partial(apply, Encoder(loaded.config), score_layers=(1, 2, 3, 4, 5, 6)))
  ours = run(loaded.params, data)
  assert_agrees(ours, torch_outputs(theirs, data), valid)

  save_pretrained(tmp_path / "copy", loaded.config, loaded.params, tokenizer=tokenizer)
  back = transformers.BertModel.from_pretrained(tmp_path / "copy", attn_implementation="eager").eval()
  assert_agrees(ours, torch_outputs(back, data), valid)
  again = transformers.AutoTokenizer.from_pretrained(tmp_path / "copy")
  assert again("A tokenizer, too.")["input_ids"] == tokenizer("A tokenizer, too.")["input_ids"]


def test_a_full_disk_is_an_os_error_and_leaves_what_was_there(tmp_path, monkeypatch):
  config = EncoderConfig(**SMALL)
  save_pretrained(tmp_path / "model", config, initialize(Encoder(config), jax.random.key(0)))
  before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}

  def save_file(*args, **options):
    raise pretrained.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

  monkeypatch.setattr(pretrained, "save_file", save_file)
  with pytest.raises(OSError, match="No space left"):
    save_pretrained(tmp_path / "model", config, initialize(Encoder(config), jax.random.key(1)))
  assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
  assert [path.name for path in tmp_path.iterdir()] == ["model"]

"""Sentence encoders and their directories, against sentence-transformers."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sentence_transformers
import torch
from sentence_transformers.sentence_transformer import modules as models
from small_tokenizer import word_tokenizer

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, apply, initialize
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.models.sentence_directories import load_sentence_encoder, read_head, save_sentence_encoder
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import DenseLayer, SentenceHead

SHAPE = {"vocab_size": 7, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
EVERY = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
TEXTS = ["hello world hello hello world", "world", "hello hello", ""]
CONFIG = EncoderConfig(**SHAPE, max_position_embeddings=16, initializer_range=0.5)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
  """A directory that sentence-transformers wrote, in which each kind of pooling and of module counts."""
  encoder, directory = tmp_path_factory.mktemp("encoder"), tmp_path_factory.mktemp("theirs")
  save_pretrained(encoder, CONFIG, initialize(Encoder(CONFIG), jax.random.key(0)), tokenizer=word_tokenizer())
  torch.manual_seed(0)
  model = sentence_transformers.SentenceTransformer(
    modules=[
      models.Transformer(str(encoder), max_seq_length=7),
      models.Pooling(12, pooling_mode=EVERY),
      models.Dense(72, 10),
      models.Dropout(0.1),
      models.Dense(10, 8, bias=False, activation_function=torch.nn.Identity()),
      models.Normalize(),
    ],
    prompts={"query": "hello ", "passage": ""},
    default_prompt_name="query",
    device="cpu",
  )
  model.save(str(directory))
  return directory, model


@pytest.fixture(scope="module")
def embed():
  """What gives a model's embeddings of texts, and the gradient of their sum with a row that fills up a batch."""

  def run(loaded, texts, prompt=""):
    tokenizer, module = word_tokenizer(), SentenceEncoder(loaded.config)
    length = loaded.config.sentence.max_length
    batch = dict(tokenizer([prompt + text for text in texts], padding=True, truncation=True, max_length=length))
    batch = {name: np.pad(batch[name], ((0, 1), (0, 2))) for name in ("input_ids", "attention_mask")}

    @jax.jit
    def both(params):
      def total(params):
        found = apply(module, params, batch).logits
        return jnp.sum(found * jnp.arange(found.size).reshape(found.shape)), found

      return jax.grad(total, has_aux=True)(params)

    gradient, found = both(loaded.params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    return np.asarray(found)[:-1]

  return run


def test_embeddings_are_those_of_sentence_transformers_both_ways(theirs, embed, tmp_path):
  directory, model = theirs
  loaded = load_sentence_encoder(directory)
  head = loaded.config.sentence
  layers = (DenseLayer(10, "tanh"), DenseLayer(8, "linear", False), "normalize")
  assert (head.pooling, head.layers, head.max_length, head.width(12)) == (EVERY, layers, 7, 8)
  assert head.prompt() == "hello " and head.prompt("passage") == ""
  ours = embed(loaded, TEXTS, head.prompt())
  np.testing.assert_allclose(ours, model.encode(TEXTS), atol=1e-5)
  assert not np.allclose(ours, model.encode(TEXTS, prompt=""), atol=1e-3)

  save_sentence_encoder(tmp_path / "ours", loaded.config, loaded.params, tokenizer=word_tokenizer())
  opened = sentence_transformers.SentenceTransformer(str(tmp_path / "ours"), device="cpu")
  assert (opened.max_seq_length, opened.prompts["query"], opened.default_prompt_name) == (7, "hello ", "query")
  np.testing.assert_allclose(opened.encode(TEXTS), ours, atol=1e-5)
  again = load_sentence_encoder(tmp_path / "ours")
  assert again.config == loaded.config
  jax.tree.map(np.testing.assert_array_equal, again.params, loaded.params)


def test_the_first_token_alone_is_computed_where_the_embedding_reads_no_other():
  config = dataclasses.replace(CONFIG, sentence=SentenceHead(("cls",)))
  module = SentenceEncoder(config)
  params = initialize(module, jax.random.key(1))
  batch = {"input_ids": np.array([[2, 5, 3], [2, 6, 5]]), "attention_mask": np.ones((2, 3), int)}
  both = jax.jit(lambda params: [apply(module, params, batch, first_token=first) for first in (False, True)])
  whole, first = both(params)
  np.testing.assert_allclose(first.logits, whole.logits, atol=1e-6)
  assert first.hidden_states[-1].shape == (2, 1, 12)


def test_an_older_directory_keeps_its_encoder_in_a_folder(tmp_path):
  save_pretrained(tmp_path / "0_Transformer", CONFIG, initialize(Encoder(CONFIG), jax.random.key(0)))
  (tmp_path / "0_Transformer" / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
  (tmp_path / "1_Pooling").mkdir()
  (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
  write_modules(tmp_path, "models.Transformer 0_Transformer", "models.Pooling 1_Pooling")
  head = load_sentence_encoder(tmp_path).config.sentence
  assert head == SentenceHead(("max",), (), 9, similarity=None)


def test_students_get_a_dense_layer_where_their_embeddings_are_of_another_width():
  plain, wide = SentenceHead(), SentenceHead(("mean",), (DenseLayer(8, "tanh"), "normalize"))
  assert plain.of_student(6, 6) == plain and wide.of_student(6, 8) == wide
  assert plain.of_student(6, 12).layers == (DenseLayer(12), "normalize")


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"modules.json": None}, "no modules.json"),
    ({"config_sentence_transformers.json": '{"model_type": "CrossEncoder"}'}, "a CrossEncoder, and a SentenceTr"),
    ({"modules.json": "{"}, "cannot be read as a list"),
    ({"modules": ("a.Transformer .", "a.Pooling 1_Pooling", "a.LSTM 2", "b.own.Head 3")}, "a.LSTM, b.own.Head are not"),
    ({"modules": ("a.Transformer .", "a.Normalize 2")}, "no Pooling after"),
    ({"modules": ("a.Pooling 1_Pooling",)}, "one Transformer must come first"),
    ({"modules": ("a.Transformer .", "a.Pooling ../1_Pooling")}, "outside"),
    ({"1_Pooling/config.json": '{"pooling_mode": "median"}'}, "'median' is not known"),
    ({"config_sentence_transformers.json": '{"default_prompt_name": "query"}'}, "'query', and prompts"),
    ({"sentence_bert_config.json": '{"max_seq_length": "long"}'}, "'long'"),
    ({"2_Dense/config.json": '{"out_features": 8, "activation_function": "my.Gate"}'}, "Gate is not known"),
    ({"2_Dense/config.json": '{"out_features": 9, "activation_function": "a.Tanh"}'}, "(9, 72) is needed"),
    ({"2_Dense/config.json": '{"out_features": 10, "use_residual": true}'}, "use_residual"),
  ],
)
def test_directories_that_cannot_be_read_get_one_sentence(theirs, tmp_path, changes, said):
  """Of the directory that sentence-transformers wrote, with one file changed."""
  for path in theirs[0].rglob("*"):
    if path.is_file():
      copy = tmp_path / path.relative_to(theirs[0])
      copy.parent.mkdir(parents=True, exist_ok=True)
      copy.write_bytes(path.read_bytes())
  for name, content in changes.items():
    if name == "modules":
      write_modules(tmp_path, *content)
    elif content is None:
      (tmp_path / name).unlink()
    else:
      (tmp_path / name).write_text(content)
  with pytest.raises(InputError) as error:
    read_head(tmp_path) if "(9, 72)" not in said else load_sentence_encoder(tmp_path)
  assert said in str(error.value) and "\n" not in str(error.value), error.value


def write_modules(directory, *lines):
  kinds = [dict(zip(("type", "path"), line.split(), strict=True)) for line in lines]
  (directory / "modules.json").write_text(json.dumps(kinds))

"""A student's shape that is chosen by size and speed, and its vocabulary where size asks for a smaller one."""

import dataclasses

import jax
import pytest
import transformers
from small_distil import greetings, write
from tokenizers import Tokenizer, models, pre_tokenizers

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.pipeline import shape, trimming
from tinybert_jax.pipeline.distil_models import prepare
from tinybert_jax.pipeline.distil_settings import Settings
from tinybert_jax.pipeline.shape import choose_shape, size
from tinybert_jax.settings import from_flat

TEACHER = EncoderConfig(
  vocab_size=600, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96,
  max_position_embeddings=32,
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def speed(monkeypatch):
  """Shapes are as fast as they are narrow, so that what is chosen does not depend on the machine."""
  monkeypatch.setattr(shape, "_times_faster", lambda teacher, student, *_: 5 * (48 / student.hidden_size))
  monkeypatch.setattr(shape, "LEAST_TOKENS", 50)


def test_a_shape_that_may_trim_is_as_wide_as_speed_allows_and_full():
  kept, trimmed = (choose_shape(TEACHER, 6.0, 9.0, 16, may_trim=may) for may in (False, True))
  assert kept.vocabulary is None and kept.config.hidden_size == 16 and kept.config.vocab_size == 600
  # 5 * 48 / 24 = 10 times is 9 and a tenth: the widest that is fast enough.
  assert trimmed.config.hidden_size == 24 and 50 < trimmed.vocabulary == trimmed.config.vocab_size < 600
  one_more = dataclasses.replace(trimmed.config, vocab_size=trimmed.vocabulary + 1)
  assert size(trimmed.config) <= size(TEACHER) / 6 < size(one_more)
  assert "6.0 times smaller than the teacher, and 10.0 times faster" in trimmed.reason


def test_a_shape_with_room_for_all_tokens_keeps_them():
  choice = choose_shape(TEACHER, 1.5, 9.0, 16, may_trim=True)
  assert choice.vocabulary is None and choice.config.vocab_size == 600


@pytest.fixture
def settings(tmp_path):
  words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
  words += [first + second for first in LETTERS for second in LETTERS][: 598 - len(words)]
  words += ["hello", "world"]
  rust = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
  rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  config = dataclasses.replace(TEACHER, labels=("greets", "not"))
  params = initialize(SequenceClassifier(config), jax.random.key(0), kernels="glorot")
  save_pretrained(tmp_path / "teacher", config, params, tokenizer=transformers.BertTokenizer(tokenizer_object=rust))
  chosen = {"teacher": str(tmp_path / "teacher"), "train": write(tmp_path / "train.csv", greetings(20))}
  return from_flat(Settings, {**chosen, "out": tmp_path / "out", "smaller": 6.0, "faster": 9.0, "dtype": "float32"})


def test_distil_gives_the_tokens_that_there_is_room_for(settings):
  prepared = prepare(settings)
  kept = prepared.read.tokenizer.get_vocab()
  assert {"hello", "world", "[PAD]", "##z", "aa", "ab"} < kept.keys() and "uf" not in kept  # the texts', then the first
  assert prepared.student.config.vocab_size == len(kept) == len(prepared.trimmed.kept)
  assert len(prepared.taught.tokenizer.get_vocab()) == 600 and prepared.compares_layers and prepared.inherits
  again = prepare(settings)
  assert again.student.config == prepared.student.config


def test_a_vocabulary_that_cannot_be_trimmed_makes_a_narrower_student(settings, monkeypatch, capsys):
  def refuse(*_, **__):
    raise InputError("its tokenizer is a WordLevel")

  monkeypatch.setattr(trimming, "of_rows", refuse)
  prepared = prepare(settings)
  assert prepared.trimmed is None and prepared.student.config.hidden_size == 16
  assert prepared.student.config.vocab_size == 600 and prepared.read is prepared.taught
  assert "keeps all tokens, and is narrower for it: its tokenizer is a WordLevel" in capsys.readouterr().out

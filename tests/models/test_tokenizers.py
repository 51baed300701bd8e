"""Tokenizers at the door, against transformers' own classes."""

import dataclasses
import json

import pytest
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tinybert_jax.errors import InputError
from tinybert_jax.models import hub
from tinybert_jax.models.config import EncoderConfig, config_to_dict
from tinybert_jax.models.pretrained import check_fits, load_tokenizer
from tinybert_jax.models.tokenizers import write_settings

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "the", "cat", "film", "##s", "日", "本", "日本", ".", "e", "1", "2"]
NAMES = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "pad_token": "[PAD]"}
TEXTS = ("The cats. Film", "日本の cat", "Cafés \U0001f9ff b", "  ", "the [MASK] cat")
CONFIG = EncoderConfig(hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4)


@pytest.fixture
def write(tmp_path):
  """A function that writes a directory with a vocabulary or a tokenizer, and perhaps a tokenizer_config.json."""

  def write(words=WORDS, settings=None, tokenizer=None, vocab_size=None, **config):
    if tokenizer is None:
      (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    else:
      tokenizer.save_pretrained(tmp_path)
    if settings is not None:
      (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    shape = dataclasses.replace(CONFIG, vocab_size=vocab_size or len(words))
    (tmp_path / "config.json").write_text(json.dumps(config_to_dict(shape) | config))
    return tmp_path

  return write


def rust(words=WORDS, template=True):
  tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
  tokenizer.normalizer = normalizers.BertNormalizer()
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  if template:
    tokenizer.post_processor = processors.TemplateProcessing(
      single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
  return tokenizer


def assert_segments(tokenizer):
  encoded = tokenizer("the cat", "film")
  assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1]
  assert encoded["input_ids"] == [2, 5, 6, 3, 7, 3]


def test_every_class_of_transformers_gives_segments(write):
  for name in ("BertTokenizer", "DistilBertTokenizer", "DistilBertTokenizerFast"):
    assert_segments(load_tokenizer(write(settings={"tokenizer_class": name})))


def test_a_vocabulary_wrapped_as_a_fast_tokenizer(write):
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust(), **NAMES)
  assert_segments(load_tokenizer(write(tokenizer=tokenizer)))


@pytest.mark.parametrize("lower", [False, True])
def test_a_japanese_tokenizer_is_turned_into_a_fast_one_of_the_same_tokens(write, lower, tmp_path):
  settings = {"word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece", "do_lower_case": lower}
  directory = write(settings=settings | {"tokenizer_class": "BertJapaneseTokenizer"})
  theirs = transformers.AutoTokenizer.from_pretrained(directory)
  ours = load_tokenizer(directory)
  assert type(theirs).__name__ == "BertJapaneseTokenizer" and ours.is_fast and ours.mask_token == "[MASK]"
  for text in TEXTS:
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
  assert_segments(ours)
  ours.save_pretrained(tmp_path / "copy")
  write_settings(tmp_path / "copy", 8)
  again = transformers.AutoTokenizer.from_pretrained(tmp_path / "copy")
  assert again("the cats", "日本")["input_ids"] == theirs("the cats", "日本")["input_ids"]


def test_a_python_tokenizer_that_cannot_be_turned_is_refused(write):
  settings = {"tokenizer_class": "BertJapaneseTokenizer", "subword_tokenizer_type": "character"}
  with pytest.raises(InputError, match="BertJapaneseTokenizer with basic, is written in Python, and a fast one"):
    load_tokenizer(write(settings=settings | {"word_tokenizer_type": "basic"}))


def test_a_tokenizer_without_template_or_names_is_refused(write):
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust(template=False), **NAMES)
  with pytest.raises(InputError, match=r"does not put \[CLS\] before and \[SEP\] after a text"):
    load_tokenizer(write(tokenizer=tokenizer))
  few = {name: token for name, token in NAMES.items() if name[:3] not in ("cls", "sep")}
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust(), **few)
  with pytest.raises(InputError, match="its tokenizer names no cls_token and no sep_token"):
    load_tokenizer(write(tokenizer=tokenizer))


@pytest.mark.parametrize("token", ["[UNK]", "[CLS]", "[SEP]"])
def test_a_vocabulary_without_a_special_token_is_refused(write, token):
  """transformers adds it with an id of its own, for which the model has no trained embedding."""
  with pytest.raises(InputError, match=rf"vocab\.txt: no line \{token[:-1]}\]; a BERT needs them"):
    load_tokenizer(write([word for word in WORDS if word != token]))


def test_a_fast_tokenizer_that_fails_on_unknown_words_is_refused(write):
  words = [word for word in WORDS if word != "[UNK]"]
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust(words, template=False), **NAMES)
  with pytest.raises(InputError, match="its tokenizer"):
    load_tokenizer(write(words, tokenizer=tokenizer, vocab_size=40))


CASED = [*WORDS, "The", "Film", "A", "B"]


def test_lower_casing_by_default_of_a_cased_vocabulary_is_refused(write):
  with pytest.raises(InputError, match=r"4 of its 15 tokens have capitals, such as 'Film', .*do_lower_case\": false"):
    load_tokenizer(write(CASED))
  tokenizer = load_tokenizer(write(CASED, {"do_lower_case": False}))
  assert tokenizer.tokenize("The Film") == ["The", "Film"]
  with pytest.warns(UserWarning, match="its tokenizer turns texts to lower case"):
    load_tokenizer(write(CASED, {"do_lower_case": True}))


@pytest.mark.parametrize("name", ["RobertaTokenizer", "AlbertTokenizer"])
def test_a_class_that_does_not_know_the_vocabulary_is_refused(write, name):
  with pytest.raises(InputError, match=rf"{name}, does not know the words of its own vocabulary, such as 'film'"):
    load_tokenizer(write(settings={"tokenizer_class": name}))


def test_one_token_in_two_roles_is_refused(write):
  with pytest.raises(InputError, match=r"has '\[SEP\]' as cls_token and as sep_token"):
    load_tokenizer(write(settings={"cls_token": "[SEP]"}))


def test_a_mask_token_that_the_vocabulary_lacks_is_none(write):
  """transformers adds it, and a model of more rows than tokens would read an untrained embedding."""
  tokenizer = load_tokenizer(write([word for word in WORDS if word != "[MASK]"], vocab_size=40))
  assert tokenizer.mask_token_id is None and tokenizer("the cat")["input_ids"] == [2, 4, 5, 3]


def test_pairs_in_one_segment_are_warned_of_and_others_in_another_order_refused(write):
  def of(pair):
    tokenizer = rust()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMES)

  with pytest.warns(UserWarning, match="puts both texts of a pair into segment 0, and the model has 2"):
    load_tokenizer(write(tokenizer=of("[CLS] $A [SEP] $B [SEP]")))
  load_tokenizer(write(tokenizer=of("[CLS] $A [SEP] [SEP] $B:1 [SEP]:1")))
  with pytest.raises(InputError, match="does not put"):
    load_tokenizer(write(tokenizer=of("[CLS] $B [SEP] $A:1 [SEP]:1")))


def test_an_uncased_vocabulary_is_not_asked_about(write, recwarn):
  load_tokenizer(write([*WORDS, "[unused1]", "[E1]", "ß", "ı"]))
  assert not [warning for warning in recwarn if "lower case" in str(warning.message)]


def test_ids_beyond_the_model_are_refused_by_the_largest_id(write):
  words = [*WORDS, "e", "##z"]  # a line twice: one token fewer than lines
  directory = write(words)
  tokenizer = load_tokenizer(directory)
  assert len(tokenizer) == len(words) - 1
  with pytest.raises(InputError, match=rf"token '##z' has the id {len(words) - 1}, .* below {len(words) - 1} only"):
    load_tokenizer(write(words, vocab_size=len(words) - 1))
  with pytest.raises(InputError, match="its tokenizer has 17 tokens, and the model only 10"):
    check_fits("teacher", tokenizer, 10)


def test_a_tokenizer_of_far_fewer_tokens_than_the_model_has_is_noted(write, recwarn):
  load_tokenizer(write(vocab_size=len(WORDS) + 1))  # filled up
  assert not [warning for warning in recwarn if "embeddings for" in str(warning.message)]
  with pytest.warns(UserWarning, match=rf"has {len(WORDS)} tokens, and the model embeddings for 30,522; right only"):
    load_tokenizer(write(vocab_size=30_522))


def test_two_tokens_of_one_id_are_refused(write):
  directory = write([*WORDS, "e", "##z"], vocab_size=40)
  (directory / "added_tokens.json").write_text(json.dumps({"[E1]": len(WORDS) + 2}))
  with pytest.raises(InputError, match=r"has the id 17 for two tokens, '##z' and '\[E1\]'"):
    load_tokenizer(directory)


def test_added_tokens_come_from_the_hub_too(write, tmp_path, monkeypatch):
  source = write(vocab_size=len(WORDS) + 1)
  (source / "added_tokens.json").write_text(json.dumps({"[E1]": len(WORDS)}))
  (source / "adapter_model.safetensors").write_text("x")
  (source / "pytorch_model.bin").write_text("x")
  fetched = tmp_path / "fetched"
  fetched.mkdir()

  def snapshot(name, allow_patterns):  # what the hub's client does with patterns
    for path in huggingface_filter(source, allow_patterns):
      (fetched / path).write_bytes((source / path).read_bytes())
    return str(fetched)

  monkeypatch.setattr(hub, "snapshot_download", snapshot)
  assert load_tokenizer("user/model")("the [E1] cat")["input_ids"] == [2, 5, len(WORDS), 6, 3]
  names = {path.name for path in fetched.iterdir()}
  assert "pytorch_model.bin" in names and "adapter_model.safetensors" not in names


def huggingface_filter(directory, patterns):
  from huggingface_hub.utils import filter_repo_objects

  files = [str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()]
  return list(filter_repo_objects([file for file in files if "/" not in file], allow_patterns=patterns))


def test_pointers_and_byte_order_marks(write):
  directory = write()
  text = (directory / "config.json").read_text()
  (directory / "config.json").write_text(text, encoding="utf-8-sig")
  assert_segments(load_tokenizer(directory))
  vocabulary = (directory / "vocab.txt").read_text(encoding="utf-8")
  (directory / "vocab.txt").write_text(vocabulary, encoding="utf-8-sig")
  with pytest.raises(InputError, match=r"vocab\.txt: begins with a byte order mark"):
    load_tokenizer(directory)
  (directory / "vocab.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n")
  with pytest.raises(InputError, match=r"vocab\.txt: a pointer of Git LFS"):
    load_tokenizer(directory)

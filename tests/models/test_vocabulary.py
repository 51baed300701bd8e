"""Trimmed vocabularies: the same tokens where all pieces are kept, and no text that becomes unreadable."""

import functools
import json

import jax
import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from small_mlm import CONFIG, make_model, make_tokenizer
from small_pieces import SENTENCES, make_pieces
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import MaskedLanguageModel
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.models.vocabulary import (
  check_same,
  count_pieces,
  measure_change,
  trim_config,
  trim_params,
  trim_tokenizer,
)

KINDS = ("wordpiece", "roberta", "modernbert", "xlm-roberta")
texts = st.one_of(
  st.text(max_size=40),
  st.lists(st.sampled_from([*" ".join(SENTENCES[:4]).split(), "foxe", "é", "<mask>", "日"])).map(" ".join),
)


@functools.cache
def make(kind):
  if kind != "wordpiece":
    return make_pieces(kind)
  special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  rust = Tokenizer(models.WordPiece(unk_token="[UNK]"))
  rust.pre_tokenizer, rust.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
  trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
  rust.train_from_iterator(SENTENCES, trainer)
  rust.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
  )
  return transformers.BertTokenizer(tokenizer_object=rust)


@functools.cache
def trim(kind, size=None, min_count=None):
  tokenizer = make(kind)
  return trim_tokenizer(tokenizer, count_pieces(tokenizer, SENTENCES[:2]), size=size, min_count=min_count)


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts)
def test_tokens_are_the_same_where_all_are_kept_and_no_word_becomes_unknown(kind, text):
  old, new = make(kind), trim(kind, min_count=1)
  assert 0 < len(new.kept) < len(old)
  before, now = (side(text, "the dog")["input_ids"] for side in (old, new.tokenizer))
  assert new.kept.max() < len(old) and max(now) < len(new.kept)
  if set(before) <= set(new.kept.tolist()):
    assert new.kept[now].tolist() == before
  assert (new.tokenizer.unk_token_id in now) <= (old.unk_token_id in before)
  assert before.count(old.unk_token_id) == now.count(new.tokenizer.unk_token_id)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_and_characters_stay(kind, tmp_path):
  old, new = make(kind), trim(kind, min_count=1).tokenizer
  assert new.special_tokens_map == old.special_tokens_map
  vocabulary = new.get_vocab()
  for token in old.get_vocab():
    assert token in vocabulary or len(token.removeprefix("##")) > 1
  assert new.convert_ids_to_tokens(new("the dog", "sees")["input_ids"]) == old.convert_ids_to_tokens(
    old("the dog", "sees")["input_ids"]
  )
  new.save_pretrained(tmp_path)
  again = transformers.AutoTokenizer.from_pretrained(tmp_path)
  for text in (*SENTENCES, " <mask> a [MASK]", "\u2603"):
    assert again(text)["input_ids"] == new(text)["input_ids"]
    if kind != "xlm-roberta":
      assert new.decode(new(text)["input_ids"]) == old.decode(old(text)["input_ids"])


def test_where_fewer_pieces_occur_the_next_of_the_tokenizer_fill_the_size_but_no_placeholders():
  special, letters = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"], ["t", "h", "e", "##t", "##h", "##e"]
  names = [*special, "[unused0]", "<unused1>", *letters, "the", "he", "##he"]
  rust = Tokenizer(models.WordPiece({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
  rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  tokenizer = transformers.BertTokenizer(tokenizer_object=rust)
  counts = count_pieces(tokenizer, ["he"])
  for size, more in ((12, ["he"]), (13, ["the", "he"]), (16, ["the", "he", "##he"])):
    new = trim_tokenizer(tokenizer, counts, size=size)
    assert [names[number] for number in new.kept] == special + letters + more


@pytest.mark.parametrize("kind", KINDS)
def test_the_most_frequent_pieces_are_kept_up_to_the_size(kind):
  tokenizer, least = make(kind), len(trim(kind, min_count=10**6).kept)
  counts = count_pieces(tokenizer, SENTENCES)
  new = trim_tokenizer(tokenizer, counts, size=least + 6)
  assert least < len(new.kept) <= least + 6
  with pytest.raises(InputError, match=f"a vocabulary of {least - 1} tokens: .* are {least}, and all"):
    trim_tokenizer(tokenizer, counts, size=least - 1)
  check_same(tokenizer, new, SENTENCES)
  change = measure_change(tokenizer, new, [*SENTENCES[:4], "the"])
  assert 0 < change.share < 1 and change.tokens_now > change.tokens and change.unknown_now == change.unknown
  whole = measure_change(tokenizer, trim_tokenizer(tokenizer, counts, min_count=1), SENTENCES)
  assert whole.changed == 0 and whole.tokens_now == whole.tokens


def test_a_piece_of_bpe_keeps_what_it_is_merged_from():
  """abc is merged from a and bc, though ab is merged as well: where c is not at hand."""
  vocabulary = {token: number for number, token in enumerate(["[UNK]", "a", "b", "c", "bc", "ab", "abc", "cab"])}
  merges = [("b", "c"), ("a", "b"), ("a", "bc"), ("c", "ab")]
  rust = Tokenizer(models.BPE(vocabulary, merges, unk_token="[UNK]"))
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="[UNK]")
  assert tokenizer.tokenize("abc") == ["abc"]
  new = trim_tokenizer(tokenizer, count_pieces(tokenizer, ["abc"]), min_count=1).tokenizer
  assert set(new.get_vocab()) == {"[UNK]", "a", "b", "c", "bc", "abc"}
  assert new.tokenize("abcab") == ["abc", "a", "b"]
  assert json.loads(new.backend_tokenizer.to_str())["model"]["merges"] == [["b", "c"], ["a", "bc"]]


def test_tokenizers_that_cannot_be_trimmed_are_refused():
  words = transformers.PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "dog": 1}, unk_token="[UNK]")), unk_token="[UNK]"
  )
  with pytest.raises(InputError, match="is a WordLevel, which has no smaller pieces"):
    trim_tokenizer(words, np.zeros(2, int), size=2)
  pieces = {token: number for number, token in enumerate(["[UNK]", "a", "##b", "##c", "##bx", "##cb", "##cd"])}
  rust = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="[UNK]")
  with pytest.raises(InputError, match=r"its piece '##bx' has a character .* and '##cb' may take a part"):
    trim_tokenizer(tokenizer, np.zeros(7, int), min_count=1)
  with pytest.raises(InputError, match="either a size of the vocabulary or the least count"):
    trim_tokenizer(tokenizer, np.zeros(7, int))


def test_outputs_are_equal_bit_for_bit_and_the_directory_is_an_ordinary_one(tmp_path):
  model, params = make_model()
  tokenizer = make_tokenizer()
  sentences = ["the quick fox sees a dog.", "a lazy cat jumps, writes and reads"]
  new = trim_tokenizer(tokenizer, count_pieces(tokenizer, sentences), min_count=1, also=[CONFIG.pad_token_id])
  config = trim_config(CONFIG, new)
  trimmed = trim_params(params, new)
  assert trimmed["bias"].shape == (len(new.kept),) == (config.vocab_size,) and config.vocab_size < len(tokenizer)
  before, now = (dict(side(sentences, padding=True, return_tensors="np")) for side in (tokenizer, new.tokenizer))
  run = jax.jit(lambda model, params, batch: model.apply({"params": params}, batch), static_argnums=0)
  ours, theirs = run(MaskedLanguageModel(config), trimmed, now), run(model, params, before)
  np.testing.assert_array_equal(ours.hidden_states[-1], theirs.hidden_states[-1])
  # Products with a table of another number of rows are added up in another order.
  np.testing.assert_allclose(ours.logits, np.asarray(theirs.logits)[..., new.kept], rtol=1e-4, atol=1e-5)
  save_pretrained(tmp_path, config, trimmed, tokenizer=new.tokenizer)
  loaded, reader = load_pretrained(tmp_path, MaskedLanguageModel, finished=True), load_tokenizer(tmp_path)
  assert loaded.config.vocab_size == len(reader.get_vocab())
  torch_model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
  inputs = transformers.AutoTokenizer.from_pretrained(tmp_path)(sentences, padding=True, return_tensors="pt")
  np.testing.assert_allclose(torch_model(**inputs).logits.detach().numpy(), ours.logits, atol=1e-4)

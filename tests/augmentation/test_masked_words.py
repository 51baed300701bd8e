import dataclasses

import jax
import numpy as np
import pytest
from small_mlm import CONFIG, VOCABULARY, make_masked, make_model, make_tokenizer, write_sentences
from small_pieces import make_pieces
from tokenizers import models

from tinybert_jax.augmentation import masked_words
from tinybert_jax.augmentation.copies import Augmenter
from tinybert_jax.augmentation.masked_words import MaskedWords
from tinybert_jax.augmentation.words import find_words
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import MaskedLanguageModel, initialize


def test_candidates_do_not_depend_on_batch_devices_or_company(monkeypatch):
  texts = write_sentences(8)
  expected = [candidates for _, candidates in Augmenter(make_tokenizer(), make_masked(), None)(texts)]
  for batch_size in (8, 200):
    others = Augmenter(make_tokenizer(), make_masked(batch_size=batch_size), None)(texts)
    assert [candidates for _, candidates in others] == expected
  one = jax.local_devices()[:1]
  monkeypatch.setattr(jax, "local_devices", lambda: one)
  of_mixed_lengths = Augmenter(make_tokenizer(), make_masked(batch_size=3), None)
  assert [candidates for _, candidates in of_mixed_lengths(texts)] == expected
  of_one_length = Augmenter(make_tokenizer(), make_masked(), None)
  assert [candidates for _, candidates in of_one_length(texts)] == expected
  assert [of_one_length([text])[0][1] for text in texts[:3]] == expected[:3]


def test_near_ties_are_decided_alike_in_any_company(monkeypatch):
  texts = find_words(make_tokenizer(), write_sentences(8))
  expected = make_masked()(texts)
  monkeypatch.setattr(masked_words, "_NEAR_TIE", np.inf)
  masked, calls = make_masked(), []
  again = masked._again
  monkeypatch.setattr(masked, "_again", lambda near_ties: calls.extend(near_ties) or again(near_ties))
  assert masked(texts) == expected
  assert len(calls) == sum(len(of_text) for of_text in expected) > 10
  rows = [row for _, row in calls]
  together = {place: (logits, ids) for place, logits, ids in again([((0, i), row) for i, row in enumerate(rows)])}
  for i in range(len(rows)):
    ((_, logits, ids),) = again([((0, i), rows[i])])
    np.testing.assert_array_equal(logits, together[0, i][0])
    np.testing.assert_array_equal(ids, together[0, i][1])


def test_long_sentences_are_read_around_the_masked_word():
  tokenizer = make_tokenizer()
  text = " ".join(["fox dog bird"] * 200)
  found = find_words(tokenizer, [text])[0]
  assert len(found.words) == 600
  for context, room in (("masked", 46), ("pair", 22)):
    masked = make_masked(context=context)
    for at in (0, 300, 599):
      row = masked._masked_row(found, found.words[at])
      assert len(row["input_ids"]) <= 48
      assert row["input_ids"][row["position"]] == tokenizer.mask_token_id
      assert row["input_ids"].count(tokenizer.mask_token_id) == 1
      assert row["own"] == found.input_ids[at]
      start = min(max(0, at - room // 2), 600 - room)
      read = row["input_ids"][1 : 1 + room]
      read[at - start] = row["own"]
      assert read == found.input_ids[start : start + room]
  assert all(len(words) == 5 for words in make_masked()([found])[0].values())


def test_no_pieces_special_tokens_numbers_punctuation_or_the_word_itself():
  texts = find_words(make_tokenizer(), write_sentences())
  wide = make_masked(number=1000)(texts)  # all that are allowed
  allowed = {token for token in VOCABULARY if token.isalpha()}
  for text, of_text in zip(texts, wide, strict=True):
    for w, words in of_text.items():
      spelled = text.text[text.words[w].start : text.words[w].end].lower()
      assert {word.lower() for word in words} == allowed - {spelled}


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_go_together_is_refused():
  model, params = make_model()
  tokenizer = make_tokenizer()
  with pytest.raises(InputError, match="has positions for 64 only"):
    MaskedWords(model, params, tokenizer, max_length=65)
  tokenizer.add_tokens([f"new{i}" for i in range(4)])
  with pytest.raises(InputError, match=f"has {len(VOCABULARY) + 4} tokens, and the model only {CONFIG.vocab_size}"):
    MaskedWords(model, params, tokenizer, max_length=16)
  for bad in ({"number": 0}, {"batch_size": 0}, {"context": "whole"}, {"max_length": 4}):
    (name, value), *_ = bad.items()
    with pytest.raises(InputError, match=f"{name} {value!r}: "):
      MaskedWords(model, params, make_tokenizer(), **({"max_length": 16} | bad))
  no_mask = make_tokenizer()
  no_mask.mask_token = None
  with pytest.raises(InputError, match="no mask token"):
    MaskedWords(model, params, no_mask, max_length=16)


def with_tokens(*tokens):
  """Returns a model and a tokenizer of the small vocabulary with more tokens at ids that leave a hole."""
  model, params = make_model()
  words = {word: i for i, word in enumerate(VOCABULARY)} | {
    token: len(VOCABULARY) + 1 + i for i, token in enumerate(tokens)
  }
  tokenizer = make_tokenizer()
  backend = tokenizer.backend_tokenizer
  backend.model = models.WordPiece(words, unk_token="[UNK]")
  assert max(tokenizer.get_vocab().values()) == len(tokenizer)
  return MaskedWords(model, params, tokenizer, number=1000, max_length=48), tokenizer


def test_a_hole_in_the_vocabulary_is_no_candidate_and_no_error():
  masked, tokenizer = with_tokens("zebra", "##x")
  texts = find_words(tokenizer, ["the quick fox sees a dog"])
  for words in masked(texts)[0].values():
    assert "zebra" in words and None not in words and "" not in words


def test_candidates_for_ideographs_are_ideographs():
  masked, tokenizer = with_tokens("猫", "犬")
  (found,) = find_words(tokenizer, ["fox 猫"])
  assert masked([found])[0][1] == ("犬",) and not {"猫", "犬"} & set(masked([found])[0][0])


def test_a_model_that_gives_no_numbers_is_told():
  model, params = make_model()
  params["bias"] = params["bias"].at[10].set(np.nan)
  with pytest.raises(InputError, match=r"gives no numbers \(NaN\) for 'fox dog'"):
    MaskedWords(model, params, make_tokenizer(), max_length=48)(find_words(make_tokenizer(), ["fox dog"]))


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta"])
def test_candidates_of_other_tokenizers_are_whole_words(kind):
  """The logits are of random weights, so with so many candidates all words that may be chosen are."""
  tokenizer = make_pieces(kind)
  config = dataclasses.replace(CONFIG, vocab_size=len(tokenizer), type_vocab_size=1, pad_token_id=1)
  model = MaskedLanguageModel(config)
  params = initialize(model, jax.random.key(0), kernels="glorot")
  masked = MaskedWords(model, params, tokenizer, number=1000, context="pair", max_length=48)
  (found,) = find_words(tokenizer, ["a dog sees (bread)"])
  row = masked._masked_row(found, found.words[0])
  assert row["input_ids"][0] == 0 and row["input_ids"].count(2) == 3 and row["input_ids"][row["position"]] == 4
  assert not any(row["token_type_ids"])
  mark, vocabulary = ("Ġ", "▁")[kind == "xlm-roberta"], tokenizer.get_vocab()
  words = {token[1:] for token in vocabulary if token[0] == mark and token[1:].isalpha()}
  for number, candidates in masked([found])[0].items():
    spelled = found.spelled(found.words[number])
    is_marked = tokenizer.convert_ids_to_tokens(found.input_ids[found.words[number].first_token])[0] == mark
    expected = {word for word in words if word.isascii() and (is_marked or word in vocabulary)} - {spelled}
    assert {word for word in candidates if word.isascii()} == expected and len(expected) > 3

"""Pieces of words, against the words that tokenizers themselves tell for a text."""

import numpy as np
import pytest
from small_mlm import make_tokenizer
from small_pieces import SENTENCES, make_pieces

from tinybert_jax.models.word_pieces import WordPieces, without_spaces

TEXTS = [*SENTENCES[:4], "foxes (unseen)  letters, world's  café!"]


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "xlm-roberta"])
def test_words_of_tokens_are_the_tokenizers(kind):
  tokenizer = make_pieces(kind)
  pieces = WordPieces(tokenizer)
  assert pieces.mark == ("▁" if kind == "xlm-roberta" else "Ġ") and not pieces.continuing
  for text in TEXTS:
    encoding = tokenizer(text, add_special_tokens=False).encodings[0]
    if tokenizer.unk_token_id in encoding.ids:
      continue
    expected = np.unique(encoding.word_ids, return_inverse=True)[1] + 1
    assert pieces.word_numbers(np.asarray(encoding.ids)).tolist() == expected.tolist()


def test_a_text_that_begins_within_a_word_is_told_apart_by_marks():
  pieces, tokenizer = WordPieces(make_pieces("roberta")), make_pieces("roberta")
  ids = tokenizer("x fox", add_special_tokens=False)["input_ids"]
  first = tokenizer.convert_tokens_to_ids(["t", "h", "e"])  # which the tokenizer would join
  assert pieces.word_numbers(np.asarray([*first, ids[-1], first[0]])).tolist() == [0, 0, 0, 1, 1]


def test_whole_words_and_their_spelling():
  for kind, piece in (("roberta", "Ġcafé"), ("xlm-roberta", "▁dog")):
    tokenizer = make_pieces(kind)
    pieces, vocabulary = WordPieces(tokenizer), tokenizer.get_vocab()
    token = {"Ġcafé": "ĠcafÃ©"}.get(piece, piece)
    assert pieces.words[vocabulary[token]] == piece[1:] and pieces.is_marked[vocabulary[token]]
    assert pieces.words[tokenizer.mask_token_id] == ""
    for word, number in vocabulary.items():  # a piece without the mark is a word only where it is one with it
      if pieces.words[number] and not pieces.is_marked[number]:
        assert pieces.mark + word in vocabulary
  bert = make_tokenizer()
  words = WordPieces(bert).words
  assert words[bert.convert_tokens_to_ids("fox")] == "fox" and words[bert.convert_tokens_to_ids("##s")] == ""


def test_spaces_before_a_token_are_not_its_characters():
  assert without_spaces("a  fox ", [(0, 1), (1, 2), (2, 6), (6, 7)]) == [(0, 1), (2, 2), (3, 6), (7, 7)]

import pytest
from small_mlm import make_tokenizer

from tinybert_jax.augmentation.words import STOP_WORDS, find_words, match_case


def test_which_words_may_be_replaced():
  text = "The quick fox's 2nd cat, dogs  HELLO brown-dog zebra a1 fox2 café 猫 a the."
  found = find_words(make_tokenizer(), [text])[0]
  spelled = [text[word.start : word.end] for word in found.words]
  assert spelled == ["quick", "fox", "cat", "dogs", "HELLO", "brown", "dog"]
  assert [word.is_one_piece for word in found.words] == [True, True, True, False, True, True, True]
  # Without a tokenizer nothing is unknown.
  plain = find_words(None, [text])[0]
  assert [text[word.start : word.end] for word in plain.words] == [*spelled, "zebra", "café", "猫"]


def test_stop_words_are_lower_case_words():
  assert all(word.isalpha() and word == word.lower() for word in STOP_WORDS)
  assert {"the", "and", "not", "it"} <= STOP_WORDS


@pytest.mark.parametrize(
  ("word", "candidate", "cased"),
  [("fox", "dog", "dog"), ("Fox", "dog", "Dog"), ("FOX", "dog", "DOG"), ("A", "dog", "Dog"), ("fox", "Paris", "Paris"),
   ("Élan", "über", "Über")],
)  # fmt: skip
def test_the_case_is_kept(word, candidate, cased):
  assert match_case(word, candidate) == cased

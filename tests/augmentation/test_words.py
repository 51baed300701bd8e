import pytest
import transformers
from small_mlm import make_tokenizer
from small_pieces import make_pieces
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tinybert_jax.augmentation.words import STOP_WORDS, as_candidates, find_words, match_case, script_of


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


def characters_tokenizer(texts):
  """Returns BERT's tokenizer with every character of the texts as a token."""
  words = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *dict.fromkeys("".join(texts).replace(" ", "")),
    "ラーメン",
    "学校",
  ]
  tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
  tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  return transformers.BertTokenizer(tokenizer_object=tokenizer)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("今天天气很好,我不去公园。", "今 天 天 气 好 去 公 园"),  # less those that carry grammar
    ("A3月猫cat", "月 猫"),
    ("昨日ラーメンを食べた", "昨 日 食"),  # ラーメンを is one word to BERT's tokenizers
    ("ラーメン屋です", "ラーメン 屋"),
    ("좋은 영화", ""),  # of several pieces here, and so for word vectors
  ],
)
def test_ideographs_katakana_and_hangul(text, words):
  tokenizer = characters_tokenizer([text])
  found = find_words(tokenizer, [text])[0]
  assert [found.spelled(word) for word in found.words if word.is_one_piece] == words.split()
  assert [found.input_ids[word.first_token] for word in found.words if word.is_one_piece] == [
    tokenizer.convert_tokens_to_ids(word) for word in words.split()
  ]


def test_text_without_spaces_is_split_without_a_tokenizer_too():
  text = "我看电影 좋은 영화 cat"
  found = find_words(None, [text])[0]
  assert [found.spelled(word) for word in found.words] == ["看", "电", "影", "좋은", "영화", "cat"]


@pytest.mark.parametrize(
  ("word", "script"),
  [("cat", "letters"), ("Über", "letters"), ("猫", "ideographs"), ("ラーメン", "katakana"), ("좋은", "hangul"),
   ("です", None), ("猫cat", None), (".", None), ("?", None), ("n't", None), ("20th", None), ("##s", None), ("", None)],
)  # fmt: skip
def test_the_script_of_words_and_of_what_is_none(word, script):
  assert script_of(word) == script


def test_candidates_are_words_of_the_words_script():
  assert as_candidates("made", [".", "?", "n't", "did", "20", "做", "Made", "did"]) == ("did",)
  assert as_candidates("做", ["did", "作", ".", "做"]) == ("作",)


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "xlm-roberta"])
def test_words_of_other_tokenizers_are_whole_and_without_the_space_before(kind):
  tokenizer = make_pieces(kind)
  text = "The quick foxes, (bread) café! dogs don't  see a1"
  (found,) = find_words(tokenizer, [text])
  unknown = kind == "xlm-roberta"  # which lacks the letters of some
  words = [found.spelled(word) for word in found.words]
  assert words == ["quick", "foxes", "bread", "café", "dogs", "see"] or unknown
  assert "see" in words and set(words) <= {"quick", "foxes", "bread", "café", "dogs", "see"}
  for word in found.words:
    ids = found.input_ids[word.first_token : word.last_token + 1]
    assert tokenizer.decode(ids).strip() == found.spelled(word)
  see = found.words[words.index("see")]
  assert see.is_one_piece and tokenizer.convert_ids_to_tokens(found.input_ids[see.first_token])[0] in "Ġ▁"

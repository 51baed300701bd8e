"""The words of a text that may be replaced, and what replaces them in their case."""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tokenizers import Encoding, pre_tokenizers

from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import Tokenizer, wrong_text
from tinybert_jax.models.word_pieces import WordPieces, without_spaces

# English words that carry grammar more than meaning, with the parts that tokenizers leave of "don't" and its like.
STOP_WORDS = frozenset(
  """
  a about above after again against ain all am an and any are aren as at be because been before being below between both
  but by can cannot could couldn d did didn do does doesn doing don down during each few for from further had hadn has
  hasn have haven having he her here hers herself him himself his how i if in into is isn it its itself just ll m ma may
  me might mightn more most must mustn my myself needn no nor not now o of off on once only or other our ours ourselves
  out over own re s same shall shan she should shouldn so some such t than that the their theirs them themselves then
  there these they this those through to too under until up upon ve very was wasn we were weren what when where which
  while who whom whose why will with won would wouldn y you your yours yourself yourselves
  """.split()  # noqa: SIM905, lines of words read better
) | frozenset(
  "的地得了着著过過们們吗嗎呢吧啊呀嘛之乎者也和与與及或而且但并並在于於从從向到对對把被给給让讓为為以因所是有没沒不无無非未别別我你您他她它这這那哪其此每各很都就才又再还還也只最太更"
)

# Characters that BERT's tokenizers take for words of their own, the kinds of kana, and Korean syllables.
_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f"
_KATAKANA = "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_HIRAGANA = "\u3040-\u309f"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
SCRIPTS = ("letters", "ideographs", "katakana", "hangul")
_ONE_SCRIPT = {
  "ideographs": re.compile(f"[{_IDEOGRAPHS}]+"),
  "katakana": re.compile(f"[{_KATAKANA}]+"),
  "hangul": re.compile(f"[{_HANGUL}]+"),
  "letters": re.compile(f"[^{_IDEOGRAPHS}{_KATAKANA}{_HIRAGANA}{_HANGUL}]+"),
}
_PART = re.compile(f"[{_IDEOGRAPHS}]|[^{_IDEOGRAPHS}]+")
_RUN = re.compile(f"[{_IDEOGRAPHS}]+|[^{_IDEOGRAPHS}]+")


class Word(NamedTuple):
  """A word that may be replaced: characters `start` to `end` of its text, and its tokens likewise."""

  start: int
  end: int
  first_token: int
  last_token: int

  @property
  def is_one_piece(self) -> bool:
    return self.first_token == self.last_token


class Text(NamedTuple):
  """A text, its tokens without special ones, and its words that may be replaced."""

  text: str
  input_ids: list[int]
  words: tuple[Word, ...]

  def spelled(self, word: Word) -> str:
    """Returns one of its words as it stands there."""
    return self.text[word.start : word.end]


def script_of(word: str) -> str | None:
  """Returns which of `SCRIPTS` a word is in; None for what is no word, or one of hiragana, which carry grammar.

  A word has letters alone: no digit, apostrophe, hyphen or dot.
  """
  if not word.isalpha():
    return None
  return next((script for script, pattern in _ONE_SCRIPT.items() if pattern.fullmatch(word)), None)


def find_words(tokenizer: Tokenizer | None, texts: Sequence[str]) -> list[Text]:
  """Returns the words of each text that may be replaced.

  These are the words that the tokenizer splits texts into, less stop words, words with other characters than letters,
  words that touch a letter or digit, and words that the tokenizer does not know. In Chinese and Japanese each ideograph
  is a word, as BERT's tokenizers have it, and so is a run of katakana; hiragana stays. Korean words stand between
  spaces. Byte-level BPE and SentencePiece split into other units: their words are those of BERT's tokenizers whose ends
  are ends of tokens, and of ideographs whole tokens.

  Args:
    tokenizer: None splits into words as BERT's tokenizers do, and gives no tokens.
    texts: any.

  Raises:
    InputError: what is no text, or has half of a surrogate pair; with its row.
  """
  if not texts:
    return []
  if sentence := wrong_text(texts):
    raise InputError(sentence)
  if tokenizer is None:
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return [
      _choose_words(text, [], [part for _, span in split(text) for part in _parts(text, *span)]) for text in texts
    ]
  encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
  words_of = _split_words if WordPieces(tokenizer).continuing else _aligned_words
  found = []
  for text, ids, encoding in zip(texts, encoded["input_ids"], encoded.encodings, strict=True):
    words = [
      word
      for word in words_of(text, encoding)
      if tokenizer.unk_token_id not in ids[word.first_token : word.last_token + 1]
    ]
    found.append(_choose_words(text, ids, words))
  return found


def _split_words(text: str, encoding: Encoding) -> Iterator[Word]:
  """Yields the words that WordPiece cuts into pieces."""
  for _, pieces in itertools.groupby(range(len(encoding.ids)), encoding.word_ids.__getitem__):
    first, *rest = pieces
    last = rest[-1] if rest else first
    yield Word(encoding.offsets[first][0], encoding.offsets[last][1], first, last)


def _aligned_words(text: str, encoding: Encoding) -> Iterator[Word]:
  """Yields the words of other tokenizers, which may join words to spaces or punctuation: see `find_words`."""
  offsets = without_spaces(text, encoding.offsets)
  first_at: dict[int, int] = {}
  for token, (start, _) in enumerate(offsets):
    first_at.setdefault(start, token)
  last_at = {end: token for token, (start, end) in enumerate(offsets) if start < end}
  for _, (start, end) in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text):
    for part in _RUN.finditer(text, start, end):
      if _ONE_SCRIPT["ideographs"].fullmatch(part.group()):
        within = (span for span in offsets if part.start() <= span[0] < span[1] <= part.end())
        spans = list(dict.fromkeys(within))
      else:
        spans = [part.span()]
      for span in spans:
        first, last = first_at.get(span[0]), last_at.get(span[1])
        if first is not None and last is not None and first <= last:
          yield Word(*span, first, last)


def _parts(text: str, start: int, end: int) -> Iterator[Word]:
  """Yields a word in parts, as BERT's tokenizers cut it: each ideograph alone."""
  for part in _PART.finditer(text, start, end):
    yield Word(*part.span(), 0, 0)


def _choose_words(text: str, ids: list[int], words: Sequence[Word]) -> Text:
  def may_be_replaced(word: Word) -> bool:
    spelled = text[word.start : word.end]
    script = script_of(spelled)
    if script is None or spelled.lower() in STOP_WORDS:
      return False
    if script == "ideographs":  # which need no space
      return True
    before, after = text[word.start - 1 : word.start] if word.start else "", text[word.end : word.end + 1]
    # After a word may stand an accent that the tokenizer drops.
    return not (_touches(before) or _touches(after) or unicodedata.category(after or " ").startswith("M"))

  return Text(text, ids, tuple(word for word in words if may_be_replaced(word)))


def _touches(neighbour: str) -> bool:
  return neighbour.isalnum() and script_of(neighbour) != "ideographs"


def match_case(word: str, candidate: str) -> str:
  """Returns `candidate` in capitals where `word` is, and with a capital where `word` has one; else as it is."""
  if len(word) > 1 and word.isupper():
    return candidate.upper()
  return candidate[:1].upper() + candidate[1:] if word[:1].isupper() else candidate


def as_candidates(word: str, candidates: Iterable[str]) -> tuple[str, ...]:
  """Returns the candidates in the word's case that are words of its script, without itself and without repetition."""
  script = script_of(word)
  alike = (candidate for candidate in candidates if script_of(candidate) == script)
  cased = dict.fromkeys(match_case(word, candidate) for candidate in alike)
  return tuple(candidate for candidate in cased if candidate.lower() != word.lower())

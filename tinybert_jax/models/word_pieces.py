"""The tokens of a vocabulary as pieces of words: what each spells, and which begin a word; found by probes."""

import functools
import itertools
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from tinybert_jax.models.tokenizer_type import Tokenizer, tokens_by_id

_LETTERS = "aeox日ا"  # tried until a vocabulary knows one


class WordPieces:
  """The tokens of a tokenizer as pieces of words.

  A WordPiece vocabulary marks pieces that continue a word (`##s`). Byte-level BPE and SentencePiece mark those that
  begin one after a space (`Ġcat`, `▁cat`); "(cat)" has a piece without that mark.

  Attributes:
    mark: of a piece that begins a word; "" where there is none.
    continuing: the mark of a piece that continues a word; "" where there is none.
  """

  def __init__(self, tokenizer: Tokenizer):
    self._backend, self._tokens = tokenizer.backend_tokenizer, tokens_by_id(tokenizer)
    self._special = set(tokenizer.all_special_ids)
    self.continuing = getattr(self._backend.model, "continuing_subword_prefix", None) or ""
    self.mark = "" if self.continuing else _find_mark(tokenizer)

  @functools.cached_property
  def is_marked(self) -> Bool[np.ndarray, " V"]:
    """Whether each token has the mark of one that begins a word."""
    return np.array([bool(self.mark) and token is not None and token.startswith(self.mark) for token in self._tokens])

  @functools.cached_property
  def words(self) -> list[str]:
    """What each token that is a whole word spells; "" for other pieces, special tokens and ids without a token.

    Without the mark of a beginning a token may also continue a word. It counts as a word if there is one with the mark,
    or if it is of Chinese characters, which need no space.
    """
    known = set(self._tokens)

    def spelled(number: int, token: str | None) -> str:
      if token is None or number in self._special:
        return ""
      if not self.mark:
        is_word = not (self.continuing and token.startswith(self.continuing))
        return unicodedata.normalize("NFC", token) if is_word else ""
      bare = token.removeprefix(self.mark)
      if not bare:
        return ""
      decoder = self._backend.decoder
      word = unicodedata.normalize("NFC", decoder.decode([bare]) if decoder else bare)
      needs_no_space = all(unicodedata.name(letter, "").startswith("CJK") for letter in word)
      return word if bare != token or self.mark + token in known or needs_no_space else ""

    return [spelled(number, token) for number, token in enumerate(self._tokens)]

  def word_numbers(self, ids: Int[np.ndarray, " L"]) -> Int[np.ndarray, " L"]:
    """Returns the number of the word that each token of a text is a piece of, rising from one word to the next.

    Words are those that the tokenizer splits a text into. Where it does not give the same tokens for the text of these,
    as for one that begins within a word, pieces are told apart by their marks alone.
    """
    if self.mark and len(ids):
      text = self._backend.decode(ids.tolist(), skip_special_tokens=False)
      for read in (text, f" {text}"):  # a decoder may take the first space away
        encoding = self._backend.encode(read, add_special_tokens=False)
        if encoding.ids == ids.tolist() and None not in encoding.word_ids:
          numbers = np.asarray(encoding.word_ids)
          return np.cumsum(np.diff(numbers, prepend=numbers[0]) != 0) + 1
    return np.cumsum(~self._continues[ids])

  @functools.cached_property
  def _continues(self) -> Bool[np.ndarray, " V"]:
    if self.mark:
      return ~self.is_marked
    return np.array(
      [bool(self.continuing) and token is not None and token.startswith(self.continuing) for token in self._tokens]
    )


def without_spaces(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
  """Returns the characters of each token of a text without the spaces that it begins with.

  Byte-level BPE and SentencePiece join a space to the word behind it. A token of spaces alone is empty at their end.
  """

  def bare(start: int, end: int) -> tuple[int, int]:
    return start + sum(1 for _ in itertools.takewhile(str.isspace, text[start:end])), end

  return [bare(*span) for span in offsets]


def _find_mark(tokenizer: Tokenizer) -> str:
  """Returns what stands before the letters of a word in the middle of a text, "" where nothing does."""
  for letter in _LETTERS:
    encoding = tokenizer.backend_tokenizer.encode(f"{letter} {letter}", add_special_tokens=False)
    if len(encoding.ids) < 2 or tokenizer.unk_token_id in encoding.ids:
      continue
    end = encoding.tokens[-1][-1]
    mark = encoding.tokens[len(encoding.tokens) // 2].removesuffix(end)
    return "" if end in mark else mark
  return ""

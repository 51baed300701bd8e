"""Texts of words as token rows: long ones in windows that overlap, so that no word is dropped."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tokenizers

from tinybert_jax.errors import InputError
from tinybert_jax.models.token_layout import find_layout
from tinybert_jax.models.tokenizer_type import Tokenizer

_AT_ONCE = 1000  # texts that a tokenizer is given


class Pieces(NamedTuple):
  """The pieces of a text's words.

  Attributes:
    ids: of the tokens.
    words: the number of each piece's word.
    starts: of each piece, in characters of the words with a space between.
    ends: likewise.
  """

  ids: list[int]
  words: list[int]
  starts: list[int]
  ends: list[int]


class Window(NamedTuple):
  """A part of a text that fits into the model.

  Attributes:
    first: the first of the text's pieces in it.
    last: the last one, exclusive.
    own: the words, from and to, that the window answers for: those that have more of the text around them here than in
      any other window. They rise from window to window.
  """

  first: int
  last: int
  own: tuple[int, int]


def pieces_of(tokenizer: Tokenizer, texts: Sequence[Sequence[str]]) -> Iterator[Pieces]:
  """Yields the pieces of each text's words, by the tokenizer's own word numbers.

  They are those of the words with a space between. A word of which the tokenizer makes nothing, such as a control
  character, is an unknown token.
  """
  rules = tokenizer.backend_tokenizer.to_str()
  backend = tokenizers.Tokenizer.from_str(rules)  # a copy, as it remembers how texts were cut and filled up
  backend.no_truncation()
  backend.no_padding()
  # To byte-level tokenizers the space before a word is a part of it.
  space = " " if '"ByteLevel"' in json.dumps(json.loads(rules)["pre_tokenizer"]) else ""
  unknown = tokenizer.pad_token_id if tokenizer.unk_token_id is None else tokenizer.unk_token_id
  for start in range(0, len(texts), _AT_ONCE):
    some = [
      [word if place == 0 else space + word for place, word in enumerate(words)] for words in texts[start:][:_AT_ONCE]
    ]
    encodings = backend.encode_batch(some, is_pretokenized=True, add_special_tokens=False)
    for words, encoding in zip(texts[start:], encodings, strict=False):
      begins = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
      pieces: list[tuple[int, int, int, int]] = []
      for piece, word, (first, last) in zip(encoding.ids, encoding.word_ids, encoding.offsets, strict=True):
        if word is None:
          continue
        shift = begins[word] - (len(space) if word else 0)
        pieces.append((word, max(begins[word], first + shift), last + shift, piece))
      for word in set(range(len(words))) - set(encoding.word_ids):
        pieces.append((word, begins[word], begins[word] + len(words[word]), unknown))
      pieces.sort(key=lambda piece: piece[0])  # stable, so the pieces of a word stay in order
      yield Pieces(*([piece[place] for piece in pieces] for place in (3, 0, 1, 2)))


def windows_of(words: Sequence[int], room: int, stride: int) -> list[Window]:
  """Returns the windows of a text, cut between words; of a word longer than a window, the first pieces.

  Args:
    words: the number of each piece's word: 0, 1, … without a gap.
    room: pieces of a window.
    stride: tokens that neighbours share at least, where words allow that.
  """
  if len(words) <= room:
    return [Window(0, len(words), (0, words[-1] + 1))]
  starts = np.flatnonzero(np.diff(words, prepend=-1))
  ends = np.append(starts[1:], len(words))
  spans: list[tuple[int, int]] = []  # in words
  first = last = 0
  while last < len(starts):
    last = max(first + 1, int(np.searchsorted(ends, starts[first] + room, side="right")))
    spans.append((first, last))
    back = int(np.searchsorted(starts, ends[last - 1] - stride, side="right")) - 1
    first = min(last, max(first + 1, back))
  around = np.full((len(spans), len(starts)), -1)
  for place, (first, last) in enumerate(spans):
    around[place, first:last] = np.minimum(starts[first:last] - starts[first], ends[last - 1] - ends[first:last])
  borders = np.searchsorted(around.argmax(0), range(len(spans) + 1)).tolist()  # it rises from window to window
  return [
    Window(int(starts[first]), int(min(ends[last - 1], starts[first] + room)), own)
    for (first, last), own in zip(spans, itertools.pairwise(borders), strict=True)
  ]


def room_of(tokenizer: Tokenizer, max_length: int) -> int:
  """Returns the pieces of a window; InputError where special tokens leave no room."""
  room = max_length - find_layout(tokenizer).special_tokens(1)
  if room < 1:
    raise InputError(f"max_length {max_length} leaves no room for a word between the special tokens")
  return room

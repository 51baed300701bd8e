"""Where a tokenizer puts special tokens around one text and around two, and the segments of both, found by a probe."""

import itertools
from typing import NamedTuple

from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import Tokenizer

_TEXT, _PAIR = "The quick fox.", "1 cat"
_BEFORE = -1  # in place of the number of a text


class Layout(NamedTuple):
  """The ids of special tokens around texts, such as [CLS] A [SEP] B [SEP] of BERT or <s> A </s></s> B </s> of RoBERTa.

  Attributes:
    before: what a row begins with.
    between: what stands between two texts.
    after: what a row ends with.
    second_segment: of a second text and of `after` behind it; 0 where a tokenizer has no segments.
  """

  before: tuple[int, ...]
  between: tuple[int, ...]
  after: tuple[int, ...]
  second_segment: int

  def special_tokens(self, texts: int) -> int:
    """Returns the number of special tokens in a row of one text or of two."""
    return len(self.before) + len(self.after) + (len(self.between) if texts == 2 else 0)

  def row(self, text: list[int], pair: list[int] | None = None) -> tuple[list[int], list[int]]:
    """Returns the tokens of a row and the segment of each."""
    first = [*self.before, *text]
    if pair is None:
      ids = [*first, *self.after]
      return ids, [0] * len(ids)
    first += self.between
    second = [*pair, *self.after]
    return first + second, [0] * len(first) + [self.second_segment] * len(second)


def find_layout(tokenizer: Tokenizer) -> Layout:
  """Returns the layout of a fast tokenizer.

  Raises:
    InputError: no token begins or ends a text, or two texts are put together in another way than one after the other
      with the same beginning and end as one text.
  """
  single, pair = _parts(tokenizer, _TEXT), _parts(tokenizer, _TEXT, _PAIR)
  cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
  if cls is None or sep is None or not single or single[0][1][:1] != (cls,) or single[-1][1][-1:] != (sep,):
    raise InputError("the tokenizer has no [CLS] or no [SEP] token, as BERT's has, around a text")
  is_known = [text for text, *_ in single] == [_BEFORE, 0, _BEFORE] and [text for text, *_ in pair] in (
    [_BEFORE, 0, _BEFORE, 1, _BEFORE],
    [_BEFORE, 0, 1, _BEFORE],
  )
  if not is_known or (pair[0][1], pair[-1][1]) != (single[0][1], single[-1][1]):
    raise InputError("the tokenizer puts special tokens around a pair of texts otherwise than around one text")
  between = pair[2] if len(pair) == 5 else (_BEFORE, (), {0})
  segments = pair[-2][2]
  if pair[0][2] | pair[1][2] | between[2] != {0} or len(segments) > 1 or pair[-1][2] != segments:
    raise InputError("the tokenizer puts the first text of a pair, or a part of a text, into a segment of its own")
  return Layout(single[0][1], between[1], single[-1][1], segments.pop())


def _parts(tokenizer: Tokenizer, *texts: str) -> list[tuple[int, tuple[int, ...], set[int]]]:
  """Returns runs of tokens: the number of the text that they are from, `_BEFORE` for special ones; ids; segments."""
  encoding = tokenizer(*texts, verbose=False).encodings[0]
  numbers = [_BEFORE if number is None else number for number in encoding.sequence_ids]
  runs = []
  for number, places in itertools.groupby(range(len(numbers)), numbers.__getitem__):
    at = list(places)
    runs.append((number, tuple(encoding.ids[i] for i in at), {encoding.type_ids[i] for i in at}))
  return runs

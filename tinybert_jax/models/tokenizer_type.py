"""The type of tokenizers, and their tokens, without importing transformers, which takes seconds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
  from transformers import PreTrainedTokenizerBase

  Tokenizer: TypeAlias = PreTrainedTokenizerBase
else:
  Tokenizer: TypeAlias = Any


def tokens_by_id(tokenizer: Tokenizer) -> list[str | None]:
  """Returns a tokenizer's tokens in the order of their ids, and None for an id that no token has."""
  vocabulary = tokenizer.get_vocab()
  tokens: list[str | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
  for token, number in vocabulary.items():
    tokens[number] = token
  return tokens


def wrong_text(texts: Sequence[Any]) -> str | None:
  """Returns a sentence on the first of these that is no text, by its row; None where a tokenizer takes all of them."""
  for row, text in enumerate(texts, start=1):
    if not isinstance(text, str):
      return f"row {row}: {text!r:.60} where a text is needed"
    try:
      text.encode()
    except UnicodeEncodeError as error:
      return f"row {row}: {text[error.start]!r} in a text, half of a surrogate pair, which is no character"
  return None

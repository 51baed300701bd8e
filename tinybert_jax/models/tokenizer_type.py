"""The type of tokenizers, and their tokens, without importing transformers, which takes seconds."""

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

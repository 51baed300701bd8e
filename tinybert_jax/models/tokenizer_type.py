"""The type of tokenizers, without importing transformers, which takes seconds."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
  from transformers import PreTrainedTokenizerBase

  Tokenizer: TypeAlias = PreTrainedTokenizerBase
else:
  Tokenizer: TypeAlias = Any

"""A tokenizer of two words."""

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers


def word_tokenizer():
  words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "hello": 5, "world": 6}
  tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  return transformers.BertTokenizer(tokenizer_object=tokenizer)

"""Tokenizers of other kinds than BERT's, trained on a few sentences: like RoBERTa's, ModernBERT's and XLM-R's."""

import functools

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
  "the quick fox sees a dog, and the cat jumps",
  "dogs don't see foxes; they eat bread (bread and water)",
  "the café in the garden! reading and writing letters, a café",
  "a fox, a dog, a cat: hello world. hello world",
] * 4
_SPECIAL = {
  "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
  "unk_token": "<unk>", "mask_token": "<mask>",
}  # fmt: skip
_IDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_OF_BERT = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]",
            "mask_token": "[MASK]"}  # fmt: skip


def train_bpe(special):
  tokenizer = Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tokenizer.decoder = decoders.ByteLevel()
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  trainer = trainers.BpeTrainer(
    vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False, min_frequency=2
  )
  tokenizer.train_from_iterator(SENTENCES, trainer)
  return tokenizer


@functools.cache
def _json(kind):
  if kind == "roberta":
    tokenizer = train_bpe(_IDS)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
  elif kind == "modernbert":
    names = list(_OF_BERT.values())
    tokenizer = train_bpe(names)
    tokenizer.post_processor = processors.TemplateProcessing(
      single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
  else:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=70, special_tokens=_IDS, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
      single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
  return tokenizer.to_str()


def make_pieces(kind):
  """Returns a fast tokenizer like those of "roberta", "modernbert" or "xlm-roberta"."""
  names = _OF_BERT if kind == "modernbert" else _SPECIAL
  tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_json(kind)), **names)
  tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
  return tokenizer

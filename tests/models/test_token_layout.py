"""Special tokens and segments, against what the tokenizer itself gives for texts."""

import pytest
import transformers
from small_mlm import make_tokenizer
from small_pieces import make_pieces
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tinybert_jax.errors import InputError
from tinybert_jax.models.token_layout import Layout, find_layout


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "xlm-roberta"])
def test_rows_are_those_of_the_tokenizer(kind):
  tokenizer = make_tokenizer() if kind == "bert" else make_pieces(kind)
  layout = find_layout(tokenizer)
  texts = "the fox", "a dog sees"
  a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
  for given, ids in (((texts[0],), (a,)), (texts, (a, b))):
    encoded = tokenizer(*given, return_token_type_ids=True)
    assert layout.row(*ids) == (encoded["input_ids"], encoded["token_type_ids"])
    assert layout.special_tokens(len(given)) == tokenizer.num_special_tokens_to_add(pair=len(given) == 2)


def test_roberta_has_two_ends_between_texts_and_no_segments():
  assert find_layout(make_pieces("roberta")) == Layout((0,), (2, 2), (2,), 0)
  assert find_layout(make_tokenizer()) == Layout((2,), (3,), (3,), 1)


@pytest.mark.parametrize(
  ("single", "pair", "problem"),
  [("$A [SEP]", "$A [SEP] $B:1 [SEP]:1", r"no \[CLS\] or no \[SEP\]"),
   ("[CLS] $A [SEP]", "[CLS] $B [SEP] $A:1 [SEP]:1", "otherwise than around one text"),
   ("[CLS] $A [SEP]", "[CLS] $A:1 [SEP] $B:1 [SEP]:1", "a segment of its own")],
)  # fmt: skip
def test_other_layouts_are_refused(single, pair, problem):
  words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
  rust = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
  rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  ends = [("[CLS]", 2), ("[SEP]", 3)]
  rust.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ends)
  tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=rust, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
  )
  with pytest.raises(InputError, match=problem):
    find_layout(tokenizer)

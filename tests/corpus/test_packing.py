import itertools
import random

import numpy as np
import pytest
import transformers
from small_mlm import make_tokenizer, write_text
from small_pieces import SENTENCES, make_pieces
from tokenizers import Tokenizer, models

from tinybert_jax.corpus import packing
from tinybert_jax.corpus.packing import (
  Block,
  Tokens,
  cut_segments,
  make_rules,
  pack_block,
  segment_pairs,
  single_segments,
  tokenize_documents,
)
from tinybert_jax.errors import InputError

CLS, SEP = 2, 3


def make_documents(number=12, lines=6):
  rng = np.random.default_rng(0)
  return [
    "\n".join(write_text(rng, int(n)) for n in rng.integers(1, 12, rng.integers(1, lines))) for _ in range(number)
  ]


def make_tokens(documents, segments, longest, seed=0):
  """Returns documents whose tokens are 0, 1, 2, …, so that a range tells where it is from."""
  lengths = np.random.default_rng(seed).integers(1, longest, (documents, segments))
  borders = np.concatenate([[0], np.cumsum(lengths)]).tolist()
  return Tokens(np.arange(borders[-1]), borders, list(range(0, documents * segments + 1, segments)))


def pack(texts, max_length=16, segments="single", seed=0, held_out=(), number=0):
  training = [text if isinstance(text, tuple) else (text, 1) for text in texts]
  return pack_block(
    Block(number, training, list(held_out), {"undecodable_documents": 3}),
    make_rules(make_tokenizer(), max_length, segments, seed),
  )


@pytest.mark.parametrize("max_length", [8, 16, 128])
def test_a_document_s_tokens_are_all_there_in_order_and_alone(max_length):
  texts, tokenizer, expected = make_documents(), make_tokenizer(), []
  for text in texts:
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    while tokens:
      expected.append([CLS, *tokens[: max_length - 2], SEP])
      tokens = tokens[max_length - 2 :]
  packed = pack(texts, max_length)
  assert packed.training["input_ids"].to_pylist() == expected
  assert packed.training.column_names == ["input_ids"] and not len(packed.held_out)
  assert packed.counts == {
    "undecodable_documents": 3,
    "empty_documents": 0,
    "documents": len(texts),
    "sequences": len(expected),
    "tokens": sum(len(row) - 2 for row in expected),
    "held_out_documents": 0,
    "held_out_sequences": 0,
    "held_out_tokens": 0,
  }


@pytest.mark.parametrize("segments", ["single", "pair"])
def test_copies_and_what_is_held_out(segments):
  texts = make_documents()
  once = pack(texts[:4], segments=segments).training["input_ids"].to_pylist()
  copied = pack([(text, 3) for text in texts[:4]], segments=segments, held_out=texts[4:])
  if segments == "single":
    assert sorted(copied.training["input_ids"].to_pylist()) == sorted(3 * once)
    assert copied.held_out["input_ids"].to_pylist() == pack(texts[4:]).training["input_ids"].to_pylist()
  else:  # each copy is drawn anew
    assert len(copied.training) > 2 * len(once)
  assert (copied.counts["documents"], copied.counts["held_out_documents"]) == (4, 8)
  assert copied.counts["held_out_sequences"] == len(copied.held_out)


@pytest.mark.parametrize("segments", ["single", "pair"])
def test_a_document_without_tokens_is_counted_as_empty(segments):
  packed = pack(["\x00\x07", "a fox"], segments=segments, held_out=["\x00"])
  assert (packed.counts["empty_documents"], packed.counts["documents"], packed.counts["sequences"]) == (2, 1, 1)
  assert len(pack(["\x00"], segments=segments).training) == 0


def test_pieces_that_are_tokenized_apart_change_no_token(monkeypatch):
  texts, tokenizer = make_documents(), make_tokenizer().backend_tokenizer
  whole = tokenize_documents(tokenizer, texts, False, "uint16")
  assert whole.documents == list(range(len(texts) + 1))
  monkeypatch.setattr(packing, "_TOKENIZED_AT_ONCE", 25)
  pieces = tokenize_documents(tokenizer, texts, False, "uint16")
  lines = tokenize_documents(tokenizer, texts, True, "uint16")
  for other in (pieces, lines):
    assert other.ids.tolist() == whole.ids.tolist()
    assert [other.segments[d] for d in other.documents] == whole.segments
    assert len(other.segments) > len(whole.segments)
  assert single_segments(pieces, [1] * len(texts), 16) == single_segments(whole, [1] * len(texts), 16)


def test_long_segments_are_cut_and_empty_ones_go():
  tokens = cut_segments(Tokens(np.arange(20), [0, 3, 3, 13, 13, 20], [0, 3, 4, 5]), 4)
  assert tokens.segments == [0, 3, 6, 9, 13, 16, 20] and tokens.documents == [0, 4, 4, 6]


def test_pairs_are_rows_of_bert():
  texts = make_documents(30, 12)
  packed = pack(texts, 32, "pair")
  for row in packed.training.to_pylist():
    ids, types = row["input_ids"], row["token_type_ids"]
    assert ids[0] == CLS and ids[-1] == SEP and ids.count(SEP) == 2 and len(ids) <= 32
    first = ids.index(SEP) + 1
    assert first > 2 and len(ids) - first > 1
    assert types == [0] * first + [1] * (len(ids) - first)
  assert packed.counts["tokens"] == sum(len(row) - 3 for row in packed.training["input_ids"].to_pylist())


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "xlm-roberta"])
def test_rows_have_the_special_tokens_of_their_tokenizer(kind):
  tokenizer = make_pieces(kind)
  one, two = (tokenizer(*texts)["input_ids"] for texts in (("fox",), ("a", "dog")))
  cls, sep = one[0], one[-1]
  packed = pack_block(Block(0, [(text, 1) for text in SENTENCES[:4]], [], {}), make_rules(tokenizer, 16, "single", 0))
  rows = packed.training["input_ids"].to_pylist()
  assert all(len(row) <= 16 and (row[0], row[-1]) == (cls, sep) for row in rows)
  text = tokenizer(SENTENCES[0], add_special_tokens=False)["input_ids"]
  assert rows[0] == [cls, *text[:14], sep]
  pairs = pack_block(Block(0, [(text, 1) for text in SENTENCES], [], {}), make_rules(tokenizer, 16, "pair", 0)).training
  assert {row.count(sep) for row in pairs["input_ids"].to_pylist()} == {two.count(sep)}
  assert max(map(len, pairs["input_ids"].to_pylist())) == 16 and not any(map(any, pairs["token_type_ids"].to_pylist()))


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_of_neighbours_or_of_two_documents(seed):
  room = 61
  tokens = make_tokens(documents=300, segments=20, longest=16, seed=seed)
  pairs, dropped = segment_pairs(tokens, [1] * 300, room + 3, np.random.default_rng(seed))
  starts = [tokens.segments[d] for d in tokens.documents]
  of = np.repeat(np.arange(300), np.diff(starts))
  seen, follows, short = np.zeros(len(tokens.ids), int), [], set(range(300))
  for (a, a_end), (b, b_end) in pairs:
    assert a < a_end and b < b_end and (a_end - a) + (b_end - b) <= room
    document = of[a]
    assert of[a_end - 1] == document and of[b] == of[b_end - 1]
    seen[a:a_end] += 1
    follows.append(of[b] == document)
    if follows[-1]:
      assert a_end <= b
      seen[b:b_end] += 1
    if (a_end - a) + (b_end - b) >= room - 15:  # more than a segment short of the maximum only at an end
      short.discard(document)
  assert seen.max() == 1 and (seen == 0).sum() == dropped < 0.15 * len(seen)
  assert 0.3 < np.mean(follows) < 0.55  # half, less those of one segment
  assert 0.03 < len(short) / 300 < 0.15  # a tenth, less those whose length is nearly the maximum
  assert len({of[b] for _, (b, _) in pairs}) > 290
  again, _ = segment_pairs(tokens, [1] * 300, room + 3, np.random.default_rng(seed))
  assert again == pairs


def test_a_pair_of_the_only_document_is_of_itself():
  for seed in range(20):
    tokens = make_tokens(1, 5, 9)
    pairs, _ = segment_pairs(tokens, [1], 32, np.random.default_rng(seed))
    assert pairs and all(0 <= a < b <= len(tokens.ids) for pair in pairs for a, b in pair)
  assert pack(["fox"], segments="pair").training["input_ids"].to_pylist() == [[CLS, 6, SEP, 6, SEP]]


def test_truncation_takes_from_the_longer_as_bert_does():
  def plain(a, b, room, draw):
    while len(a) + len(b) > room:
      longer = a if len(a) > len(b) else b
      longer.pop(0 if draw.random() < 0.5 else -1)
    return len(a), len(b)

  rng, draw, fronts = np.random.default_rng(0), random.Random(0), []
  for a, b, room in itertools.product(range(1, 14), range(1, 14), (5, 8, 20)):
    (a_start, a_end), (b_start, b_end) = packing._truncate((0, a), (100, 100 + b), room, rng)
    assert (a_end - a_start, b_end - b_start) == plain([*range(a)], [*range(b)], room, draw)
    assert 0 <= a_start <= a_end <= a and 100 <= b_start <= b_end <= 100 + b
    fronts += [1] * a_start + [0] * (a - a_end)
  assert 0.4 < np.mean(fronts) < 0.6


def test_what_is_drawn_is_of_the_seed_and_the_block():
  texts = make_documents(30, 12)
  rows = [pack(texts, 32, "pair", **options).training for options in ({}, {}, {"seed": 1}, {"number": 1})]
  assert rows[0].equals(rows[1]) and not rows[0].equals(rows[2]) and not rows[0].equals(rows[3])


@pytest.mark.parametrize(("size", "dtype"), [(1 << 16, "uint16"), ((1 << 16) + 1, "int32")])
def test_tokens_are_small_where_the_vocabulary_is(size, dtype):
  words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(size - 5))]
  tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
  tokenizer = transformers.BertTokenizer(tokenizer_object=tokenizer)
  rules = make_rules(tokenizer, 16, "single", 0)
  packed = pack_block(Block(0, [(words[-1], 1)], [], {}), rules)
  assert rules.dtype == dtype and packed.training["input_ids"].to_pylist() == [[CLS, size - 1, SEP]]
  assert str(packed.training["input_ids"].type.value_type) == dtype


def test_what_will_not_do_is_said():
  with pytest.raises(InputError, match="sequences of 7 tokens: at least 8"):
    make_rules(make_tokenizer(), 7, "single", 0)
  tokenizer = make_tokenizer()
  tokenizer.sep_token = None
  with pytest.raises(InputError, match=r"no \[CLS\] or no \[SEP\]"):
    make_rules(tokenizer, 16, "single", 0)

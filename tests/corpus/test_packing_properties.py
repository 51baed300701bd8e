"""Packing loses no token, whatever the documents."""

import collections
import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_mlm import VOCABULARY, make_tokenizer

from tinybert_jax.corpus.documents import cut_text
from tinybert_jax.corpus.packing import (
  Block,
  Tokens,
  cut_segments,
  make_rules,
  pack_block,
  segment_pairs,
  single_segments,
)

TOKENIZER = make_tokenizer()
# Of each document the tokens of its segments.
documents = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=8), min_size=2, max_size=6)
texts = st.one_of(
  st.text(min_size=1, max_size=80),
  st.lists(st.sampled_from([*VOCABULARY[6:], "zebra", "\n", "\u3000"]), min_size=1, max_size=60).map(" ".join),
)


def as_tokens(documents):
  """Returns tokens that are numbered, so that each can be found again."""
  sizes = [size for document in documents for size in document]
  borders = [0, *itertools.accumulate(map(len, documents))]
  return Tokens(np.arange(sum(sizes)), [0, *itertools.accumulate(sizes)], borders)


def ids(ranges):
  return [token for start, end in ranges for token in range(start, end)]


@given(documents=documents, max_length=st.integers(8, 40), copies=st.integers(1, 3))
def test_single_segments_have_every_token_in_order(documents, max_length, copies):
  sequences = single_segments(as_tokens(documents), [copies] * len(documents), max_length)
  assert all(0 < len(ids(ranges)) <= max_length - 2 for ranges in sequences)
  counts = collections.Counter(token for ranges in sequences for token in ids(ranges))
  assert counts == dict.fromkeys(range(sum(map(sum, documents))), copies)
  assert copies > 1 or [token for ranges in sequences for token in ids(ranges)] == sorted(counts)


@given(documents=documents, longest=st.integers(1, 20))
def test_cut_segments_keep_every_token_in_its_document(documents, longest):
  tokens = as_tokens(documents)
  cut = cut_segments(tokens, longest)
  sizes = np.diff(cut.segments)
  assert sizes.min() > 0 and sizes.max() <= longest
  ends = [tokens.segments[border] for border in tokens.documents]
  assert [cut.segments[border] for border in cut.documents] == ends


@given(documents=documents, max_length=st.integers(8, 40), copies=st.integers(1, 2), seed=st.integers(0, 99))
def test_pairs_have_every_token_but_those_that_are_counted_as_dropped(documents, max_length, copies, seed):
  tokens = as_tokens(documents)
  sequences, dropped = segment_pairs(tokens, [copies] * len(documents), max_length, np.random.default_rng(seed))
  ends = np.array([tokens.segments[border] for border in tokens.documents])
  kept = 0
  for a, b in sequences:
    size_a, size_b = a[1] - a[0], b[1] - b[0]
    assert size_a > 0 and size_b > 0 and size_a + size_b <= max_length - 3
    of_a, of_b = (np.searchsorted(ends, start, side="right") for start, _ in (a, b))
    assert a[1] <= ends[of_a] and b[1] <= ends[of_b]  # neither crosses the border of its document
    kept += size_a + (size_b if of_a == of_b else 0)  # a random B is of another document
  assert kept + dropped == copies * ends[-1]


@given(
  documents=st.lists(st.tuples(texts, st.integers(1, 2)), min_size=1, max_size=5), held_out=st.lists(texts, max_size=3)
)
def test_a_packed_block_has_the_tokens_of_its_texts(documents, held_out):
  packed = pack_block(Block(0, documents, held_out, {}), make_rules(TOKENIZER, 12, "single", 0))
  for table, each in ((packed.training, documents), (packed.held_out, [(text, 1) for text in held_out])):
    want = [TOKENIZER(text, add_special_tokens=False)["input_ids"] for text, times in each for _ in range(times)]
    rows = [row["input_ids"] for row in table.to_pylist()]
    assert all(row[0] == 2 and row[-1] == 3 and len(row) <= 12 for row in rows)
    assert [token for row in rows for token in row[1:-1]] == [token for row in want for token in row]


@given(text=st.text(max_size=60), longest=st.integers(1, 20))
def test_pieces_of_a_text_are_the_text(text, longest):
  pieces = list(cut_text(text, longest))
  assert "".join(pieces) == text and all(len(piece) <= longest for piece in pieces)

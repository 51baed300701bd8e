"""Laws of token rows and batches, whatever the texts."""

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_mlm import VOCABULARY, make_tokenizer

from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length, tokenize
from tinybert_jax.data.masking import MaskedBatches
from tinybert_jax.errors import InputError

CLS, SEP = 2, 3
TOKENIZER = make_tokenizer()
words = st.lists(st.sampled_from([*VOCABULARY[6:], "zebra", "reading", "[SEP]", "\ufeff", "😀", "\n"]), max_size=30)
texts = st.one_of(st.text(max_size=60), words.map(" ".join))


def plain(text):
  return TOKENIZER(text, add_special_tokens=False)["input_ids"]


@given(rows=st.lists(texts, min_size=1, max_size=4), max_length=st.integers(3, 40))
def test_any_text_becomes_its_first_tokens_between_cls_and_sep(rows, max_length):
  found = tokenize(TOKENIZER, rows, max_length=max_length)["input_ids"][:]
  assert found == [[CLS, *plain(text)[: max_length - 2], SEP] for text in rows]


@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=4), max_length=st.integers(5, 40))
def test_truncation_keeps_both_texts_of_a_pair(rows, max_length):
  found = tokenize(TOKENIZER, [a for a, _ in rows], [b for _, b in rows], max_length=max_length)
  for ids, types, (first, second) in zip(found["input_ids"][:], found["token_type_ids"][:], rows, strict=True):
    a, b = plain(first), plain(second)
    border = types.index(1)
    kept_a, kept_b = ids[1 : border - 1], ids[border:-1]
    assert types == [0] * border + [1] * (len(ids) - border)
    assert (ids[0], ids[border - 1], ids[-1]) == (CLS, SEP, SEP)
    assert kept_a == a[: len(kept_a)] and kept_b == b[: len(kept_b)]
    room = max_length - 3
    assert len(kept_a) + len(kept_b) == min(len(a) + len(b), room)
    assert len(kept_a) >= min(len(a), room // 2) and len(kept_b) >= min(len(b), room // 2)


@given(start=st.text(max_size=5), half=st.characters(categories=["Cs"]), in_pair=st.booleans())
def test_half_a_surrogate_pair_is_refused_by_name(start, half, in_pair):
  wrong, fine = ["fine", start + half], ["fine", "too"]
  with pytest.raises(InputError, match=r"row 2: .* half of a surrogate pair"):
    tokenize(TOKENIZER, *((fine, wrong) if in_pair else (wrong, fine)), max_length=16)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("wrong", [None, 5, b"bytes", ["a"], float("nan")])
def test_what_is_no_text_is_refused_by_name(wrong):
  for rows in ((["fine", wrong],), (["fine", "too"], ["fine", wrong])):
    with pytest.raises(InputError, match=r"row 2: .* where a text is needed"):
      tokenize(TOKENIZER, *rows, max_length=16)


lengths = st.lists(st.integers(1, 70), min_size=1, max_size=40)


@given(lengths=lengths, number=st.integers(1, 5), multiple=st.integers(1, 16))
def test_buckets_hold_every_row(lengths, number, multiple):
  found = bucket_lengths(lengths, number, multiple)
  assert max(lengths) <= found[-1] and len(found) <= number and list(found) == sorted(set(found))
  assert all(length % multiple == 0 for length in found)
  cut = bucket_lengths(lengths, number, multiple, at_most=max(lengths))
  assert cut[-1] == max(lengths) and list(cut) == sorted(set(cut))


@given(
  lengths=lengths, batch_size=st.integers(1, 9), number=st.integers(1, 4), seed=st.integers(0, 9), shuffle=st.booleans()
)
def test_every_row_is_in_an_epoch_once_and_whole(lengths, batch_size, number, seed, shuffle):
  ids = [[row + 1, *range(100, 99 + length)] for row, length in enumerate(lengths)]
  rows = datasets.Dataset.from_dict({"input_ids": ids})
  assert row_length(rows).tolist() == lengths
  buckets = bucket_lengths(lengths, number)
  source = BatchSource(rows, batch_size=batch_size, lengths=buckets, epochs=2, seed=seed, shuffle=shuffle)
  for epoch in range(2):
    seen = []
    for step in range(epoch * source.steps_per_epoch, (epoch + 1) * source.steps_per_epoch):
      batch = source[step]
      for row, mask, weight in zip(batch["input_ids"], batch["attention_mask"], batch["example_weight"], strict=True):
        if weight:
          seen.append(row[mask == 1].tolist())
        else:
          assert not mask.any()
    assert sorted(seen) == sorted(ids)


@given(
  lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
  share=st.floats(0.01, 0.9),
  whole_words=st.booleans(),
  seed=st.integers(0, 9),
)
def test_masked_rows_can_be_restored(lengths, share, whole_words, seed):
  rng = np.random.default_rng(seed)
  rows = datasets.Dataset.from_dict({"input_ids": [[CLS, *rng.integers(6, len(VOCABULARY), n), SEP] for n in lengths]})
  source = BatchSource(rows, batch_size=4, lengths=(32,), seed=seed)
  masked = MaskedBatches(source, TOKENIZER, share=share, whole_words=whole_words)
  for step in range(len(source)):
    batch, before = masked[step], source[step]
    places, slots = np.nonzero(batch["masked_weight"])
    restored = batch["input_ids"].copy()
    restored[places, batch["masked_positions"][places, slots]] = batch["masked_ids"][places, slots]
    np.testing.assert_array_equal(restored, before["input_ids"])
    tokens = before["attention_mask"].sum(1) - 2
    most = np.maximum(1, np.round(np.maximum(tokens, 0) * share))
    assert (batch["masked_weight"].sum(1) <= most).all()

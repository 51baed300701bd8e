import itertools

import datasets
import numpy as np
import pytest
from small_tokenizer import word_tokenizer

from tinybert_jax.data.batches import (
  BatchSource,
  bucket_lengths,
  pad_batch,
  row_length,
  tokenize,
  with_teacher_targets,
)
from tinybert_jax.errors import InputError


def rows(number=23, longest=15, seed=0):
  rng = np.random.default_rng(seed)
  ids = [[100 + i, *rng.integers(1, 99, rng.integers(0, longest))] for i in range(number)]  # first token: row number
  return datasets.Dataset.from_dict({"input_ids": ids, "labels": [row[0] - 100 for row in ids]})


def seen(batches):
  return sorted(int(i) - 100 for batch in batches for i in batch["input_ids"][batch["example_weight"] > 0, 0])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 23, 64])
def test_every_row_once_an_epoch_and_none_dropped(shuffle, batch_size):
  source = BatchSource(rows(), batch_size=batch_size, lengths=(8, 16), epochs=3, shuffle=shuffle)
  assert len(source) == 3 * -(-23 // batch_size)
  for epoch in range(3):
    start = epoch * source.steps_per_epoch
    batches = [source[step] for step in range(start, start + source.steps_per_epoch)]
    assert seen(batches) == list(range(23))
    assert {batch["input_ids"].shape for batch in batches} <= {(batch_size, 8), (batch_size, 16)}
    assert sum((batch["example_weight"] == 0).any() for batch in batches) <= 1


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_every_row_once_an_epoch_whatever_the_number_of_processes(processes):
  options = {"batch_size": 8, "lengths": (8, 16), "epochs": 2, "seed": 3}
  whole = BatchSource(rows(), **options)
  shares = [BatchSource(rows(), **options, process=number, processes=processes) for number in range(processes)]
  for epoch in range(2):
    steps = range(epoch * whole.steps_per_epoch, (epoch + 1) * whole.steps_per_epoch)
    assert seen(share[step] for share in shares for step in steps) == list(range(23))
    for step in steps:  # and the rows of each batch are those of one process, in its order
      together = [share[step] for share in shares]
      for name, column in whole[step].items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in together]), column)


@pytest.mark.parametrize("labels", [[0, 1, 1], [0.5, 1.5, 2.5], [[0.0, 1.0]] * 3])
def test_a_share_without_rows_has_the_shapes_and_types_of_the_others(labels):
  columns = {"input_ids": [[1, 2], [3], [4, 5, 6, 7]], "token_type_ids": [[0, 1], [0], [0, 0, 1, 1]], "labels": labels}
  data = with_teacher_targets(datasets.Dataset.from_dict(columns), np.eye(3, 2, dtype=np.float32))
  first, second = (
    BatchSource(data, batch_size=8, lengths=(4,), process=number, processes=2, shuffle=False)[0] for number in range(2)
  )
  assert {name: (value.shape, value.dtype) for name, value in second.items()} == {
    name: (value.shape, value.dtype) for name, value in first.items()
  }
  assert not second["example_weight"].any() and not second["attention_mask"].any()


def test_a_state_of_one_number_of_processes_goes_on_with_another():
  options = {"batch_size": 8, "lengths": (8, 16), "epochs": 2}
  two = [iter(BatchSource(rows(), **options, process=number, processes=2)) for number in range(2)]
  before = [next(batches) for _ in range(2) for batches in two]
  alone = iter(BatchSource(rows(), **options))
  alone.set_state(two[0].get_state())
  assert two[0].get_state() == two[1].get_state()
  assert seen([*before, next(alone)]) == list(range(23))


def test_columns_mask_and_padding_stay_together():
  data = rows()
  source = BatchSource(data, batch_size=4, lengths=(8, 16), pad_id=99)
  for step in range(len(source)):
    batch = source[step]
    for row, index in enumerate(source.indices(step)):
      ids = data[int(index)]["input_ids"]
      assert batch["input_ids"][row].tolist() == ids + [99] * (batch["input_ids"].shape[1] - len(ids))
      assert batch["attention_mask"][row].sum() == len(ids)
      assert batch["labels"][row] == data[int(index)]["labels"]
    assert not batch["attention_mask"][batch["example_weight"] == 0].any()


def test_order_follows_the_seed_and_changes_with_the_epoch():
  def order(seed):
    source = BatchSource(rows(), batch_size=4, lengths=(16,), epochs=2, seed=seed)
    return [tuple(source.indices(step)) for step in range(12)]

  assert order(0) == order(0) != order(1)
  assert order(0)[:6] != order(0)[6:]


def test_the_iterators_state_continues_where_it_was():
  source = BatchSource(rows(), batch_size=4, lengths=(8, 16), epochs=2)
  batches = iter(source)
  for _ in range(5):
    next(batches)
  state = batches.get_state()
  rest = [batch["input_ids"] for batch in batches]
  again = iter(source)
  again.set_state(state)
  for ours, theirs in itertools.zip_longest(rest, (batch["input_ids"] for batch in again)):
    np.testing.assert_array_equal(ours, theirs)
  assert len(rest) == len(source) - 5


def test_bucket_lengths_pad_least():
  lengths = np.repeat([5, 20, 60], [100, 50, 10])
  assert bucket_lengths(lengths, number=3, multiple=8) == (8, 24, 64)
  assert bucket_lengths(lengths, number=2, multiple=8) == (24, 64)  # 24·150 + 64·10 < 8·100 + 64·60
  assert bucket_lengths(lengths, number=1, multiple=8) == (64,)
  assert bucket_lengths([8, 8], number=3) == (8,)
  assert bucket_lengths([5, 12], number=3) == (8, 12)  # multiples of 4 by default
  assert [len(bucket_lengths(np.arange(1, rows + 1) % 60)) for rows in (20, 300, 5000)] == [1, 2, 6]
  assert bucket_lengths([512, 30], number=2) == (32, 512)  # multiples of 32 where rows are so long

  def padding(buckets, lengths):
    return sum(min(b for b in buckets if b >= n) for n in lengths)

  # A length pays where it saves more padding than compiling costs: here 14 rows of 20 are read as 64 tokens, or 24.
  few = {"multiple": 8, "compiling": 1000}
  assert bucket_lengths([20] * 14 + [60] * 6, passes=1, **few) == (64,)
  assert bucket_lengths([20] * 14 + [60] * 6, passes=3, **few) == (24, 64)

  lengths = np.random.default_rng(0).integers(1, 65, 300)
  best = min(padding((*cuts, 64), lengths) for cuts in itertools.combinations(range(8, 64, 8), 2))
  assert padding(bucket_lengths(lengths, number=3, multiple=8), lengths) == best


def test_no_bucket_is_longer_than_what_rows_are_cut_to():
  assert bucket_lengths([5, 30, 30], number=1, at_most=30) == (30,)
  assert bucket_lengths([5, 29, 30], number=2, at_most=30) == (8, 30)
  assert bucket_lengths([5, 9], number=1, at_most=30) == (12,)


def test_teacher_targets_and_token_types_are_carried():
  batch = pad_batch(
    {"input_ids": [[1, 2]], "token_type_ids": [[0, 1]], "teacher_targets": [[0.5, -1.0]], "labels": [2.5]}, 4, 3
  )
  assert batch["token_type_ids"].tolist() == [[0, 1, 0, 0], [0] * 4, [0] * 4]
  assert batch["teacher_targets"].tolist() == [[0.5, -1.0], [0, 0], [0, 0]]
  assert batch["labels"].dtype == np.float32 and batch["input_ids"].dtype == np.int32


def test_what_does_not_fit_is_refused():
  with pytest.raises(InputError, match="batches of 4 rows cannot be shared by 3 processes"):
    BatchSource(rows(), batch_size=4, lengths=(16,), processes=3)
  with pytest.raises(InputError, match="no rows"):
    BatchSource(rows().select([]), batch_size=4, lengths=(16,))
  with pytest.raises(InputError, match="does not fit the longest bucket, 4"):
    BatchSource(rows(), batch_size=4, lengths=(4,))


def test_row_length_follows_selection_and_order():
  data = rows()
  chosen = data.select([5, 3, 3, 17])
  assert row_length(chosen).tolist() == [len(data[i]["input_ids"]) for i in (5, 3, 3, 17)]
  both = datasets.concatenate_datasets([data, chosen])
  assert row_length(both).tolist() == [len(row) for row in both["input_ids"]]


def test_tokenize_cuts_and_pairs():
  class Words:
    def __call__(self, texts, pairs, truncation, max_length, verbose):
      assert truncation and max_length == 3
      ids = [[len(word) for word in text.split()][:3] for text in texts]
      return {"input_ids": ids, "token_type_ids": [[1] * len(row) for row in ids]}

  single = tokenize(Words(), ["a bb ccc dddd"], max_length=3, labels=[1])
  assert single[0] == {"input_ids": [1, 2, 3], "labels": 1}
  assert tokenize(Words(), ["a"], ["b"], max_length=3)[0]["token_type_ids"] == [1]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
  ("texts", "options", "problem"),
  [
    (["a"], {"max_length": 0}, "max_length 0: it must be a whole number at least 3"),
    (["a"], {"max_length": True}, "max_length True"),
    (["a"], {"max_length": None}, "max_length None"),
    (["a"], {"max_length": 2.5}, "max_length 2.5"),
    (["a"], {"max_length": 2**40}, "max_length 1099511627776: it must be at most 2147483647"),
    (["a"], {"pairs": ["b"], "max_length": 4}, "max_length 4: it must be a whole number at least 5"),
    (["a", "b"], {"pairs": ["b"]}, "pairs: 1 of them, for 2 texts"),
    (["a", "b"], {"labels": [0, 1, 0]}, "labels: 3 of them, for 2 texts"),
    (["a", "b"], {"labels": [0, "1"]}, "row 2: the label is '1', which is no label like 0"),
    (["a", "b"], {"labels": [0, True]}, "row 2: the label is True, which is no label like 0"),
    (["a", "b"], {"labels": [None, 2**70]}, "row 2: the label is 1180591620717411303424"),
    ("a text", {}, "texts 'a text': a list is needed"),
    ([], {}, "texts: none are given"),
  ],
)
def test_arguments_of_tokenize_that_do_not_fit(texts, options, problem):
  with pytest.raises(InputError, match=problem):
    tokenize(word_tokenizer(), texts, **{"max_length": 8, **options})


@pytest.mark.parametrize(
  ("labels", "number", "problem"),
  [
    ([0, 2], 2, "row 2: the label is 2, and a class is a whole number from 0 to 1, as the model has 2"),
    ([0, -1], 2, "row 2: the label is -1"),
    ([0, -100], 2, "row 2: the label is -100"),
    ([1.0, 0.5], 2, "row 1: the label is 1.0, and a class is a whole number from 0, no float"),
    ([True, False], 2, "row 1: the label is True"),
    ([0, None], None, "row 2: the label is None"),
    ([1.5, float("nan")], 1, "row 2: the label is nan"),
    (["a", "b"], None, "row 1: the label is 'a'"),
    ([[0, 1], [1, 0, 1]], 2, r"row 2: the label is \[1, 0, 1\], and a 0 or 1 is needed for each of the model's 2"),
    ([[0, 1], [0, 3]], 2, r"row 2: the label is \[0, 3\]"),
    ([[0.0, 1.0], [0.5, None]], 2, r"row 2: the label is \[0.5, None\]"),
    ([[0.0, 1.0], [0.5, float("nan")]], None, r"row 2: the label is \[0.5, nan\]"),
    ([[True, False]], 2, r"row 1: the label is \[True, False\]"),
    ([["a", "b"]], 2, r"row 1: the label is \['a', 'b'\]"),
    ([[], [2]], None, r"row 2: the label is \[2\]"),
  ],
)
def test_labels_that_no_model_of_so_many_can_learn(labels, number, problem):
  data = datasets.Dataset.from_dict({"input_ids": [[1]] * len(labels), "labels": labels})
  with pytest.raises(InputError, match=problem):
    BatchSource(data, batch_size=2, lengths=(4,), num_labels=number)


def test_labels_of_a_regression_and_of_selected_rows():
  data = datasets.Dataset.from_dict({"input_ids": [[1]] * 3, "labels": [-3, 7, 0]})
  BatchSource(data, batch_size=2, lengths=(4,), num_labels=1)
  BatchSource(data.select([2]), batch_size=2, lengths=(4,), num_labels=2)
  with pytest.raises(InputError, match="row 1: the label is 7"):
    BatchSource(data.select([1, 2]), batch_size=2, lengths=(4,), num_labels=2)


def test_targets_are_finite_and_one_a_row():
  with pytest.raises(InputError, match=r"row 2: the teacher's targets are \[nan, 0.0\], which are not all finite"):
    with_teacher_targets(rows(2), np.array([[0, 1], [np.nan, 0]], np.float32))
  with pytest.raises(InputError, match="3 targets for 2 rows"):
    with_teacher_targets(rows(2), np.zeros((3, 2), np.float32))


def test_a_huge_text_is_cut_before_it_is_tokenized():
  seen = []

  def tokenizer(texts, pairs, **options):
    seen.extend(map(len, texts))
    return {"input_ids": [[1]] * len(texts)}

  tokenize(tokenizer, [" " * 10 + "a" * 3_000_000, "short"], max_length=8)
  assert seen == [1 << 18, 5]


def test_texts_are_tokenized_in_parts_of_bounded_size():
  parts = []

  def tokenizer(texts, pairs, **options):
    parts.append(sum(map(len, texts)))
    return {"input_ids": [[len(text)] for text in texts]}

  made = tokenize(tokenizer, ["a" * 250_000] * 160 + ["b"], max_length=8)
  assert max(parts) <= 1 << 24 and sum(parts) == 40_000_001
  assert [row[0] for row in made["input_ids"]] == [250_000] * 160 + [1]

"""Token rows at the door: what no model, or not this one, can read is named with its row."""

import datasets
import numpy as np
import pytest

from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length, with_teacher_targets
from tinybert_jax.data.token_columns import Tables, check_columns, check_fit, tables_of
from tinybert_jax.errors import InputError

IDS = [[2, 5, 3], [2, 3], [2, 6, 6, 3]]


def rows(**columns):
  return datasets.Dataset.from_dict({"input_ids": IDS} | columns)


@pytest.mark.parametrize(
  ("columns", "problem"),
  [
    ({"input_ids": [[2, 3], [2, None]]}, "row 2: None in input_ids, and whole numbers are needed"),
    ({"input_ids": [[2, 3], None]}, "row 2: None in input_ids"),
    ({"input_ids": [[2.0, 3.5]]}, r"input_ids holds list<item: double>, and a list of whole numbers"),
    ({"input_ids": ["the fox"]}, "input_ids holds string"),
    ({"input_ids": [5]}, "input_ids holds int"),
    ({"input_ids": [None]}, "input_ids holds null"),
    ({"input_ids": [[2, 3], []]}, "row 2: no tokens"),
    ({"input_ids": [[]]}, "row 1: no tokens"),
    ({"token_type_ids": [[0] * 3, [0] * 3, [0] * 4]}, "row 2: 2 input_ids, and 3 token_type_ids"),
    ({"attention_mask": [[1] * 3, [1] * 2, [1, 1, 1, 0]]}, "row 3: 0 among its attention_mask, .*what is masked"),
    ({"teacher_targets": [[0.0, 1.0], [0.0, 1.0], [0.0, np.nan]]}, r"row 3: the teacher's targets are \[0.0, nan\]"),
    ({"teacher_targets": [[0.0], None, [0.0]]}, "row 2: None in teacher_targets"),
    ({"teacher_targets": [0.0] * 3}, "teacher_targets holds double"),
    ({"teacher_targets": [["a"]] * 3}, "teacher_targets holds list<item: string>"),
  ],
)
def test_columns_that_no_model_reads(columns, problem):
  with pytest.raises(InputError, match=problem):
    BatchSource(datasets.Dataset.from_dict({"input_ids": IDS} | columns), batch_size=2, lengths=(8,))


def test_rows_without_tokens_at_all():
  with pytest.raises(InputError, match="no column input_ids, but text; `tokenize` makes it"):
    row_length(datasets.Dataset.from_dict({"text": ["a"]}))
  with pytest.raises(InputError, match="there are no rows"):
    bucket_lengths(row_length(rows().select([])))


def test_columns_of_ones_segments_and_targets_pass():
  check_columns(rows(attention_mask=[[1] * len(row) for row in IDS], token_type_ids=[[0] * len(row) for row in IDS]))
  check_columns(with_teacher_targets(rows(), np.zeros((3, 2), np.float32)))


@pytest.mark.parametrize(
  ("tables", "problem"),
  [
    (Tables(6, 2, 9), "row 3: 6 among its input_ids, and the model has a vocab_size of 6"),
    (Tables(9, 1, 9), "row 2: 1 among its token_type_ids, and the model has a type_vocab_size of 1"),
    (Tables(9, 2, 3), "row 3: 4 tokens, and the model has positions for 3 only"),
  ],
)
def test_rows_beyond_a_models_embeddings_by_the_largest_number(tables, problem):
  data = rows(token_type_ids=[[0] * 3, [0, 1], [0] * 4])
  check_fit(data, Tables(7, 2, 4))
  for chosen in (data, datasets.concatenate_datasets([data.select([0, 1]), data.select([2])])):
    with pytest.raises(InputError, match=problem):
      check_fit(chosen, tables)
  with pytest.raises(InputError, match="row 2: -1 among its input_ids"):
    check_fit(datasets.Dataset.from_dict({"input_ids": [[1], [-1]]}), tables)


def test_tables_are_read_off_the_parameters_of_any_model_here():
  names = {"word_embeddings": 7, "token_type_embeddings": 2, "position_embeddings": 4}
  encoder = {"embeddings": {name: {"embedding": np.zeros((size, 3))} for name, size in names.items()}}
  assert tables_of(encoder) == tables_of({"encoder": encoder, "classifier": {}}) == Tables(7, 2, 4)
  for other in ({}, {"encoder": np.zeros(3)}, {"embeddings": {}}, {"projections": {}}):
    assert tables_of(other) is None

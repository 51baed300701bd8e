"""Numbers of each token: in memory, in token rows, in batches."""

import datasets
import numpy as np
import pytest

from tinybert_jax.data.batches import BatchSource, with_teacher_targets
from tinybert_jax.data.ragged import Ragged, ragged
from tinybert_jax.data.token_columns import check_columns
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.stages import stored_logits

IDS = [[2, 5, 3], [2, 3], [2, 6, 6, 7, 3]]


def targets(dtype=np.float32):
  return ragged([np.arange(2 * len(row), dtype=dtype).reshape(-1, 2) + 100 * n for n, row in enumerate(IDS)])


def rows(**columns):
  return datasets.Dataset.from_dict({"input_ids": IDS} | columns)


def test_rows_of_an_array_by_number_and_by_numbers():
  made = targets()
  assert len(made) == 3 and made[1].tolist() == [[100, 101], [102, 103]]
  assert made[[2, 0]].lengths.tolist() == [5, 3] and made[[2, 0]][1].tolist() == made[0].tolist()
  assert made[[]].values.shape == (0, 2) and len(made[np.array([], int)]) == 0
  with pytest.raises(ValueError, match="add up to 9, and 10 values"):
    Ragged(made.values, np.array([3, 2, 4]))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_targets_and_numbers_of_each_token_stay_beside_their_tokens(dtype):
  data = with_teacher_targets(
    rows(token_labels=[[0, 4, 0], [0, 0], [0, 1, 2, 3, 0]], words=["a", "b", "c"]), targets(dtype)
  )
  for processes in (1, 4):  # of four with a row each, the last has none
    shares = [
      BatchSource(data, batch_size=4, lengths=(6,), shuffle=False, process=number, processes=processes)[0]
      for number in range(processes)
    ]
    batch = {name: np.concatenate([share[name] for share in shares]) for name in shares[0]}
    assert set(batch) == {"input_ids", "attention_mask", "example_weight", "token_labels", "teacher_targets"}
    assert batch["teacher_targets"].shape == (4, 6, 2) and batch["teacher_targets"].dtype == np.float32
    assert batch["token_labels"].dtype == np.int32
    order = [
      int(np.flatnonzero([len(row) == length for row in IDS])[0]) for length in batch["attention_mask"].sum(-1)[:3]
    ]
    for place, row in enumerate(order):
      length = len(IDS[row])
      assert batch["token_labels"][place, :length].tolist() == data[row]["token_labels"]
      np.testing.assert_array_equal(batch["teacher_targets"][place, :length], targets()[row])
      assert not batch["teacher_targets"][place, length:].any() and not batch["token_labels"][place, length:].any()
    assert batch["example_weight"].tolist() == [1, 1, 1, 0] and not batch["teacher_targets"][3].any()


def test_what_is_not_of_these_tokens_is_refused_with_its_row():
  with pytest.raises(InputError, match="row 2: 2 input_ids, and 3 token_labels"):
    BatchSource(rows(token_labels=[[0] * 3, [0] * 3, [0] * 5]), batch_size=2, lengths=(8,))
  short = Ragged(targets().values[:-1], np.array([3, 2, 4]))
  with pytest.raises(InputError, match="row 3: 4 targets for 5 tokens"):
    with_teacher_targets(rows(), short)
  damaged = targets()
  damaged.values[4, 1] = np.nan
  with pytest.raises(InputError, match=r"row 2: the teacher's targets are \[102.0, nan\]"):
    with_teacher_targets(rows(), damaged)
  with pytest.raises(InputError, match="row 3: 5 input_ids, and 2 teacher_targets"):
    check_columns(rows(teacher_targets=[[[0.0]] * 3, [[0.0]] * 2, [[0.0]] * 2]))
  with pytest.raises(InputError, match="row 3: the teacher's targets are"):
    check_columns(rows(teacher_targets=[[[0.0]] * 3, [[0.0]] * 2, [[0.0]] * 4 + [[np.inf]]]))


def test_ragged_logits_are_kept_in_their_precision_and_come_back(tmp_path):
  calls = []
  for _ in range(2):
    found = stored_logits(tmp_path / "targets.npz", "a", lambda: calls.append(1) or targets(np.float16))
    assert found.values.dtype == np.float16 and found.lengths.tolist() == [3, 2, 5]
    np.testing.assert_array_equal(found.values, targets().values)
  assert calls == [1]

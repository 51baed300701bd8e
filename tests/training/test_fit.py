import datasets
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.training.fit import Recipe, fit


def test_more_steps_than_can_be_counted_are_refused(tmp_path):
  rows = datasets.Dataset.from_dict({"input_ids": [[1, 2]] * 3})
  recipe = Recipe(epochs=2_000_000_000, batch_size=1, learning_rate=1e-3)
  with pytest.raises(InputError, match="teacher: 6,000,000,000 steps, and at most 2,147,483,647 can be counted"):
    fit(tmp_path / "run", lambda *_: {}, {}, rows, recipe, title="teacher")
  assert not (tmp_path / "run").exists()

"""How a student is called."""

import dataclasses

from tinybert_jax.models.config import PRESETS
from tinybert_jax.pipeline import students

NAME = "tinybert-4l-312d"


def test_a_preset_of_fewer_layers_is_called_by_the_shape_that_it_has():
  three = dataclasses.replace(PRESETS[NAME], num_hidden_layers=3)
  assert students.in_words(NAME, three) == "3 layers x 312 (tinybert-4l-312d)"


def test_a_shape_brings_no_weights(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  assert [students.begins_with(name) for name in (None, NAME, str(tmp_path / "config.json"))] == [None] * 3
  assert students.begins_with("huawei-noah/TinyBERT_General_4L_312D") == "huawei-noah/TinyBERT_General_4L_312D"

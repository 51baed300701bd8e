"""The maps of attention in the report, against those of transformers."""

import dataclasses
import json

import datasets
import jax
import numpy as np
import pytest
import transformers
from small_tokenizer import word_tokenizer

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.models.pretrained import Pretrained, save_pretrained
from tinybert_jax.pipeline.attention import attention_maps, matched_layers, most_varied_head, short_row
from tinybert_jax.pipeline.measurement import Models
from tinybert_jax.pipeline.stages import Finished

TEACHER = EncoderConfig(
  vocab_size=7, hidden_size=8, num_hidden_layers=4, num_attention_heads=2, intermediate_size=8,
  max_position_embeddings=32, initializer_range=1.0,
)  # fmt: skip
STUDENT = dataclasses.replace(TEACHER, num_hidden_layers=2, hidden_size=4)
ROWS = datasets.Dataset.from_dict({"input_ids": [[2, 5, 3], [2, 5, 6, 6, 5, 5, 6, 5, 5, 3], [2, *[5] * 20, 3]]})


def finished(config, seed=0):
  params = initialize(SequenceClassifier(config), jax.random.key(seed), kernels="glorot")
  return Finished(SequenceClassifier(config), params, "", {})


def test_the_maps_are_those_of_transformers(tmp_path):
  teacher, student, fresh = finished(TEACHER), finished(STUDENT), finished(STUDENT, 1)
  models = Models([teacher], student, fresh=Pretrained(STUDENT, fresh.params, ()))
  maps = attention_maps(tmp_path, models, ROWS, word_tokenizer())
  assert maps.tokens == ["[CLS]", "hello", "world", "world", "hello", "hello", "world", "hello", "hello", "[SEP]"]
  assert maps.layers == {"teacher": (2, 4), "fresh student": (1, 2), "distilled student": (1, 2)}
  for name, model in (("teacher", teacher), ("fresh student", fresh), ("distilled student", student)):
    save_pretrained(tmp_path / name, model.model.config, model.params)
    theirs = transformers.AutoModel.from_pretrained(tmp_path / name, attn_implementation="eager")
    row = transformers.BatchEncoding({"input_ids": [ROWS[1]["input_ids"]]}, tensor_type="pt")
    attentions = theirs(**row, output_attentions=True).attentions
    for place, layer in enumerate(maps.layers[name]):
      expected = attentions[layer - 1][0, maps.head - 1].detach().numpy()
      np.testing.assert_allclose(maps.probabilities[name][place], expected, atol=1e-5)


def test_models_that_cannot_be_compared_have_no_maps(tmp_path):
  other = finished(dataclasses.replace(STUDENT, num_attention_heads=4))
  assert attention_maps(tmp_path, Models([finished(TEACHER)], other), ROWS, word_tokenizer()) is None
  assert attention_maps(tmp_path, Models([], finished(STUDENT)), ROWS, word_tokenizer()) is None


@pytest.mark.parametrize(
  ("layers", "teacher_layers", "given", "expected"),
  [
    (2, 4, None, [(1, 2), (2, 4)]),
    (2, 4, [1, 4], [(1, 1), (2, 4)]),
    (2, 4, [1, 2, 3], [(1, 2), (2, 4)]),  # of another student, which an earlier run left
    (2, 5, None, [(2, 5)]),
    (6, 12, None, [(1, 2), (2, 4), (4, 8), (6, 12)]),
  ],
)
def test_layers_are_those_of_the_intermediate_stage(tmp_path, layers, teacher_layers, given, expected):
  if given:
    (tmp_path / "intermediate").mkdir()
    (tmp_path / "intermediate" / "stage.json").write_text(json.dumps({"inputs": {"layer_map": given}}))
  student, teacher = (dataclasses.replace(TEACHER, num_hidden_layers=number) for number in (layers, teacher_layers))
  assert matched_layers(tmp_path, student, teacher) == expected


def test_a_text_is_short_enough_to_read():
  assert short_row(ROWS)["input_ids"].tolist() == [ROWS[1]["input_ids"]]
  assert short_row(ROWS.select([2]))["input_ids"].tolist() == [[2, *[5] * 12, 3]]


def test_the_head_that_attends_by_token_is_chosen():
  uniform, to_first, diagonal = np.full((3, 3), 1 / 3), np.eye(3)[[0, 0, 0]], np.eye(3)
  assert most_varied_head(np.stack([[uniform, to_first, diagonal]])) == 2

import datasets
import numpy as np
import pytest
from small_mlm import make_tokenizer

from tinybert_jax.data import fingerprint
from tinybert_jax.models.config import EncoderConfig

ROWS = {"input_ids": [[1, 2], [3]], "text": ["a b", "é"], "labels": [0.5, 1.0]}


def of(**changes):
  return fingerprint.of_rows(datasets.Dataset.from_dict(ROWS | changes))


@pytest.mark.parametrize(
  "changes",
  [
    {"input_ids": [[1], [2, 3]]},
    {"input_ids": [[1, 2], [4]]},
    {"text": ["a ", "bé"]},
    {"labels": [0.5, 2.0]},
    {"more": [1, 2]},
  ],
)
def test_any_change_of_the_rows_changes_it(changes):
  assert of(**changes) != of()


def test_it_is_of_the_content_and_not_of_how_it_is_stored():
  rows = datasets.Dataset.from_dict({name: [values[1], values[0], values[0]] for name, values in ROWS.items()})
  assert fingerprint.of_rows(rows.select([1, 0])) == of()
  parts = [datasets.Dataset.from_dict({name: [values[i]] for name, values in ROWS.items()}) for i in range(2)]
  assert fingerprint.of_rows(datasets.concatenate_datasets(parts)) == of()


def test_models_by_parameters_names_and_settings():
  config, params = EncoderConfig(), {"a": {"b": np.zeros(2, np.float32)}}
  same = fingerprint.of_model(EncoderConfig(), {"a": {"b": np.zeros(2, np.float32)}})
  assert fingerprint.of_model(config, params) == same
  assert fingerprint.of_model(EncoderConfig(hidden_act="relu"), params) != same
  for other in ({"a": {"b": np.ones(2, np.float32)}}, {"a": {"c": np.zeros(2, np.float32)}}, {"a": np.zeros((2, 1))}):
    assert fingerprint.of_model(config, other) != same


def test_a_tokenizers_fingerprint_is_of_its_rules_and_not_of_its_calls():
  tokenizer, other = make_tokenizer(), make_tokenizer()
  before = fingerprint.of_tokenizer(tokenizer)
  tokenizer(["fox dog"], truncation=True, padding=True, max_length=4)
  assert fingerprint.of_tokenizer(tokenizer) == before
  other.add_tokens(["sparrow"])
  assert fingerprint.of_tokenizer(other) != before

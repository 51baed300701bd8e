import itertools

import numpy as np
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.tasks.labels import match_labels, order_classes

NLI = ("entailment", "neutral", "contradiction")


@pytest.mark.parametrize("names", list(itertools.permutations(NLI)))
def test_every_order_is_matched(names):
  assert [names[number] for number in match_labels(names, NLI)] == list(NLI)


def test_case_punctuation_and_the_spelling_of_the_files_do_not_count():
  assert match_labels(("Not Entailment", "ENTAILMENT"), ("entailment", "not_entailment")) == (1, 0)
  assert match_labels(("1", "0"), ("negative", "positive"), ("0", "1")) == (1, 0)
  assert match_labels(("LABEL_0",), ("similarity",)) == (0,)


@pytest.mark.parametrize(
  ("names", "problem"),
  [
    (("LABEL_0", "LABEL_1", "LABEL_2"), "which is which must be known"),
    (("entailment", "neutral", "neutral"), "which is which must be known"),
    (("entailment", "not_entailment"), "it has 2 classes .*and the data has 3 classes"),
    (("score",), "it has 1 class "),
  ],
)
def test_what_cannot_be_matched_is_said(names, problem):
  with pytest.raises(InputError, match=problem):
    match_labels(names, NLI)


def test_order_classes_moves_the_classifiers_columns():
  config = EncoderConfig(labels=("c", "a", "b"))
  params = {"encoder": {}, "classifier": {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.array([2.0, 0.0, 1.0])}}
  ordered, moved = order_classes(config, params, match_labels(config.labels, ("a", "b", "c")), ("a", "b", "c"))
  assert ordered.labels == ("a", "b", "c")
  np.testing.assert_array_equal(moved["classifier"]["bias"], [0, 1, 2])
  np.testing.assert_array_equal(moved["classifier"]["kernel"], [[1, 2, 0], [4, 5, 3]])

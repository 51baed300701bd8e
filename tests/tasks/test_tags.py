"""Entities and their metrics against seqeval, on any sequence of tags."""

import warnings

import numpy as np
import pytest
import seqeval.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from tinybert_jax.tasks.entity_metrics import entity_scores, entity_scores_per_type, word_scores_per_tag
from tinybert_jax.tasks.tags import entities, scheme_of, written

TYPES = ("PER", "LOC", "creative-work")
TAGS = ("O", *(f"{letter}-{kind}" for letter in "BIES" for kind in TYPES))
TEXT = st.lists(st.sampled_from(TAGS), min_size=1, max_size=9)


def theirs(tags):
  return [tuple(one) for one in get_entities(list(tags))]


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_entities_of_any_tags_are_seqevals_and_can_be_written_again(tags):
  found = entities(tags)
  assert [tuple(entity) for entity in found] == theirs(tags)
  for scheme in ("iob", "bioes"):
    again = written(found, len(tags), scheme)
    assert entities(again) == found and theirs(again) == theirs(tags)
    assert not found or scheme_of(again) in (scheme, "iob")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.tuples(*[st.sampled_from(TAGS)] * 2), min_size=1, max_size=7), min_size=1, max_size=5))
def test_metrics_of_any_tags_are_seqevals(texts):
  truth, guess = ([[pair[side] for pair in text] for text in texts] for side in (0, 1))
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    expected = {name: getattr(seqeval.metrics, f"{name}_score")(truth, guess) for name in ("precision", "recall", "f1")}
    expected |= {"accuracy": seqeval.metrics.accuracy_score(truth, guess)}
    has_types = any(entities(text) for text in (*truth, *guess))
    expected |= {"macro_f1": seqeval.metrics.f1_score(truth, guess, average="macro") if has_types else 0}
    report = seqeval.metrics.classification_report(truth, guess, output_dict=True) if has_types else {}
  ours = entity_scores(truth, guess)
  assert ours.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(ours[name], value, atol=1e-12, err_msg=name)
  per_type = entity_scores_per_type(truth, guess)
  assert list(per_type) == sorted(name for name in report if not name.endswith("avg"))
  for kind, scores in per_type.items():
    wanted = report[kind]
    np.testing.assert_allclose(
      [scores[name] for name in ("precision", "recall", "f1", "support")],
      [wanted[name] for name in ("precision", "recall", "f1-score", "support")],
    )


@pytest.mark.parametrize(
  ("tags", "scheme", "found"),
  [
    ("I-PER I-PER B-PER O", "iob", [("PER", 0, 1), ("PER", 2, 2)]),  # IOB1: B where two entities touch
    ("U-PER B-LOC I-LOC L-LOC", "bioes", [("PER", 0, 0), ("LOC", 1, 3)]),  # BILOU
    ("PER PER O LOC", "plain", [("PER", 0, 1), ("LOC", 3, 3)]),
  ],
)
def test_schemes_that_seqeval_does_not_read_by_default(tags, scheme, found):
  assert scheme_of(tags.split()) == scheme
  assert [tuple(entity) for entity in entities(tags.split())] == found


def test_words_by_tag_count_words():
  truth, guess = [["NOUN", "VERB"], ["NOUN"]], [["NOUN", "NOUN"], ["NOUN"]]
  scores = word_scores_per_tag(truth, guess, ("NOUN", "VERB", "X"))
  assert scores["NOUN"] == {"precision": 2 / 3, "recall": 1.0, "f1": pytest.approx(0.8), "support": 2}
  assert scores["VERB"]["recall"] == scores["X"]["support"] == 0

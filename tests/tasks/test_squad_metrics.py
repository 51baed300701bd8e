"""Exact match and F1 on cases where SQuAD's official scripts decide: articles, punctuation, several answers, none."""

import numpy as np
import pytest

from tinybert_jax.tasks.squad_metrics import best, exact_match, f1, normalized


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("The Panthers!", "panthers"),
    ("an  Apple a day", "apple day"),
    ("U.S.-led", "usled"),  # punctuation goes without a space in its place
    ("Theater", "theater"),  # no article in a word
    ("the", ""),
    ("“quoted”", "“quoted”"),  # string.punctuation is ASCII
    ("a-b", "ab"),  # punctuation goes first, so this is no article
  ],
)
def test_answers_are_normalised_as_the_official_scripts_do(text, expected):
  assert normalized(text) == expected


@pytest.mark.parametrize(
  ("given", "truth", "exact", "score"),
  [
    ("the Denver Broncos", "Denver Broncos.", 1, 1),
    ("Broncos", "Denver Broncos", 0, 2 / 3),
    ("of of the game", "of game", 0, 0.8),  # a word counts as often as both have it: 2 of 3, and 2 of 2
    ("Carolina", "Denver", 0, 0),
    ("the", "a", 1, 0),  # version 1.1: the same, and without a word in common
  ],
)
def test_exact_match_and_f1_of_version_1(given, truth, exact, score):
  assert exact_match(given, truth) == exact and f1(given, truth) == pytest.approx(score)


def test_the_nearest_of_several_answers_counts_for_each_metric_alone():
  assert best("gold trim", ["gold", "gold trimmed", "a gold trim!"], has_null=False) == (1, 1)
  np.testing.assert_allclose(best("the gold trim", ["gold", "silver trim gold"], has_null=False), (0, 0.8))


@pytest.mark.parametrize(
  ("given", "answers", "expected"),
  [
    ("", [], (1, 1)),
    ("something", [], (0, 0)),
    ("", ["something"], (0, 0)),
    ("the", [], (1, 1)),  # nothing is left of it
    ("", ["the"], (1, 1)),  # an answer of which nothing is left counts as none
  ],
)
def test_no_answer_is_one_in_version_2(given, answers, expected):
  assert best(given, answers, has_null=True) == expected

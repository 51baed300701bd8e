"""Entities marked by characters, as words with tags."""

import pytest

from tinybert_jax.data.entities import tagged, word_spans
from tinybert_jax.errors import InputError

TEXT = "Ada Byron met (Zoë)  in São-Paulo."


def marks(*names, text=TEXT):
  """The entities of these words, as people's files have them."""
  return [{"start": text.index(name), "end": text.index(name) + len(name), "label": kind} for name, kind in names]


def test_words_are_those_of_bert_and_none_is_lost():
  words = [TEXT[first:last] for first, last in word_spans(TEXT)]
  assert words == ["Ada", "Byron", "met", "(", "Zoë", ")", "in", "São", "-", "Paulo", "."]
  assert [text[first:last] for text in ("नमस्ते दुनिया",) for first, last in word_spans(text)] == ["नमस्ते", "दुनिया"]
  assert word_spans(" \n") == []


def test_entities_are_tags_of_their_words():
  made = tagged([TEXT, "no one"], [marks(("São-Paulo", "LOC"), ("Ada Byron", "PER"), ("Zoë", "PER")), []], "a.jsonl")
  assert made.tags[0] == ["B-PER", "I-PER", "O", "O", "B-PER", "O", "O", "B-LOC", "I-LOC", "I-LOC", "O"]
  assert made.tags[1] == ["O", "O"] and made.widened == 0
  # Parts of words are widened; white space around an entity is none of it.
  part = [{"start": 1, "end": 6, "type": "PER"}, {"start": 9, "end": 14, "label": "X"}]
  made = tagged([TEXT], [part], "a.jsonl")
  assert made.tags[0][:3] == ["B-PER", "I-PER", "B-X"] and made.widened == 1


@pytest.mark.parametrize(
  ("entities", "problem"),
  [
    (
      marks(("Ada Byron", "A"), ("Byron met", "B")),
      r"row 1: the entities 'Ada Byron' \(A, 0 to 9\) and 'Byron met' .*",
    ),
    (marks(("Ad", "A")) + marks(("a", "B")), "overlap in the word 'Ada', and each word has one tag"),
    ([{"start": 30, "end": 99, "label": "A"}], "row 1: the entity A from 30 to 99, and its text has 34 characters"),
    ([{"start": 3, "end": 3, "label": "A"}], "from 3 to 3"),
    ([{"start": 19, "end": 21, "label": "A"}], "holds no word"),
    ([{"start": 0, "end": 3}], "start, end and label are needed"),
    ([{"start": 0, "end": None, "label": "A"}], "must be numbers of characters"),
    (None, "of a text without one it is empty"),
  ],
)
def test_what_is_no_entity_is_told_with_its_row(entities, problem):
  with pytest.raises(InputError, match=problem):
    tagged([TEXT], [entities], "a.jsonl")

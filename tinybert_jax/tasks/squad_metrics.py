"""Exact match and F1 of answers, as SQuAD's official scripts have them."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
  """Returns an answer in lower case, without punctuation and articles, with single spaces."""
  return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(given: str, truth: str) -> float:
  """Returns 1 where the two answers are the same, else 0."""
  return float(normalized(given) == normalized(truth))


def f1(given: str, truth: str, *, may_be_empty: bool = False) -> float:
  """Returns the F1 of the answer's words.

  Args:
    given: by a model.
    truth: the right answer.
    may_be_empty: whether an answer without a word is right where the truth has none either, as in version 2.0; in
      version 1.1 such answers have an F1 of 0.
  """
  ours, theirs = normalized(given).split(), normalized(truth).split()
  if may_be_empty and not (ours and theirs):
    return float(ours == theirs)
  same = sum((Counter(ours) & Counter(theirs)).values())
  if not same:
    return 0.0
  precision, recall = same / len(ours), same / len(theirs)
  return 2 * precision * recall / (precision + recall)


def best(given: str, answers: Sequence[str], *, has_null: bool) -> tuple[float, float]:
  """Returns exact match and F1 to the answer that is nearest.

  Args:
    given: by a model; "" says that there is none.
    answers: all right ones; none where the text has no answer.
    has_null: whether the data has such questions, as SQuAD 2.0 does.
  """
  truths: Sequence[str] = answers
  if has_null:
    truths = [answer for answer in answers if normalized(answer)] or [""]
  if not truths:
    return 0.0, 0.0
  return (
    max(exact_match(given, truth) for truth in truths),
    max(f1(given, truth, may_be_empty=has_null) for truth in truths),
  )

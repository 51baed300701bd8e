"""The answer that a model's marks choose: the best span of a text, over all rows that read it."""

from typing import NamedTuple

import datasets
import numpy as np
import scipy.special
from jaxtyping import Float

from tinybert_jax.data.ragged import Ragged


class Answer(NamedTuple):
  """The best span of a text, and what stands against it.

  Attributes:
    text: of the span, to whole words; "" where a text has no token.
    start: its first character.
    end: the one after its last.
    score: the logits of start and end, added.
    probability: that of its start times that of its end, among the text's tokens and [CLS].
    null: the least score of [CLS] among the rows of the text.
    null_probability: likewise.
  """

  text: str
  start: int
  end: int
  score: float
  probability: float
  null: float
  null_probability: float


def choose_answers(logits: Ragged, rows: datasets.Dataset, longest: int) -> list[Answer]:
  """Returns the answer of each question: of all its rows the span of at most so many tokens with the highest score.

  This is how BERT's program for SQuAD chooses, but that a span is widened to whole words.

  Args:
    logits: of start and end, of each token of each row.
    rows: token rows, those of a question behind each other; see `Spans`.
    longest: tokens of an answer.
  """
  found: list[Answer] = []
  names = ["number", "begin", "starts", "ends", "context"]
  text, number = "", -1
  for place, row in enumerate(rows.select_columns(names)):
    if row["number"] != number:
      number, text = row["number"], row["context"]
      found.append(Answer("", 0, 0, -np.inf, 0.0, np.inf, 1.0))
    own = logits[place]
    kept = np.concatenate([own[:1], own[row["begin"] :][: len(row["starts"])]]).astype(np.float64)
    probabilities = scipy.special.softmax(kept, axis=0)
    null, null_probability = float(kept[0].sum()), float(probabilities[0].prod())
    best = found[-1]._replace(
      null=min(found[-1].null, null), null_probability=min(found[-1].null_probability, null_probability)
    )
    span = _best_span(kept[1:], longest)
    if span is not None and (score := float(kept[1 + span[0], 0] + kept[1 + span[1], 1])) > best.score:
      start, end = row["starts"][span[0]], row["ends"][span[1]]
      probability = float(probabilities[1 + span[0], 0] * probabilities[1 + span[1], 1])
      start += len(text[start:end]) - len(text[start:end].lstrip())
      end = start + len(text[start:end].rstrip())
      best = best._replace(text=text[start:end], start=start, end=end, score=score, probability=probability)
    found[-1] = best
  return found


def _best_span(scores: Float[np.ndarray, "L 2"], longest: int) -> tuple[int, int] | None:
  """Returns first and last token of the best span; of equal ones the first."""
  if not len(scores):
    return None
  padded = np.concatenate([scores[:, 1], np.full(longest - 1, -np.inf)])
  sums = scores[:, :1] + np.lib.stride_tricks.sliding_window_view(padded, longest)
  first, more = np.unravel_index(int(sums.argmax()), sums.shape)
  return int(first), int(first + more)

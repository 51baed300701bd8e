"""Answers that stand in a text: a model marks where they start and where they end, as for SQuAD."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import tokenizers
from jaxtyping import Array, Float

from tinybert_jax.data.ragged import Ragged
from tinybert_jax.distillation.losses import WeightedSum, weighted_sum
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Batch
from tinybert_jax.models.heads import SPANS
from tinybert_jax.models.token_layout import find_layout
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.tasks import squad_metrics
from tinybert_jax.tasks.span_choice import Answer, choose_answers

STRIDE, QUESTION, ANSWER = 128, 64, 30  # tokens: shared by windows, of a question, of an answer
_AT_ONCE = 1000  # texts that a tokenizer is given


class Answers:
  """What a model says of questions: an `Answer` each."""

  def __init__(self, answers: Sequence[Answer]):
    self.answers = list(answers)

  def __len__(self) -> int:
    return len(self.answers)

  def __getitem__(self, questions: Sequence[int]) -> "Answers":
    return Answers([self.answers[question] for question in questions])


@dataclasses.dataclass(frozen=True)
class Spans:
  """A span of the text for each question, by a softmax over the tokens for its start and one for its end.

  A text that is longer than the model has several token rows, which share tokens. A row whose part of the text does not
  hold the answer has [CLS] for both marks, as in BERT's SQuAD. Besides `input_ids` and `token_type_ids`, rows have
  `token_starts` and `token_ends`, 1 at the marks and else 0; and to find answers: the number of the question, where the
  text begins in the row, the characters of each piece's word, and in the first row of a question its text and answers.

  Attributes:
    name: of the data set.
    has_null: whether some questions have no answer, as in SQuAD 2.0.
    stride: tokens that the rows of a text share.
    longest_question: tokens that a question is cut to, at most half of a row.
    longest_answer: in tokens.
    null_threshold: how much the score of [CLS] has to be above the best span's for no answer.
  """

  name: str
  has_null: bool = False
  stride: int = STRIDE
  longest_question: int = QUESTION
  longest_answer: int = ANSWER
  null_threshold: float = 0.0
  labels = ("start", "end")
  kind = "spans"
  head = SPANS
  problem_type = None
  label_columns = ("token_starts", "token_ends", "answers")
  main_metric = "f1"
  ranked_by = ("f1",)

  def tokenize(self, tokenizer: Tokenizer, rows: datasets.Dataset, max_length: int) -> datasets.Dataset:
    """Returns the token rows of `rows`, whose columns are `text`, the question; `pair`, the text; and perhaps `label`,
    the lists `text` and `start` of its answers, of which the first is marked.
    """
    layout = find_layout(tokenizer)
    room = max_length - layout.special_tokens(2)
    if room < 2:
      raise InputError(f"max_length {max_length} leaves no room for a question and a text between the special tokens")
    longest_question = min(self.longest_question, room // 2)
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())  # a copy, which does not cut
    backend.no_truncation()
    backend.no_padding()
    labels = rows["label"][:] if "label" in rows.column_names else None
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS if labels or name not in self.label_columns}
    for start in range(0, len(rows), _AT_ONCE):
      some = rows[start : start + _AT_ONCE]
      questions, texts = (backend.encode_batch(some[name], add_special_tokens=False) for name in ("text", "pair"))
      for place, (question, text) in enumerate(zip(questions, texts, strict=True)):
        asked = question.ids[:longest_question]
        answer = None if labels is None else labels[start + place]
        marks = (-1, -1) if answer is None else _marks(text.offsets, answer)
        words = _words(text)
        size = room - len(asked)
        for first in _firsts(len(text.ids), size, min(self.stride, size // 2)):
          last = min(first + size, len(text.ids))
          ids, segments = layout.row(asked, text.ids[first:last])
          begin = len(layout.before) + len(asked) + len(layout.between)
          columns["input_ids"].append(ids)
          columns["token_type_ids"].append(segments)
          columns["number"].append(start + place)
          columns["begin"].append(begin)
          columns["starts"].append([words[piece][0] for piece in range(first, last)])
          columns["ends"].append([words[piece][1] for piece in range(first, last)])
          columns["context"].append("" if first else some["pair"][place])
          if answer is not None:
            is_inside = first <= marks[0] and 0 <= marks[1] < last
            for name, mark in zip(("token_starts", "token_ends"), marks, strict=True):
              columns[name].append(np.arange(len(ids)) == (begin + mark - first if is_inside else 0))
            columns["answers"].append([] if first else answer["text"])
    return datasets.Dataset.from_dict(columns, features=datasets.Features({name: _COLUMNS[name] for name in columns}))

  def label_loss(self, logits: Array, batch: Batch) -> WeightedSum:
    """Returns the mean of the cross-entropies of start and end."""
    marks = jnp.stack([batch["token_starts"], batch["token_ends"]], -1).astype(jnp.float32)
    return _cross_entropy(marks, logits, batch)

  def target_loss(
    self, logits: Array | np.ndarray, targets: Array | np.ndarray, batch: Batch, temperature: float = 1.0
  ) -> WeightedSum:
    """Returns the mean of the soft cross-entropies of start and end, over a row's tokens (Equation 10)."""
    marks = jax.nn.softmax(_valid(jnp.asarray(targets, jnp.float32) / temperature, batch), axis=1)
    return _cross_entropy(marks, jnp.asarray(logits) / temperature, batch)

  def combine_targets(self, logits: list[Ragged], weights: tuple[float, ...]) -> Ragged:
    """Returns the weighted mean of the logits; one teacher's as they are."""
    if len(logits) == 1:
      return logits[0]
    return Ragged(np.average([each.values for each in logits], 0, weights).astype(np.float32), logits[0].lengths)

  def joined(self, logits: Ragged, rows: datasets.Dataset) -> Answers:
    return Answers(choose_answers(logits, rows, self.longest_answer))

  def truth(self, rows: datasets.Dataset) -> list[list[str]] | None:
    """Returns the answers of each question; none where its text has none."""
    if "answers" not in rows.column_names:
      return None
    return [answers for answers, text in zip(rows["answers"][:], rows["context"][:], strict=True) if text]

  def texts(self, outputs: Answers, *, has_null: bool | None = None) -> list[str]:
    """Returns the answer of each question, "" where there is none."""
    may_be_null = self.has_null if has_null is None else has_null
    return [
      "" if may_be_null and answer.null - answer.score > self.null_threshold else answer.text
      for answer in outputs.answers
    ]

  def score(self, outputs: Answers, truth: list[list[str]]) -> dict[str, float]:
    """Returns exact match and F1, and where some questions have no answer, both of those with and without one."""
    has_null = self.has_null or not all(truth)
    return _means(self.texts(outputs, has_null=has_null), truth, has_null)

  def agreement(self, outputs: Answers, others: Answers) -> float:
    """Returns the share of questions with the same answer."""
    return float(np.mean(self.disagreement(outputs, others) == 0))

  def disagreement(self, outputs: Answers, others: Answers) -> Float[np.ndarray, " N"]:
    """Returns 1 − F1 of the two answers; 0 where they are the same."""
    pairs = zip(self.texts(outputs), self.texts(others), strict=True)
    return np.asarray([1 - squad_metrics.f1(ours, theirs, may_be_empty=True) for ours, theirs in pairs])

  def details(self, outputs: Mapping[str, Answers], truth: list[list[str]]) -> dict[str, Any]:
    has_null = self.has_null or not all(truth)
    if not has_null:
      return {}
    found: dict[str, Any] = {"majority": {**_means([""] * len(truth), truth, True), "label": "no answer"}}
    found["per_class"] = {name: _per_class(self.texts(said, has_null=True), truth) for name, said in outputs.items()}
    found["null_threshold"] = {
      name: dict(zip(("best_f1", "at"), _best_threshold(said, truth), strict=True)) for name, said in outputs.items()
    }
    return found

  def answers(self, outputs: Answers) -> list[dict[str, Any]]:
    return [
      {"answer": text or "no answer", "probability": answer.null_probability if not text else answer.probability}
      for answer, text in zip(outputs.answers, self.texts(outputs), strict=True)
    ]

  def columns(self, logits: Ragged, rows: datasets.Dataset) -> dict[str, pa.Array]:
    """Returns the best span of each text, its probability and characters, and the probability that there is none."""
    answers = self.joined(logits, rows).answers
    return {
      "prediction": pa.array([answer.text for answer in answers], pa.string()),
      "probability": pa.array([answer.probability for answer in answers], pa.float32()),
      "start": pa.array([answer.start for answer in answers], pa.int32()),
      "end": pa.array([answer.end for answer in answers], pa.int32()),
      "no_answer": pa.array([answer.null_probability for answer in answers], pa.float32()),
    }

  def written(self, text: Mapping[str, Any]) -> str:
    return " | ".join(dict.fromkeys(text["label"]["text"])) or "no answer"


_NUMBERS = datasets.List(datasets.Value("int32"))
_MARKS = datasets.List(datasets.Value("int8"))
_COLUMNS = {
  "input_ids": _NUMBERS,
  "token_type_ids": _MARKS,
  "token_starts": _MARKS,
  "token_ends": _MARKS,
  "number": datasets.Value("int64"),
  "begin": datasets.Value("int32"),
  "starts": _NUMBERS,
  "ends": _NUMBERS,
  "context": datasets.Value("string"),
  "answers": datasets.List(datasets.Value("string")),
}


def _valid(logits: Any, batch: Batch) -> Array:
  """Returns logits B×L×2 that are far below all others where there is padding."""
  return jnp.where(jnp.asarray(batch["attention_mask"], bool)[..., None], logits, -1e9)


def _cross_entropy(marks: Array, logits: Any, batch: Batch) -> WeightedSum:
  error = -jnp.sum(marks * jax.nn.log_softmax(_valid(logits, batch), axis=1), axis=1)
  return weighted_sum(jnp.mean(error, axis=-1), batch.get("example_weight"))


def _marks(offsets: Sequence[tuple[int, int]], answer: Mapping[str, Any]) -> tuple[int, int]:
  """Returns the first and the last piece of the first answer whose place is known; -1 where there is none."""
  known = [(text, start) for text, start in zip(answer["text"], answer["start"], strict=True) if start >= 0]
  if not known:
    return -1, -1
  start, end = known[0][1], known[0][1] + len(known[0][0])
  inside = [piece for piece, (first, last) in enumerate(offsets) if first < end and last > start]
  return (inside[0], inside[-1]) if inside else (-1, -1)


def _words(text: Any) -> list[tuple[int, int]]:
  """Returns for each piece the characters, from and to, of the word that it is of."""
  spans: dict[Any, tuple[int, int]] = {}
  keys = [(piece,) if word is None else word for piece, word in enumerate(text.word_ids)]
  for key, (start, end) in zip(keys, text.offsets, strict=True):
    before = spans.get(key, (start, end))
    spans[key] = min(before[0], start), max(before[1], end)
  return [spans[key] for key in keys]


def _firsts(length: int, size: int, stride: int) -> list[int]:
  """Returns where the windows of a text begin; each shares `stride` tokens with the one before."""
  return [0, *range(size - stride, length - stride, size - stride)] if length > size else [0]


def _means(texts: Sequence[str], truth: Sequence[Sequence[str]], has_null: bool) -> dict[str, float]:
  found = np.asarray([squad_metrics.best(*pair, has_null=has_null) for pair in zip(texts, truth, strict=True)])
  scores = dict(zip(("f1", "exact_match"), found.mean(0)[::-1].tolist(), strict=True))
  if has_null:
    has = np.asarray([bool(answers) for answers in truth])
    for name, some in (("answerable", has), ("unanswerable", ~has)):
      if some.any():
        exact, f1 = found[some].mean(0).tolist()
        scores |= {f"{name}_f1": f1, f"{name}_exact_match": exact}
  return scores


def _per_class(texts: Sequence[str], truth: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
  """Returns exact match and F1 of the questions with an answer, and of those without."""
  groups: dict[str, list[tuple[float, float]]] = {"with an answer": [], "without an answer": []}
  for given, answers in zip(texts, truth, strict=True):
    groups["with an answer" if answers else "without an answer"].append(
      squad_metrics.best(given, answers, has_null=True)
    )
  return {
    name: {**dict(zip(("exact_match", "f1"), np.mean(found, 0).tolist(), strict=True)), "support": len(found)}
    for name, found in groups.items()
    if found
  }


def _best_threshold(said: Answers, truth: Sequence[Sequence[str]]) -> tuple[float, float]:
  """Returns the best F1 that a threshold for no answer gives on these questions, and the threshold."""
  margins = np.asarray([answer.null - answer.score for answer in said.answers])
  pairs = list(zip(said.answers, truth, strict=True))
  answered = np.asarray([squad_metrics.best(answer.text, answers, has_null=True)[1] for answer, answers in pairs])
  refused = np.asarray([squad_metrics.best("", answers, has_null=True)[1] for _, answers in pairs])
  order = np.argsort(margins, kind="stable")
  # The first n questions in this order are answered, and the others are not.
  totals = np.concatenate([[0], np.cumsum(answered[order])]) + refused.sum() - np.concatenate(
    [[0], np.cumsum(refused[order])]
  )  # fmt: skip
  best = int(totals.argmax())
  threshold = margins[order][best - 1] if best else margins.min() - 1
  return float(totals[best] / len(truth)), float(threshold)

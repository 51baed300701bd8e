"""Texts that tell how far a compressed model answers as the whole one does."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np

from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length, tokenize_rows
from tinybert_jax.data.columns import choose_columns
from tinybert_jax.data.ragged import ragged
from tinybert_jax.data.squad import read_questions
from tinybert_jax.data.tables import read_table
from tinybert_jax.errors import InputError
from tinybert_jax.export.heads import head_of
from tinybert_jax.export.session import Session
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SpanClassifier, TokenClassifier
from tinybert_jax.models.finished import AnyModel
from tinybert_jax.models.heads import SEQUENCES, SPANS, TOKENS
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import kinds, own_tables, own_tokens
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_data import Reader
from tinybert_jax.pipeline.segments import with_segments
from tinybert_jax.tasks.task import Task

_MOST = 2000  # texts that are run
_LONGEST = 512
_SOME = 16  # batches that tell how large the inputs of products are
_BATCH = 8  # rows; of all of them together the inputs of products get one scale


@dataclasses.dataclass(frozen=True)
class Calibration:
  """Token rows, and what is asked of a model on them.

  Attributes:
    rows: of at most 2,000 texts, evenly spread.
    config: of the models.
    model_class: of the models.
    task: that they are for; None for a model without one, such as a masked language model.
    max_length: tokens that texts are cut to.
    has_pairs: whether a row has two texts.
    notes: sentences on what was found in the file.
  """

  rows: datasets.Dataset
  config: EncoderConfig
  model_class: type[AnyModel]
  task: Task | None
  max_length: int = _LONGEST
  has_pairs: bool = False
  notes: tuple[str, ...] = ()

  @property
  def has_labels(self) -> bool:
    return self.task is not None and self.task.truth(self.rows) is not None

  def batches(self) -> BatchSource:
    """Returns the rows in batches."""
    lengths = bucket_lengths(row_length(self.rows), at_most=self.config.longest)
    return BatchSource(self.rows, batch_size=_BATCH, lengths=lengths, shuffle=False, pad_id=self.config.pad_token_id)

  def some_batches(self) -> list[dict[str, np.ndarray]]:
    """Returns a few batches, evenly spread over the lengths of the rows."""
    source = self.batches()
    return [source[step] for step in sorted({round(step) for step in np.linspace(0, len(source) - 1, _SOME)})]

  def answers(self, session: Session) -> Any:
    """Returns what a model says: outputs of the task; without one, a text's vector or its tokens' likeliest classes."""
    source = self.batches()
    as_in_jax = head_of(self.model_class).as_in_jax
    found: dict[int, np.ndarray] = {}
    for step in range(len(source)):
      batch = source[step]
      logits, tokens = as_in_jax(session(batch)), batch["attention_mask"].sum(-1)
      per_token = logits.ndim == 3
      for place, row in enumerate(source.indices(step)):
        found[row] = logits[place, : tokens[place]] if per_token else logits[place]
    rows = [found[row] for row in range(len(self.rows))]
    if self.task is None:
      return [_WITHOUT_TASK[self.model_class].answer(row) for row in rows]
    return self.task.joined(ragged(rows) if rows[0].ndim == 2 else np.asarray(rows), self.rows)

  def score(self, answers: Any) -> float:
    """Returns the task's score in points, 0 to 100."""
    assert self.task is not None
    metrics = self.task.score(answers, self.task.truth(self.rows))
    return 100 * float(np.mean([metrics[name] for name in self.task.ranked_by]))

  def agreement(self, answers: Any, others: Any) -> float:
    """Returns how far two models say the same, at most 1.

    That is the task's agreement, such as the share of rows with the same label. Without a task it is the share of
    tokens with the same likeliest class, the share of texts with the same span, or the mean cosine of an encoder's.
    """
    if self.task is not None:
      return self.task.agreement(answers, others)
    return _WITHOUT_TASK[self.model_class].agreement(answers, others)


def read(
  sources: Sources, tokenizer: Tokenizer, config: EncoderConfig, model_class: type[AnyModel], name: str
) -> Calibration:
  """Returns the rows of tables; with labels, where the tables have them and the model is for a task.

  Args:
    sources: tables or text files, as `unlabelled`, and how they are read.
    tokenizer: of the model.
    config: of the model.
    model_class: of the model.
    name: of the model, a directory or hub id.

  Raises:
    InputError: tables that cannot be read, or labels that are not the model's.
  """
  notes: list[str] = []
  task, reader = _task(name, config, model_class)
  if task is not None and _has_labels(sources, task):
    rows = reader.read_measured(sources.unlabelled, sources, None, task, notes).rows
  else:
    rows = reader.read_unlabelled(sources, "classification", config.labels, None, notes).rows
  if len(rows) > _MOST:
    rows = rows.select(np.linspace(0, len(rows) - 1, _MOST).astype(int))
  most = min(_LONGEST, config.longest, tokenizer.model_max_length)
  tokens = task.tokenize(tokenizer, rows, most) if task else tokenize_rows(tokenizer, rows, most)
  has_pairs = "pair" in rows.column_names
  return Calibration(with_segments(tokens, config), config, model_class, task, most, has_pairs, tuple(notes))


def _task(name: str, config: EncoderConfig, model_class: type[AnyModel]) -> tuple[Task | None, Reader]:
  """Returns the task that a model is for, and what reads its data."""
  kind = kinds.kind_of(name)
  if type(kind.head.module(config)) is not model_class:
    return None, own_tables
  return kind.task_of(config, name), kind.reader


def _has_labels(sources: Sources, task: Task) -> bool:
  """Returns whether tables have a column that is called as one of labels, or that an option names."""
  if sources.label:
    return True
  if task.head == SEQUENCES:
    table = read_table(sources.unlabelled, sources.reading).rows
    try:
      return bool(choose_columns(table, text=sources.text, pair=sources.pair, has_label=True, where="").label)
    except InputError:
      return False
  if task.head == TOKENS:
    words = own_tokens.read_words(sources.unlabelled, sources, [], may_be_text=True)
    return len(words.column_names) > 1
  if task.head == SPANS:
    return all(one.answers is not None for one in read_questions(sources.unlabelled, [], sources.reading))
  return False


def _ends(logits: np.ndarray) -> np.ndarray:
  """Returns where a text's span starts and ends."""
  return logits.argmax(0)


def _cosine(answers: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
  a, b = np.asarray(answers), np.asarray(others)
  return float(np.mean(np.sum(a * b, axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))))


def _share(answers: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
  return float(np.mean(np.concatenate(answers) == np.concatenate(others)))


def _share_of_rows(answers: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
  return float(np.mean([np.array_equal(a, b) for a, b in zip(answers, others, strict=True)]))


class _Compared(NamedTuple):
  """How models without a task are compared: what is taken from a row's output, L×C, and the agreement of that."""

  answer: Callable[[np.ndarray], np.ndarray]
  agreement: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], float]


_WITHOUT_TASK: dict[type[AnyModel], _Compared] = {
  Encoder: _Compared(lambda states: states.mean(0), _cosine),
  MaskedLanguageModel: _Compared(lambda logits: logits.argmax(-1), _share),
  TokenClassifier: _Compared(lambda logits: logits.argmax(-1), _share),
  SpanClassifier: _Compared(_ends, _share_of_rows),
}

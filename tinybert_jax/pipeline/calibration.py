"""Texts that tell how far a compressed model answers as the whole one does."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import datasets
import numpy as np

from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length
from tinybert_jax.data.columns import choose_columns
from tinybert_jax.data.tables import read_table
from tinybert_jax.errors import InputError
from tinybert_jax.export.heads import head_of
from tinybert_jax.export.session import Session
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  SequenceClassifier,
  SpanClassifier,
  TokenClassifier,
)
from tinybert_jax.models.finished import AnyModel
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_tables import read_measured, read_unlabelled
from tinybert_jax.pipeline.segments import with_segments
from tinybert_jax.tasks.own_task import check_class_names, kind_of_model, make_task
from tinybert_jax.tasks.task import Task

_MOST = 2000  # rows that are run
_LONGEST = 512
_BATCH = 8  # rows; of all of them together the inputs of products get one scale


@dataclasses.dataclass(frozen=True)
class Calibration:
  """Token rows, and what is asked of a model on them.

  Attributes:
    rows: at most 2,000, evenly spread.
    config: of the models.
    model_class: of the models.
    task: of a classifier; None for other models.
    notes: sentences on what was found in the file.
  """

  rows: datasets.Dataset
  config: EncoderConfig
  model_class: type[AnyModel]
  task: Task | None
  notes: tuple[str, ...]

  @property
  def has_labels(self) -> bool:
    return self.task is not None and "labels" in self.rows.column_names

  def answers(self, session: Session) -> Sequence[np.ndarray]:
    """Returns what a model says of each row: a classifier's logits, a text's vector, or what each token's is."""
    lengths = bucket_lengths(row_length(self.rows), at_most=self.config.longest)
    source = BatchSource(self.rows, batch_size=_BATCH, lengths=lengths, shuffle=False, pad_id=self.config.pad_token_id)
    reduce, as_in_jax = _COMPARED[self.model_class].answers, head_of(self.model_class).as_in_jax
    found: dict[int, np.ndarray] = {}
    for step in range(len(source)):
      batch = source[step]
      rows = source.indices(step)
      found |= dict(zip(rows, reduce(as_in_jax(session(batch)), batch["attention_mask"] > 0), strict=False))
    return [found[row] for row in range(len(self.rows))]

  def score(self, answers: Sequence[np.ndarray]) -> float:
    """Returns the task's score in points, 0 to 100."""
    assert self.task is not None
    metrics = self.task.score(np.asarray(answers), self.rows["labels"][:])
    return 100 * float(np.mean([metrics[name] for name in self.task.ranked_by]))

  def agreement(self, answers: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Returns how far two models say the same, at most 1.

    It is the share of rows with the same label, of tokens with the same likeliest one, or of texts with the same span;
    of a regression the correlation, and of encoders the mean cosine.
    """
    if self.task is not None:
      return self.task.agreement(np.asarray(answers), np.asarray(others))
    return _COMPARED[self.model_class].agreement(answers, others)


def read(
  sources: Sources, tokenizer: Tokenizer, config: EncoderConfig, model_class: type[AnyModel], name: str
) -> Calibration:
  """Returns the rows of tables; those of a classifier with labels, where the tables have them.

  Args:
    sources: tables, or text files with a text a line, as `unlabelled`, and how they are read.
    tokenizer: of the model.
    config: of the model.
    model_class: of the model.
    name: of the model, for errors.

  Raises:
    InputError: tables that cannot be read, or labels that are not the model's.
  """
  notes: list[str] = []
  task = None
  if model_class is SequenceClassifier:
    check_class_names(config, name, "correct id2label in its config.json")
    task = make_task(kind_of_model(config, name), "", config.labels)
  if task is not None and _has_labels(sources):
    found = read_measured(sources.unlabelled, sources, None, task, notes)
  else:
    found = read_unlabelled(sources, "classification", config.labels, None, notes)
  rows = found.rows
  if len(rows) > _MOST:
    rows = rows.select(np.linspace(0, len(rows) - 1, _MOST).astype(int))
  most = min(_LONGEST, config.longest, tokenizer.model_max_length)
  reader = task or make_task("classification", "", config.labels)
  tokens = with_segments(reader.tokenize(tokenizer, rows, most), config)
  return Calibration(tokens, config, model_class, task, tuple(notes))


def _has_labels(sources: Sources) -> bool:
  """Returns whether tables have a column that is called as one of labels, or that an option names."""
  if sources.label:
    return True
  table = read_table(sources.unlabelled, sources.reading).rows
  try:
    columns = choose_columns(table, text=sources.text, pair=sources.pair, has_label=True, where="")
  except InputError:
    return False
  return bool(columns.label)


def _mean_states(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
  return (states * mask[..., None]).sum(1) / np.maximum(mask.sum(1, keepdims=True), 1)


def _likeliest(logits: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
  return [row[is_token] for row, is_token in zip(logits.argmax(-1), mask, strict=True)]


def _ends(logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
  return np.where(mask[..., None], logits, -np.inf).argmax(1)


def _cosine(answers: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
  a, b = np.asarray(answers), np.asarray(others)
  return float(np.mean(np.sum(a * b, axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))))


def _share(answers: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
  return float(np.mean(np.concatenate(answers) == np.concatenate(others)))


def _share_of_rows(answers: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
  return float(np.mean([np.array_equal(a, b) for a, b in zip(answers, others, strict=True)]))


class _Compared(NamedTuple):
  """How models of a class are compared: an answer for each row of logits and mask, and the agreement of answers."""

  answers: Callable[[np.ndarray, np.ndarray], Any]
  agreement: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], float]


_COMPARED: dict[type[AnyModel], _Compared] = {
  SequenceClassifier: _Compared(lambda logits, mask: logits, _cosine),
  TokenClassifier: _Compared(_likeliest, _share),
  SpanClassifier: _Compared(_ends, _share_of_rows),
  MaskedLanguageModel: _Compared(_likeliest, _share),
  Encoder: _Compared(_mean_states, _cosine),
  SentenceEncoder: _Compared(lambda embeddings, mask: embeddings, _cosine),
}

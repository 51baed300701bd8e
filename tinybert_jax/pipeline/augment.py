"""Augmentation as a stage: what finds candidates, and the augmented rows of a task or of any texts."""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from tinybert_jax.augmentation import rows as augmented
from tinybert_jax.augmentation.copies import REPLACED, Augmenter
from tinybert_jax.augmentation.masked_words import CANDIDATES, Context, MaskedWords
from tinybert_jax.augmentation.word_vectors import load_word_vectors
from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError, UnfinishedError
from tinybert_jax.models.config import read_json
from tinybert_jax.models.encoder import MaskedLanguageModel, count_parameters
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.training import precision
from tinybert_jax.training.hosts import say

STAGE = "augmented"
COPIES = 30  # of a text that is of no task
_ALGORITHM = 2  # by which candidates are chosen: what another made is not used


@dataclasses.dataclass(frozen=True)
class Settings:
  """What finds candidates.

  Attributes:
    mlm: model directory or hub id of a masked language model; None leaves every word to `glove`.
    glove: word vectors, see `word_vectors.load_word_vectors`; None leaves words of several pieces as they are.
    glove_words: the most frequent words of `glove` that are read.
    candidates: for a word (the paper's K).
    context: what the masked language model reads.
    max_length: tokens that it reads; by default 128, or as many as it has positions for.
    batch_size: masked sentences in a batch, over all devices.
    dtype: of the inputs of the masked language model's matrix products.
  """

  mlm: str | None = None
  glove: Path | None = None
  glove_words: int = 100_000
  candidates: int = CANDIDATES
  context: Context = "masked"
  max_length: int | None = None
  batch_size: int | None = None
  dtype: DTypeLike = jnp.float32


class ModelError(InputError):
  """There is no such model, or not one that augmentation can use."""


class NoHeadError(ModelError):
  """A model's weights have no masked language model's head."""


class Source(NamedTuple):
  """What finds candidates, and what the result depends on because of it."""

  augmenter: Augmenter
  inputs: dict[str, Any]


def first_examples(rows: datasets.Dataset, number: int | None, seed: int) -> datasets.Dataset:
  """Returns `number` rows drawn by the seed; all of them where it is None."""
  if number is None or number >= len(rows):
    return rows
  return rows.select(np.random.default_rng(seed).permutation(len(rows))[:number])


def load_source(settings: Settings) -> Source:
  """Returns what finds candidates; prints which words that leaves alone.

  Raises:
    ModelError: the masked language model is not there, or has no such head; other `InputError`s are of the vectors.
  """
  if settings.mlm is None and settings.glove is None:
    raise InputError("data augmentation needs --mlm, a masked language model, or --glove, word vectors")
  tokenizer, masked = None, None
  inputs: dict[str, Any] = {
    "algorithm": _ALGORITHM,
    "candidates": settings.candidates,
    "masked_language_model": None,
    "word_vectors": None,
  }
  if settings.mlm is None:
    print(f"{'':13} no masked language model: every word is replaced by its neighbours in {settings.glove}")
  else:
    masked = load_masked_words(settings)
    tokenizer = masked.tokenizer
    inputs |= {
      "masked_language_model": fingerprint.of_model(masked.model.config, masked.params),
      "tokenizer": fingerprint.of_tokenizer(tokenizer),
      "context": settings.context,
      "max_length": masked.max_length,
      **precision.as_inputs(settings.dtype),
    }
    print(f"{'':13} words of one piece by {settings.mlm}, {count_parameters(masked.params):,} parameters", end="")
    print(f", on {', '.join(map(str, jax.local_devices()))}")
    print(
      f"{'':13} words of several pieces " + (f"by {settings.glove}" if settings.glove else "stay: no --glove"),
      flush=True,
    )
  notes: list[str] = []
  vectors = load_word_vectors(settings.glove, settings.glove_words, notes) if settings.glove else None
  for note in notes:
    print(f"{'':13} {note}", flush=True)
  if vectors:
    of_vectors = fingerprint.of_params({"": vectors.vectors})
    inputs["word_vectors"] = fingerprint.of_text(f"{of_vectors} {' '.join(vectors.words)}")
  return Source(Augmenter(tokenizer, masked, vectors, number=settings.candidates), inputs)


def load_with_default(settings: Settings, is_default: bool, without: str) -> Source:
  """Returns what finds candidates; where the default model has no head, word vectors alone where there are any.

  Args:
    settings: with a masked language model.
    is_default: whether nobody asked for that model.
    without: how to do without augmentation, for errors.

  Raises:
    InputError: neither the model nor vectors can be used.
  """
  try:
    return load_source(settings)
  except NoHeadError as error:
    if is_default and settings.glove:
      return load_source(dataclasses.replace(settings, mlm=None))
    raise InputError(f"{error}; --mlm None with --glove leaves every word to word vectors, and {without}") from error
  except ModelError as error:
    why = "data augmentation takes words from --pretrained where no --mlm is given: " if is_default else ""
    raise InputError(f"{why}{error}; {without}") from error


def load_masked_words(settings: Settings) -> MaskedWords:
  """Returns the masked language model; ModelError where it is not there, or its weights have no head."""
  assert settings.mlm is not None  # else word vectors find all
  try:
    tokenizer = load_tokenizer(settings.mlm)
    loaded = load_pretrained(settings.mlm, MaskedLanguageModel, finished=True)
  except UnfinishedError as error:
    raise NoHeadError(
      f"{settings.mlm}: no masked language model's head in its weights; experiments.mlm trains one"
    ) from error
  except InputError as error:
    raise ModelError(str(error)) from error
  positions = loaded.config.longest
  if settings.max_length and settings.max_length > positions:
    raise InputError(f"--max-length {settings.max_length}: {settings.mlm} has positions for {positions} tokens only")
  return MaskedWords(
    MaskedLanguageModel(loaded.config, settings.dtype),
    loaded.params,
    tokenizer,
    number=settings.candidates,
    context=settings.context,
    max_length=settings.max_length or min(128, positions),
    batch_size=settings.batch_size,
  )


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """What is augmented, and how much."""

  rows: datasets.Dataset
  copies: int
  replaced: float = REPLACED
  seed: int = 0
  process: int = 0
  processes: int = 1


def make_for_run(run: TaskRun, copies: int, source: Source) -> None:
  """Makes the stage `augmented` of a task's training texts, if need be; of several processes all share the work."""
  plan = Augmentation(
    run.rows.texts, copies=copies, seed=run.seed, process=jax.process_index(), processes=jax.process_count()
  )
  _build(run.place(STAGE, _inputs(run.task.name, plan, source)), run.task.name, plan, source)


def with_augmented(run: TaskRun, tokens: str = f"{STAGE}_tokens") -> TaskRun:
  """Returns the run whose transfer rows are those of its stage `augmented`, in a file named `tokens`.

  Raises:
    InputError: that stage is not there, or was made from other texts.
  """
  folder = run.folder / STAGE
  record = stages.read_record(folder, run.task.name)
  if record["inputs"]["training_rows"] != fingerprint.of_rows(run.rows.texts):
    raise InputError(f"{folder}: made from other training rows than these; run that stage again (--stages augmented …)")
  say(f"{'':13} {record['rows']:,} rows, {record['source_rows']:,} before augmentation")
  own = run.rows.transfer.column_names  # a model without segments has none in its rows
  made_from = read_json(folder / stages.RECORD)
  made_from.pop("seconds", None)  # says nothing of what the rows are
  path = run.place(f"{tokens}.arrow", [made_from, fingerprint.of_tokenizer(run.tokenizer), run.max_length])
  rows = augmented.tokenize_parts(folder, path, run.tokenizer, max_length=run.max_length, made_from=made_from)
  rows = rows.remove_columns([name for name in ("token_type_ids",) if name in rows.column_names and name not in own])
  return dataclasses.replace(run, rows=dataclasses.replace(run.rows, transfer=rows))


def make(folder: Path, name: str, run: Augmentation, source: Source) -> Path | None:
  """Returns `folder`, with the augmented rows as Parquet files and `stage.json`, made now if need be.

  None in any process but the first, which puts all processes' parts in their place.
  """
  if jax.process_count() > 1:
    _build(folder, name, run, source)
    return folder if run.process == 0 else None
  if run.process == 0:
    _build(folder, name, run, source)
    return folder
  inputs, work = _inputs(name, run, source), stages.unfinished(folder)
  _wait(
    lambda: any(stages.is_made_from(place, inputs) for place in (work, folder)),
    "the first process, with the same options",
  )
  if not stages.is_made_from(folder, inputs):
    _write_parts(work, name, run, source)
  return None


def _inputs(name: str, run: Augmentation, source: Source) -> dict[str, Any]:
  return {
    "task": name,
    "stage": STAGE,
    "training_rows": fingerprint.of_rows(run.rows),
    "copies": run.copies,
    "replaced": run.replaced,
    "seed": run.seed,
    **source.inputs,
  }


def _build(folder: Path, name: str, run: Augmentation, source: Source) -> None:
  def build(work: Path) -> Callable[[Path], Mapping[str, Any]]:
    _write_parts(work, name, run, source)
    _wait(lambda: not augmented.missing_parts(work, len(run.rows)), "the other processes' parts")

    def put(new: Path) -> Mapping[str, Any]:
      for part in work.glob("part-*.parquet"):
        _link(part, new / part.name)
      return {
        "source_rows": len(run.rows),
        "rows": augmented.count_rows(new),
        "rows_without_copy": augmented.count_without_copy(new),
      }

    return put

  stages.build(folder, _inputs(name, run, source), build)
  if note := _note_without_copy(stages.read_record(folder, name), source):
    say(f"{'':13} {note}")


def _note_without_copy(record: Mapping[str, Any], source: Source) -> str:
  """Returns a sentence on rows that nothing was replaced in, or an empty text."""
  without, rows = record["rows_without_copy"], record["source_rows"]
  if not without:
    return ""
  finds = source.augmenter
  why = "stop words, numbers and words that the vocabulary lacks stay"
  if finds.vectors is None:
    why += ", and so do words of several pieces without word vectors (--glove)"
  if without == rows:
    return f"nothing was replaced: no row has a copy, so the augmented rows are the rows as they are ({why})"
  return f"{without:,} of {rows:,} rows have no copy, for no word of theirs was replaced ({why})"


def _write_parts(work: Path, name: str, run: Augmentation, source: Source) -> None:
  augmented.write_parts(
    work,
    run.rows,
    source.augmenter,
    copies=run.copies,
    seed=run.seed,
    replaced=run.replaced,
    process=run.process,
    processes=run.processes,
    title=f"{name} {STAGE}",
  )


def _wait(is_there: Callable[[], bool], what: str) -> None:
  if not is_there():
    print(f"{'':13} waits for {what}", flush=True)
  while not is_there():
    time.sleep(0.5)


def _link(source: Path, target: Path) -> None:
  try:
    os.link(source, target)
  except OSError:  # a file system without hard links
    shutil.copy2(source, target)

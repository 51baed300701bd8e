"""Vocabularies of a task's own texts, and models of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np

from tinybert_jax.corpus.documents import find_texts, read_documents
from tinybert_jax.corpus.lines import read_lines
from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.models.directories import make_directory, replace_file
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.finished import load_with_head
from tinybert_jax.models.pretrained import (
  check_fits,
  load_tokenizer,
  local_directory,
  save_pretrained,
)
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.vocabulary import (
  Change,
  Trimmed,
  check_same,
  count_pieces,
  from_rules,
  measure_change,
  trim_config,
  trim_params,
  trim_tokenizer,
)
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.training import hosts
from tinybert_jax.training.hosts import say

_CHECKED = 10_000  # texts that are read again by the new vocabulary
_COUNTED = 20_000_000  # characters of a source of raw text
_HELD_OUT = 100  # documents, of which one is not counted


class Done(NamedTuple):
  """The parameters of a trimmed model, and of the model before."""

  parameters: int
  parameters_before: int


def of_texts(
  tokenizer: Tokenizer,
  texts: Sequence[str],
  held_out: Sequence[str],
  *,
  size: int | None = None,
  min_count: int | None = None,
  also: Sequence[int] = (),
) -> Trimmed:
  """Returns the vocabulary of texts; prints how many tokens it has, and how it reads texts that it was not made of.

  Args:
    tokenizer: to take the tokens from.
    texts: whose pieces are counted.
    held_out: other texts.
    size: see `trim_tokenizer`, as for the next two.
    min_count: the least count of a piece.
    also: ids that are kept in any case.
  """
  trimmed = trim_tokenizer(tokenizer, count_pieces(tokenizer, texts), size=size, min_count=min_count, also=also)
  check_same(tokenizer, trimmed, texts[:_CHECKED])
  whole = len(tokenizer.get_vocab())
  say(f"tokens   {len(trimmed.kept):,} of {whole:,} are kept; {_in_words(tokenizer, trimmed, held_out)}")
  return trimmed


def of_rows(
  tokenizer: Tokenizer,
  rows: datasets.Dataset,
  held_out: Iterable[datasets.Dataset],
  size: int,
  also: Sequence[int],
) -> Trimmed:
  """Returns the vocabulary of a task's texts; see `of_texts`.

  Args:
    tokenizer: to take the tokens from.
    rows: with the column `text`, and perhaps `pair`.
    held_out: likewise, of other rows.
    size: the most tokens that are kept.
    also: ids that are kept in any case, such as that of the model's padding.
  """
  others = [text for part in held_out for text in _texts(part)]
  return of_texts(tokenizer, _texts(rows), others, size=size, also=also)


def trim_directory(
  name: str,
  paths: Sequence[Path],
  out: Path,
  *,
  size: int | None = None,
  min_count: int | None = None,
  held_out: float = 0.1,
) -> Done:
  """Writes a model with a trimmed vocabulary, an ordinary Hugging Face directory, and returns its size.

  The model keeps its head: a classifier, a masked language model's, or none.

  Args:
    name: model directory or hub id.
    paths: of text files with one text a line.
    out: the directory to write.
    size: see `trim_tokenizer`, as for the next.
    min_count: the least count of a piece.
    held_out: the share of the texts, evenly spread, that is not counted but measured.
  """
  directory = local_directory(name)
  if out.resolve() == directory.resolve():
    raise InputError(f"--out {out}: that is the model's own directory; give another, as tokens that are gone are lost")
  tokenizer = load_tokenizer(name)
  loaded = load_with_head(name).loaded
  check_fits(name, tokenizer, loaded.config.vocab_size)
  notes: list[str] = []
  lines = read_lines(paths, notes)
  for note in notes:
    say(note)
  is_out = np.diff(np.floor(held_out * np.arange(len(lines) + 1))) > 0
  counted, measured = ([line for line, out in zip(lines, is_out, strict=True) if out == side] for side in (False, True))
  if not counted:
    raise InputError(f"{', '.join(map(str, paths))}: no text there to count tokens in")
  also = [loaded.config.pad_token_id]
  try:
    trimmed = of_texts(tokenizer, counted, measured, size=size, min_count=min_count, also=also)
    config, params = trim_config(loaded.config, trimmed), trim_params(loaded.params, trimmed)
  except InputError as error:
    raise InputError(f"{name}: {error}") from error
  about = f"{directory.name} with {len(trimmed.kept):,} of its {len(tokenizer.get_vocab()):,} tokens."
  save_pretrained(out, config, params, tokenizer=trimmed.tokenizer, description=about)
  return Done(count_parameters(params), count_parameters(loaded.params))


def of_corpus(
  store: Path, tokenizer: Tokenizer, sources: Sequence[str], text_column: str, size: int, also: Sequence[int]
) -> Trimmed:
  """Returns the vocabulary of raw text; the first process finds it and writes it to the file `store` for the others.

  Of each source the first 20 million characters are counted; one document of a hundred is held out.

  Args:
    store: a file.
    tokenizer: to take the tokens from.
    sources: files, globs, folders or data sets of the hub, see `documents.find_texts`.
    text_column: of sources that have columns.
    size: the most tokens that are kept.
    also: ids that are kept in any case.
  """

  def find() -> None:
    texts = [text for source in sources for text in _beginning(source, text_column)]
    counted = [text for number, text in enumerate(texts) if number % _HELD_OUT]
    trimmed = of_texts(tokenizer, counted or texts, texts[::_HELD_OUT], size=size, also=also)
    make_directory(store.parent)
    with replace_file(store) as new:
      new.write_text(trimmed.tokenizer.backend_tokenizer.to_str(), encoding="utf-8")

  hosts.on_first(find)
  return from_rules(tokenizer, store.read_text(encoding="utf-8"))


def teacher_of(finished: Finished, trimmed: Trimmed) -> Finished:
  """Returns a teacher that reads the trimmed vocabulary, with the embeddings that it has for those tokens."""
  config, params = trim_config(finished.model.config, trimmed), trim_params(finished.params, trimmed)
  model = finished.model.clone(config=config)
  return Finished(model, params, fingerprint.of_model(config, params), finished.record)


def _beginning(source: str, text_column: str) -> list[str]:
  texts, characters = [], 0
  for text in read_documents(find_texts(source), text_column, lambda size: None):
    if isinstance(text, str) and text:
      texts.append(text)
      characters += len(text)
    if characters > _COUNTED:
      break
  return texts


def _texts(rows: datasets.Dataset) -> list[str]:
  return [text for name in ("text", "pair") if name in rows.column_names for text in rows[name][:]]


def _in_words(tokenizer: Tokenizer, trimmed: Trimmed, held_out: Sequence[str]) -> str:
  if not held_out:
    return "no text is held out to measure on"
  change = measure_change(tokenizer, trimmed, held_out)
  return f"of {change.texts:,} held-out texts {change.share:.1%} have other tokens ({_lengths(change)})"


def _lengths(change: Change) -> str:
  before, now = (tokens / max(1, change.texts) for tokens in (change.tokens, change.tokens_now))
  return f"{now:.1f} a text, {before:.1f} before; {change.unknown_now:,} unknown, {change.unknown:,} before"

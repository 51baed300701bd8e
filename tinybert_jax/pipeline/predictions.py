"""A finished model's predictions for a table, read, computed and written in pieces."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pyarrow as pa
from tqdm import tqdm

from tinybert_jax.data.batches import row_length
from tinybert_jax.data.tables import AS_FOUND, Reading
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import rounded_once
from tinybert_jax.models.pretrained import load_tokenizer
from tinybert_jax.pipeline import kinds
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.segments import with_segments
from tinybert_jax.pipeline.table_writer import check_out, write_pieces
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.precision import Precision, choose

_PIECE = 8192  # rows that are in memory
_LONGEST = 512
_LENGTHS = (16, 32, 64, 128, 256, 512)  # that texts are padded to, in every piece the same


class Done(NamedTuple):
  """What was predicted: rows, seconds, and sentences on what was left without a prediction."""

  rows: int
  seconds: float
  notes: tuple[str, ...]


def predict_table(
  model: str | Path,
  data: str | Path | Sequence[str | Path],
  out: str | Path,
  *,
  text: str | None = None,
  pair: str | None = None,
  reading: Reading = AS_FOUND,
  max_length: int | None = None,
  batch_size: int = 64,
  dtype: Precision = "auto",
) -> Done:
  """Returns what was done, after writing `out`: the table's columns, and a prediction for each row.

  The new columns are those of the task, see `Task.columns`. A classifier gives `prediction`, `probability` (of that
  class), and `probability_NAME` for each class; with several labels at once `prediction` has those from one half on,
  separated by "|". A regression gives `prediction` alone; a classifier of tokens a list of tags, and `entities`.

  A directory of sentence-transformers gives the column `embedding`, a list of numbers; `out` may then end in .npy, and
  has a row of numbers for each row of the table. With pairs of texts, it gives the cosine of both as `prediction`.

  A row without a text has no prediction. The file is put in its place when it is complete.

  Args:
    model: directory or hub id of a classifier, or directory of a sentence encoder.
    data: tables of texts.
    out: the file to write, its format by its name.
    text: the column of the texts; by default found.
    pair: the column of second texts.
    reading: how text files are read.
    max_length: tokens that a text is cut to; by default what the model was trained on, as its tokenizer says, at most
      512.
    batch_size: rows in a batch.
    dtype: of the inputs of matrix products, see `precision`.

  Raises:
    InputError: no classifier, data that cannot be read, or another format for `out`.
  """
  out, start = Path(out), time.perf_counter()
  sources = [data] if isinstance(data, str | Path) else list(data)
  check_out(out, [Path(source) for source in sources])
  kind = kinds.kind_of(model)
  loaded = kind.head.load(model, finished=True)
  task = kind.task_of(loaded.config, str(model))
  tokenizer, module = load_tokenizer(model), task.head.module(loaded.config, choose(dtype).dtype)
  params = jax.device_put(rounded_once(module, loaded.params))  # once, and not for each piece
  positions, sentence = loaded.config.longest, loaded.config.sentence
  cut_to = sentence.max_length if sentence and sentence.max_length else _LONGEST
  max_length = max_length or min(_LONGEST, positions, tokenizer.model_max_length, cut_to)
  if max_length > positions:
    raise InputError(f"--max-length {max_length}: the model has positions for {positions} tokens only")
  lengths = (*(length for length in _LENGTHS if length < max_length), max_length)
  notes: list[str] = []
  asked = Sources(text=text, pair=pair, reading=reading)
  pieces = kind.reader.read_to_predict(tuple(map(str, sources)), asked, _PIECE, notes)
  first = next(pieces, None)
  if first is None or not len(first.table):
    raise InputError(f"{', '.join(map(str, sources))}: no rows")
  rows, empty, full = 0, 0, 0

  def results() -> Iterator[pa.Table]:
    nonlocal rows, empty, full
    with tqdm(desc="predict", unit="row", disable=None) as bar:
      for table, has, texts in itertools.chain([first], pieces):
        token_rows = with_segments(task.tokenize(tokenizer, texts, max_length), loaded.config)
        full += int(np.sum(row_length(token_rows) >= max_length)) if has else 0
        logits = predict(module, params, token_rows, batch_size=batch_size, lengths=lengths, name=str(model))
        yield _with_predictions(table, task.columns(logits, token_rows), has)
        rows, empty = rows + len(table), empty + len(table) - len(has)
        bar.update(len(table))

  write_pieces(out, results())
  what = "a text or its pair" if "pair" in first.rows.column_names else "a text"
  notes += [f"{empty:,} rows without {what} have no prediction"] if empty else []
  if full and kind.has_texts:
    notes.append(f"{full:,} rows fill all {max_length} tokens that are read; what is longer is cut")
  return Done(rows, time.perf_counter() - start, tuple(notes))


def _with_predictions(piece: pa.Table, columns: Mapping[str, pa.Array], has: Sequence[int]) -> pa.Table:
  """Returns the piece with the new columns; None in rows that are not among `has`."""
  place = {row: number for number, row in enumerate(has)}
  places = pa.array([place.get(row) for row in range(len(piece))], pa.int64())
  for name, values in columns.items():
    free = name
    while free in piece.column_names:
      free += "_"
    piece = piece.append_column(free, values.take(places))
  return piece

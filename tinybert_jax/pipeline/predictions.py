"""A finished model's predictions for a table, read, computed and written in pieces."""

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import jax
import numpy as np
import pyarrow as pa
from tqdm import tqdm

from tinybert_jax.data.batches import row_length
from tinybert_jax.data.columns import Columns, choose_columns, is_missing
from tinybert_jax.data.tables import AS_FOUND, Reading, iterate_tables
from tinybert_jax.data.text_lines import is_blank
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, rounded_once
from tinybert_jax.models.heads import SENTENCES, SentencesHead
from tinybert_jax.models.pretrained import Pretrained, load_pretrained, load_tokenizer
from tinybert_jax.models.sentence_directories import is_sentence_encoder
from tinybert_jax.models.sentence_head import MEANS
from tinybert_jax.pipeline.segments import with_segments
from tinybert_jax.pipeline.table_writer import check_out, write_pieces
from tinybert_jax.tasks.embeddings import Embeddings
from tinybert_jax.tasks.own_task import check_class_names, kind_of_model, make_task
from tinybert_jax.tasks.task import Task
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

  A directory of sentence-transformers gives the column `embedding`, a list of numbers; `out` may then end in .npy, and
  has a row of numbers for each row of the table. With pairs of texts, it gives the cosine of both as `prediction`.

  A classifier gives `prediction`, `probability` (of that class), and `probability_NAME` for each class; with several
  labels at once `prediction` has those from one half on, separated by "|"; a regression has `prediction` alone. A row
  without a text has none. The file is put in its place when it is complete.

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
  loaded, task = _open(model)
  tokenizer, module = load_tokenizer(model), task.head.module(loaded.config, choose(dtype).dtype)
  params = jax.device_put(rounded_once(module, loaded.params))  # once, and not for each piece
  positions, sentence = loaded.config.longest, loaded.config.sentence
  cut_to = sentence.max_length if sentence and sentence.max_length else _LONGEST
  max_length = max_length or min(_LONGEST, positions, tokenizer.model_max_length, cut_to)
  if max_length > positions:
    raise InputError(f"--max-length {max_length}: the model has positions for {positions} tokens only")
  lengths = (*(length for length in _LENGTHS if length < max_length), max_length)
  where = ", ".join(map(str, sources))
  found: list[str] = []
  pieces = iterate_tables(data, reading, batch_rows=_PIECE, notes=found)
  first = next(pieces, None)
  if first is None or not len(first):
    raise InputError(f"{where}: no rows")
  columns = choose_columns(datasets.Dataset(first), text=text, pair=pair, has_label=False, where=where)
  rows, empty, full = 0, 0, 0
  width = sentence.width(loaded.config.hidden_size) if sentence else loaded.config.num_labels

  def results() -> Iterator[pa.Table]:
    nonlocal rows, empty, full
    with tqdm(desc="predict", unit="row", disable=None) as bar:
      for piece in itertools.chain([first], pieces):
        has, read = _texts(piece, columns, where, rows)
        texts = datasets.Dataset.from_dict(dict(zip(("text", "pair"), read, strict=False)))
        outputs: Any = np.empty((0, width), np.float32)
        if has:
          token_rows = with_segments(task.tokenize(tokenizer, texts, max_length), loaded.config)
          full += int(np.sum(row_length(token_rows) >= max_length))
          logits = predict(module, params, token_rows, batch_size=batch_size, lengths=lengths, name=str(model))
          outputs = task.joined(logits, token_rows)
        elif len(read) == 2 and isinstance(task, Embeddings):
          outputs = outputs[:, 0]  # cosines
        yield _with_predictions(piece, task, outputs, has)
        rows, empty = rows + len(piece), empty + len(piece) - len(has)
        bar.update(len(piece))

  write_pieces(out, results())
  what = "a text" if columns.pair is None else "a text or its pair"
  notes = [f"{empty:,} rows without {what} have no prediction"] if empty else []
  if full:
    notes.append(f"{full:,} rows fill all {max_length} tokens that are read; what is longer is cut")
  return Done(rows, time.perf_counter() - start, (*found, *columns.notes, *notes))


def _open(name: str | Path) -> tuple[Pretrained, Task]:
  """Returns a finished model and its task: a classifier's, or that of embeddings for sentence-transformers."""
  if is_sentence_encoder(name):
    loaded = SENTENCES.load(name)
    head = loaded.config.sentence or MEANS
    return loaded, Embeddings("", SentencesHead(head), prompts=(head.prompt(),))
  loaded = load_pretrained(name, SequenceClassifier, finished=True)
  return loaded, _task(loaded.config, str(name))


def _task(config: EncoderConfig, name: str) -> Task:
  check_class_names(config, name, "correct id2label in its config.json")
  return make_task(kind_of_model(config, name), "", config.labels)


def _texts(piece: pa.Table, columns: Columns, where: str, before: int) -> tuple[list[int], list[list[str]]]:
  """Returns the numbers of the rows that have a text, and their texts and, where there are two, their pairs."""
  names = [columns.text] if columns.pair is None else [columns.text, columns.pair]
  cells = []
  for name in names:
    if pa.types.is_nested(piece[name].type) or pa.types.is_binary(piece[name].type):
      raise InputError(f"{where}, row {before + 1} or after: the column {name} holds {piece[name].type}, and no texts")
    cells.append(["" if is_missing(cell) else str(cell) for cell in piece[name].to_pylist()])
  has = [row for row, texts in enumerate(zip(*cells, strict=True)) if not any(map(is_blank, texts))]
  return has, [[texts[row] for row in has] for texts in cells]


def _with_predictions(piece: pa.Table, task: Task, outputs: Any, has: Sequence[int]) -> pa.Table:
  """Returns the piece with the new columns; None in rows that are not among `has`."""
  place = {row: number for number, row in enumerate(has)}
  places = pa.array([place.get(row) for row in range(len(piece))], pa.int64())
  for name, values in task.columns(outputs).items():
    free = name
    while free in piece.column_names:
      free += "_"
    piece = piece.append_column(free, values.take(places))
  return piece

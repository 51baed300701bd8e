"""A classifier's predictions for a table, read, computed and written in pieces."""

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from tinybert_jax.data.batches import tokenize
from tinybert_jax.data.columns import choose_columns
from tinybert_jax.data.tables import AS_FOUND, Reading, iterate_tables
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer
from tinybert_jax.tasks.classification import Classification, MultiLabel
from tinybert_jax.tasks.regression import Regression
from tinybert_jax.tasks.task import Task
from tinybert_jax.training.evaluate import predict

_PIECE = 8192  # rows that are in memory
_LONGEST = 512
_LENGTHS = (16, 32, 64, 128, 256, 512)  # that texts are padded to, in every piece the same
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


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
) -> Done:
  """Returns what was done, after writing `out`: the table's columns, and a prediction for each row.

  The new columns are `prediction`, `probability` (of that class), and `probability_NAME` for each class; with several
  labels at once `prediction` has those from one half on, separated by "|"; a regression has `prediction` alone. A row
  without a text has none. The file is put in its place when it is complete.

  Args:
    model: directory or hub id of a classifier.
    data: tables of texts.
    out: the file to write, its format by its name.
    text: the column of the texts; by default found.
    pair: the column of second texts.
    reading: how text files are read.
    max_length: tokens that a text is cut to; by default the model's positions, at most 512.
    batch_size: rows in a batch.

  Raises:
    InputError: no classifier, data that cannot be read, or another format for `out`.
  """
  out, start = Path(out), time.perf_counter()
  if out.suffix.lower() not in FORMATS:
    raise InputError(f"--out {out}: the name must end in {', '.join(FORMATS)}")
  loaded = load_pretrained(model, SequenceClassifier, finished=True)
  tokenizer, module = load_tokenizer(model), SequenceClassifier(loaded.config)
  positions = loaded.config.max_position_embeddings
  max_length = max_length or min(_LONGEST, positions)
  if max_length > positions:
    raise InputError(f"--max-length {max_length}: the model has positions for {positions} tokens only")
  lengths = (*(length for length in _LENGTHS if length < max_length), max_length)
  task, where = _task(loaded.config), ", ".join(map(str, [data] if isinstance(data, str | Path) else data))
  found: list[str] = []
  pieces = iterate_tables(data, reading, batch_rows=_PIECE, notes=found)
  first = next(pieces, None)
  if first is None or not len(first):
    raise InputError(f"{where}: no rows")
  columns = choose_columns(datasets.Dataset(first), text=text, pair=pair, has_label=False, where=where)
  rows, empty = 0, 0

  def results() -> Iterator[pa.Table]:
    nonlocal rows, empty
    with tqdm(desc="predict", unit="row", disable=None) as bar:
      for piece in itertools.chain([first], pieces):
        texts = _cells(piece, columns.text)
        pairs = None if columns.pair is None else _cells(piece, columns.pair)
        has = [row for row, cell in enumerate(texts) if cell.strip()]
        token_rows = tokenize(
          tokenizer, [texts[row] for row in has], pairs and [pairs[row] for row in has], max_length=max_length
        )
        logits = np.empty((0, len(task.labels)), np.float32)
        if has:
          logits = predict(module, loaded.params, token_rows, batch_size=batch_size, lengths=lengths)
        yield _with_predictions(piece, task, logits, has)
        rows, empty = rows + len(piece), empty + len(piece) - len(has)
        bar.update(len(piece))

  _write(out, results())
  notes = [f"{empty:,} rows without a text have no prediction"] if empty else []
  return Done(rows, time.perf_counter() - start, (*found, *columns.notes, *notes))


def _task(config: Any) -> Task:
  if config.kind == "multi_label_classification":
    return MultiLabel("", config.labels)
  return Regression("", config.labels) if config.num_labels == 1 else Classification("", config.labels)


def _cells(piece: pa.Table, name: str) -> list[str]:
  return ["" if cell is None else str(cell) for cell in piece[name].to_pylist()]


def _with_predictions(piece: pa.Table, task: Task, logits: np.ndarray, has: Sequence[int]) -> pa.Table:
  """Returns the piece with the new columns; None in rows that are not among `has`."""
  place = {row: number for number, row in enumerate(has)}

  def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    return pa.array([values[place[row]] if row in place else None for row in range(len(piece))], kind)

  answers = task.answers(logits)
  new: dict[str, pa.Array] = {}
  if task.kind == "regression":
    new["prediction"] = column([answer["answer"] for answer in answers], pa.float32())
  else:
    named = ["|".join(one["answer"]) if isinstance(one["answer"], list) else one["answer"] for one in answers]
    new["prediction"] = column(named, pa.string())
    new["probability"] = column([answer["probability"] for answer in answers], pa.float32())
    for number, label in enumerate(task.labels):
      new[f"probability_{label}"] = column(task.probabilities(logits)[:, number].tolist(), pa.float32())
  for name, values in new.items():
    free = name
    while free in piece.column_names:
      free += "_"
    piece = piece.append_column(free, values)
  return piece


def _write(out: Path, pieces: Iterator[pa.Table]) -> None:
  """Writes the pieces to a file beside `out`, and puts it in its place."""
  out.parent.mkdir(parents=True, exist_ok=True)
  new = out.with_name(f".{out.name}.new")
  try:
    with contextlib.ExitStack() as stack:
      write: Callable[[pa.Table], None] | None = None
      for piece in pieces:
        write = write or _writer(out.suffix.lower(), new, piece.schema, stack)
        write(piece)
    new.replace(out)
  finally:
    new.unlink(missing_ok=True)


def _writer(kind: str, path: Path, schema: pa.Schema, stack: contextlib.ExitStack) -> Callable[[pa.Table], None]:
  if kind == ".parquet":
    parquet = stack.enter_context(pq.ParquetWriter(path, schema))
    return lambda piece: parquet.write_table(piece.cast(schema))
  if kind == ".jsonl":
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    return lambda piece: file.writelines(
      json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in piece.to_pylist()
    )
  options = pa.csv.WriteOptions(delimiter="\t" if kind == ".tsv" else ",", quoting_style="needed")
  if nested := [field.name for field in schema if pa.types.is_nested(field.type)]:
    raise InputError(f"--out {path.name[1:-4]}: {nested[0]} holds lists; write .jsonl or .parquet")
  writer = stack.enter_context(pa.csv.CSVWriter(str(path), schema, write_options=options))
  return lambda piece: writer.write_table(piece.cast(schema))

"""Augmented data sets on disk: written part by part, gone on with after a kill, read without loading them whole."""

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from tinybert_jax.augmentation.copies import REPLACED, Augmenter, Candidates, draw_copies, row_generator
from tinybert_jax.augmentation.words import Text
from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import Tokenizer

ROWS_IN_PART = 1000  # of the source
_SIDES = ("text", "pair")
_TOKENIZED_AT_ONCE = 10_000
_MADE_FROM = b"made_from"


def write_parts(
  directory: Path,
  rows: datasets.Dataset,
  augmenter: Augmenter,
  *,
  copies: int,
  seed: int,
  replaced: float = REPLACED,
  process: int = 0,
  processes: int = 1,
  title: str = "augment",
) -> None:
  """Writes every row of a data set, and after each its copies with words replaced, as Parquet files to `directory`.

  A row of two texts gets copies of the first with the second kept, then of the second with the first kept; copies that
  repeat one before them or the row are left out. The columns are the data set's and `copy`: 0 for the row itself, then
  1, 2, …. Parts that are there already are kept, so a run that was killed goes on. What is drawn depends on the seed
  and the row alone.

  Args:
    directory: it must be there.
    rows: with the column `text`, and any of `pair`, `label` and `index`.
    augmenter: that finds the candidates.
    copies: to draw of each text.
    seed: of drawing.
    replaced: the probability that a word is replaced.
    process: this process's number, which decides what parts it writes.
    processes: how many there are.
    title: on the progress bar.

  Raises:
    InputError: no column `text`, or numbers that are out of range.
  """
  if "text" not in rows.column_names:
    raise InputError(f"rows: no column text; there are {', '.join(rows.column_names) or 'none'}")
  if copies < 1:
    raise InputError(f"copies {copies}: at least 1 is needed")
  if not 0 <= replaced <= 1:
    raise InputError(f"replaced {replaced}: the probability must be from 0 to 1")
  if not 0 <= process < processes:
    raise InputError(f"process {process}: it must be from 0 to {processes - 1}")
  parts = range(process, number_of_parts(len(rows)), processes)
  sizes = {number: len(_rows_of_part(number, len(rows))) for number in parts}
  sides = [side for side in _SIDES if side in rows.column_names]
  written, done = None, 0.0
  with tqdm(desc=title, total=sum(sizes.values()), unit="row") as bar, ThreadPoolExecutor(1) as writer:

    def add(share: float, size: int) -> None:
      nonlocal done
      done += share * size / len(sides)
      bar.update(round(done) - bar.n)

    for number in parts:
      if _part(directory, number).exists():
        add(len(sides), sizes[number])
        continue
      numbers = _rows_of_part(number, len(rows))
      part = rows.select(numbers)
      found = {side: augmenter(part[side][:], functools.partial(add, size=sizes[number])) for side in sides}
      if written is not None:
        written.result()
      # The next part's candidates are computed while this one is drawn and written.
      written = writer.submit(_write_part, _part(directory, number), part, numbers.start, found, copies, seed, replaced)
    if written is not None:
      written.result()


def number_of_parts(rows: int) -> int:
  """Returns the number of files that a data set of so many rows is written to."""
  return math.ceil(rows / ROWS_IN_PART)


def missing_parts(directory: Path, rows: int) -> int:
  """Returns how many of them are not there."""
  return sum(not _part(directory, number).exists() for number in range(number_of_parts(rows)))


def count_rows(directory: Path) -> int:
  """Returns the number of rows in the Parquet files in `directory`."""
  return sum(_read(path, pq.read_metadata).num_rows for path in directory.glob("part-*.parquet"))


def count_without_copy(directory: Path) -> int:
  """Returns the number of source rows of which the Parquet files in `directory` have no copy."""
  without = 0
  for path in directory.glob("part-*.parquet"):
    copies = _read(path, functools.partial(pq.read_table, columns=["copy"]))["copy"].to_numpy()
    without += int(np.sum(copies == 0) - np.sum(copies == 1))
  return without


def read_parts(directory: Path) -> Iterator[pa.Table]:
  """Returns the tables of the Parquet files in `directory`, in the order of the source's rows."""
  paths = sorted(directory.glob("part-*.parquet"))
  if not paths:
    raise InputError(f"{directory}: no part-*.parquet there")
  for path in paths:
    yield _read(path, pq.read_table)


def tokenize_parts(
  directory: Path,
  path: Path,
  tokenizer: Tokenizer,
  *,
  max_length: int,
  made_from: Mapping[str, Any],
) -> datasets.Dataset:
  """Returns the token rows of the augmented texts in `directory`, memory-mapped from the Arrow file `path`.

  The columns are those of `batches.tokenize`. The file is written first where it is not there, or was made from
  something else.

  Args:
    directory: of the Parquet files.
    path: the file of tokens.
    tokenizer: of the model that reads them.
    max_length: tokens that a row is cut to.
    made_from: JSON values that tell what the texts were made from.
  """
  all_of_it = [made_from, fingerprint.of_tokenizer(tokenizer), max_length]
  key = fingerprint.of_text(json.dumps(all_of_it, sort_keys=True))
  if not (path.is_file() and _stored_key(path) == key):
    new = path.with_suffix(".new")
    with open(new, "wb") as file, tqdm(desc="tokens", total=count_rows(directory), unit="row") as bar:
      writer: Any = None
      for table in _pieces(directory):
        encoded = _tokenize(tokenizer, table, max_length)
        if writer is None:
          writer = pa.ipc.new_stream(file, encoded.schema.with_metadata({_MADE_FROM: key}))
        writer.write_table(encoded)
        bar.update(len(table))
      if writer is not None:
        writer.close()
    new.replace(path)
  return datasets.Dataset.from_file(str(path))


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
  try:
    return read(path)
  except (pa.ArrowException, OSError) as error:
    raise InputError(f"{path}: not a readable Parquet file ({error})") from error


def _rows_of_part(number: int, rows: int) -> range:
  return range(number * ROWS_IN_PART, min((number + 1) * ROWS_IN_PART, rows))


def _part(directory: Path, number: int) -> Path:
  return directory / f"part-{number:06}.parquet"


def _write_part(
  path: Path,
  rows: datasets.Dataset,
  first: int,
  found: Mapping[str, list[tuple[Text, Candidates]]],
  copies: int,
  seed: int,
  replaced: float,
) -> None:
  made = []
  for number, row in enumerate(rows):
    its = {side: of_rows[number] for side, of_rows in found.items()}
    made += _augment_row(row, its, copies, seed, first + number, replaced)
  table = pa.Table.from_pylist(made, schema=_with_copy(rows.features.arrow_schema))
  new = path.with_suffix(".new")
  pq.write_table(table, new)
  new.replace(path)


def _augment_row(
  row: dict[str, Any],
  found: Mapping[str, tuple[Text, Candidates]],
  copies: int,
  seed: int,
  number: int,
  replaced: float,
) -> list[dict[str, Any]]:
  """Returns the row and its copies; see `write_parts`."""
  made = {tuple(row[side] for side in found): row}
  for s, (side, (text, candidates)) in enumerate(found.items()):
    for drawn in draw_copies(text, candidates, copies, row_generator(seed, number, s), replaced):
      copy = {**row, side: drawn}
      made.setdefault(tuple(copy[side] for side in found), copy)
  return [{**copy, "copy": c} for c, copy in enumerate(made.values())]


def _with_copy(schema: pa.Schema) -> pa.Schema:
  return schema.remove_metadata().append(pa.field("copy", pa.int32()))


def _pieces(directory: Path) -> Iterator[pa.Table]:
  for table in read_parts(directory):
    for start in range(0, len(table), _TOKENIZED_AT_ONCE):
      yield table.slice(start, _TOKENIZED_AT_ONCE)


def _tokenize(tokenizer: Tokenizer, table: pa.Table, max_length: int) -> pa.Table:
  pair = table["pair"].to_pylist() if "pair" in table.column_names else None
  encoded = tokenizer(table["text"].to_pylist(), pair, truncation=True, max_length=max_length, verbose=False)
  columns = {"input_ids": pa.array(encoded["input_ids"], pa.list_(pa.int32()))}
  if pair is not None and "token_type_ids" in encoded:
    columns["token_type_ids"] = pa.array(encoded["token_type_ids"], pa.list_(pa.int8()))
  if "label" in table.column_names:
    columns["labels"] = table["label"].combine_chunks()
  return pa.table(columns)


def _stored_key(path: Path) -> str | None:
  try:
    with pa.memory_map(str(path)) as file:
      return (pa.ipc.open_stream(file).schema.metadata or {}).get(_MADE_FROM, b"").decode()
  except (pa.ArrowException, OSError):
    return None

"""Tables written in pieces, to a file that takes its place when it is complete."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tinybert_jax.errors import InputError
from tinybert_jax.models.directories import replace_file

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
ARRAY = ".npy"  # of embeddings alone
Write = Callable[[pa.Table], object]


def check_out(out: Path, sources: Sequence[Path]) -> None:
  """Raises InputError for a name of another format, or of a folder or a table that is read."""
  if out.suffix.lower() not in (*FORMATS, ARRAY):
    raise InputError(f"--out {out}: the name must end in {', '.join(FORMATS)}, or for embeddings in {ARRAY}")
  if out.is_dir():
    raise InputError(f"--out {out}: a folder, and a file is to be written")
  there = next(path for path in out.absolute().parents if path.exists())
  if not there.is_dir():
    raise InputError(f"--out {out}: {there} is a file, and a folder is needed")
  if any(source.exists() and out.exists() and source.samefile(out) for source in sources):
    raise InputError(f"--out {out}: the table that is read; give another file")


def write_pieces(out: Path, pieces: Iterator[pa.Table]) -> None:
  """Writes the pieces to a file beside `out`, and puts it in its place.

  Raises:
    InputError: lists in a format without them, or columns that change between pieces.
    OSError: the disk is full, or cannot be written; what stood at `out` stays.
  """
  with replace_file(out) as new, contextlib.ExitStack() as stack:
    write: Write | None = None
    for piece in pieces:
      write = write or _writer(out, new, piece.schema, stack)
      write(piece)


def _writer(out: Path, path: Path, schema: pa.Schema, stack: contextlib.ExitStack) -> Write:
  kind = out.suffix.lower()
  if kind == ARRAY:
    return _array_writer(out, path, schema, stack)
  if kind == ".jsonl":
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    return lambda piece: file.writelines(
      json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in piece.to_pylist()
    )
  # A column that is empty at first may hold anything later, and texts hold everything.
  schema = pa.schema([field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in schema])
  if kind == ".parquet":
    parquet = stack.enter_context(pq.ParquetWriter(path, schema))
    return lambda piece: parquet.write_table(_as(piece, schema, out))
  options = pa.csv.WriteOptions(delimiter="\t" if kind == ".tsv" else ",", quoting_style="needed")
  if nested := [field.name for field in schema if pa.types.is_nested(field.type)]:
    raise InputError(f"--out {out}: {nested[0]} holds lists; write .jsonl or .parquet")
  writer = stack.enter_context(pa.csv.CSVWriter(str(path), schema, write_options=options))
  return lambda piece: writer.write_table(_as(piece, schema, out))


def _array_writer(out: Path, path: Path, schema: pa.Schema, stack: contextlib.ExitStack) -> Write:
  """Returns what writes the column of embeddings as rows of a float32 array; a row without one is NaN."""
  name = next((field.name for field in reversed(schema) if pa.types.is_fixed_size_list(field.type)), None)
  if name is None:
    raise InputError(f"--out {out}: {ARRAY} holds embeddings, and this model gives none; write {', '.join(FORMATS)}")
  width, rows = schema.field(name).type.list_size, 0
  file = stack.enter_context(path.open("wb"))

  def header() -> None:
    file.seek(0)
    np.lib.format.write_array_header_1_0(
      file, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    )  # padded, so it takes as much space for any number of rows

  def write(piece: pa.Table) -> None:
    nonlocal rows
    column = piece[name].combine_chunks()
    values = np.full((len(column), width), np.nan, np.float32)
    values[np.asarray(column.is_valid())] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    file.write(values.astype("<f4").tobytes())
    rows += len(column)

  header()
  stack.callback(header)
  return write


def _as(piece: pa.Table, schema: pa.Schema, out: Path) -> pa.Table:
  """Returns a piece with the columns of the first; InputError where they are others."""
  if piece.column_names != schema.names:
    new = [name for name in piece.column_names if name not in schema.names]
    raise InputError(
      f"--out {out}: the column {', '.join(new) or schema.names[0]} comes or goes on the way; write .jsonl"
    )
  try:
    return piece.cast(schema)
  except (pa.ArrowException, ValueError) as error:
    changed = [name for name in schema.names if piece.schema.field(name).type != schema.field(name).type]
    raise InputError(
      f"--out {out}: the column {', '.join(changed)} holds another kind of value on the way; write .jsonl"
    ) from error

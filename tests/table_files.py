"""Small tables in every format, and the one sentence that bad ones are refused with."""

import bz2
import gzip
import io
import json
import lzma

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tinybert_jax.data.tables import iterate_tables, read_table
from tinybert_jax.errors import InputError

ROWS = [{"text": "a fine film", "label": "1"}, {"text": "dull, long", "label": "0"}]


def write(path, content):
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return path


def rows_of(path, **options):
  return read_table(path, **options).rows.to_list()


def error_of(path, **options):
  """Returns the one sentence without its folder; pieces raise the same."""
  with pytest.raises(InputError) as raised:
    read_table(path, **options)
  with pytest.raises(InputError) as of_pieces:
    list(iterate_tables(path, **options))
  message = str(raised.value)
  assert str(of_pieces.value) == message and "\n" not in message
  first = path if not isinstance(path, list) else path[0]
  return message.replace(f"{first.parent}/", "")


def zst(content):
  sink = pa.BufferOutputStream()
  with pa.CompressedOutputStream(sink, "zstd") as stream:
    stream.write(content)
  return sink.getvalue().to_pybytes()


PACKED = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zst}


def in_memory(write_to):
  sink = io.BytesIO()
  write_to(sink)
  return sink.getvalue()


def arrow_bytes(new):
  def write_to(sink):
    table = pa.Table.from_pylist(ROWS)
    with new(sink, table.schema) as writer:
      writer.write_table(table)

  return in_memory(write_to)


FORMATS = {
  "a.csv": b'text,label\na fine film,1\n"dull, long",0\n',
  "a.tsv": b"text\tlabel\na fine film\t1\ndull, long\t0\n",
  "a.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
  "a.ndjson": "\n".join(map(json.dumps, ROWS)).encode(),
  "array.json": json.dumps(ROWS, indent=2).encode(),
  "data.json": json.dumps({"data": ROWS}).encode(),
  "columns.json": json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}).encode(),
  "lines.json": "\n".join(map(json.dumps, ROWS)).encode(),
  "a.parquet": in_memory(lambda sink: pq.write_table(pa.Table.from_pylist(ROWS), sink)),
  "file.arrow": arrow_bytes(pa.ipc.new_file),
  "stream.arrow": arrow_bytes(pa.ipc.new_stream),
  "a.feather": in_memory(lambda sink: pyarrow.feather.write_feather(pa.Table.from_pylist(ROWS), sink)),
}

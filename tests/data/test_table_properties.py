"""Readers of tables against plain ones that are written out here, and on damaged files."""

import contextlib
import json

import datasets
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_files import FORMATS, PACKED

from tinybert_jax.data.columns import choose_columns, text_rows
from tinybert_jax.data.tables import iterate_tables, read_table
from tinybert_jax.errors import InputError

NAMES = ["text", "label", "pair", "id"]
CELLS = [
  "",
  "a",
  "two words",
  "a,b",
  "a\tb",
  "a;b",
  'say "hi"',
  '"',
  "line\nline",
  "line\r\nline",
  "\r",
  " ",
  "é",
  "中文",
]
CELLS += ["1", "0", "1.5", "nan", "true", "\u2028", "\ufeffx", "'", "\\", "#", "😀"]
SCRAPS = [
  "a",
  "b",
  " ",
  ",",
  ",",
  "\t",
  ";",
  "|",
  '"',
  '"',
  "\n",
  "\n",
  "\r\n",
  "\r",
  "é",
  "1",
  "\u2028",
  "\ufeff",
  "\x00",
]
cells = st.sampled_from(CELLS)
values = st.one_of(
  st.none(),
  st.booleans(),
  st.integers(-(2**65), 2**65),
  st.floats(allow_nan=False),
  cells,
  st.lists(st.sampled_from([1, 2])),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("tables")


def read(path, **options):
  """Returns the rows, which pieces must give too; None for one sentence."""
  try:
    rows = read_table(path, **options).rows.to_list()
  except InputError as error:
    assert "\n" not in str(error) and path.name in str(error)
    try:
      pieces = list(iterate_tables(path, **options, batch_rows=2))
    except InputError:
      return None
    assert len({piece.schema for piece in pieces}) > 1  # each is of one kind as it is, and all together are not
    return None
  pieces = list(iterate_tables(path, **options, batch_rows=2))
  assert all(len(piece) <= 2 for piece in pieces)
  names = rows[0].keys()
  assert [{name: row.get(name) for name in names} for piece in pieces for row in piece.to_pylist()] == rows
  return rows


def quoted(cell):
  return '"' + cell.replace('"', '""') + '"'


@given(
  rows=st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=6),
  form=st.sampled_from([(".csv", ","), (".csv", ";"), (".tsv", "\t"), (".csv", "|")]),
  end=st.sampled_from(["\n", "\r\n", "\r"]),
  encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
  packing=st.sampled_from(list(PACKED)),
)
def test_what_is_written_with_quotes_is_read(folder, rows, form, end, encoding, packing):
  suffix, delimiter = form
  lines = [["x", "y"], *rows]
  text = end.join(delimiter.join(map(quoted, row)) for row in lines) + end
  path = folder / f"a{suffix}{packing}"
  path.write_bytes(PACKED[packing](text.encode(encoding)))
  want = [{"x": x or None, "y": y or None} for x, y in rows]
  assert read(path, delimiter=delimiter, quote='"') == want
  if suffix == ".csv":
    assert read(path) == want  # the delimiter is found


def plain_csv(text, delimiter, quote):
  """Returns the rows of cells, a character at a time; None where a quote is never closed, or something follows it."""
  rows, row, cell, state, at = [], [], "", "start", 0
  while at < len(text):
    letter = text[at]
    if state == "quoted":
      if letter != quote:
        cell += letter
      elif text[at + 1 : at + 2] == quote:
        cell += quote
        at += 1
      else:
        state = "closed"
    elif letter == delimiter:
      row, cell, state = [*row, cell], "", "start"
    elif letter in "\r\n":
      if row or cell or state != "start":
        rows.append([*row, cell])
      else:
        rows.append([])
      at += text[at : at + 2] == "\r\n"
      row, cell, state = [], "", "start"
    elif state == "start" and letter == quote:
      state = "quoted"
    elif state == "closed":
      return None
    else:
      cell, state = cell + letter, "plain"
    at += 1
  if state == "quoted":
    return None
  return rows if not (row or cell or state != "start") else [*rows, [*row, cell]]


@given(
  text=st.lists(st.sampled_from(SCRAPS)).map("".join),
  delimiter=st.sampled_from([",", ";", "|"]),
  quote=st.sampled_from(['"', ""]),
)
def test_any_text_is_read_as_plainly_or_refused(folder, text, delimiter, quote):
  path = folder / "a.csv"
  path.write_text("x" + delimiter + "y\n" + text, encoding="utf-8", newline="")
  found = read(path, delimiter=delimiter, quote=quote)
  rows = plain_csv(text, delimiter, quote or None)
  if rows is not None:
    rows = [row for row in rows if row and not (len(row) == 1 and not row[0].strip())]
  if not rows or "\0" in text or any(len(row) != 2 for row in rows):
    assert found is None
  else:
    assert found == [{"x": x or None, "y": y or None} for x, y in rows]


@given(
  text=st.lists(st.sampled_from(SCRAPS)).map("".join),
  name=st.sampled_from(["a.csv", "a.tsv", "a.txt", "a.json", "a.jsonl"]),
)
def test_nothing_else_is_raised_where_all_is_to_be_found(folder, text, name):
  (folder / name).write_text(text, encoding="utf-8", newline="")
  read(folder / name)


def is_same(found, value):
  """Returns whether a cell is what JSON says; a whole number may be read among fractions, if it is exact."""
  return found == value and (isinstance(found, bool) == isinstance(value, bool))


@given(
  rows=st.lists(st.dictionaries(st.sampled_from(NAMES), values, min_size=1), min_size=1, max_size=5),
  name=st.sampled_from(["a.jsonl", "a.json"]),
)
def test_json_is_read_as_it_is_or_refused(folder, rows, name):
  lines = [json.dumps(row) for row in rows]
  (folder / name).write_text("\n".join(lines) if name == "a.jsonl" else f"[{', '.join(lines)}]", encoding="utf-8")
  found = read(folder / name)
  if found is None:
    return
  assert len(found) == len(rows)
  for got, row in zip(found, rows, strict=True):
    assert set(got) >= set(row) and all(is_same(cell, row.get(column)) for column, cell in got.items()), (got, row)


@given(row=st.text(alphabet=st.characters(exclude_categories=[]), max_size=30))
def test_json_of_any_character_is_read_or_refused(folder, row):
  (folder / "a.jsonl").write_text(json.dumps({"text": row}) + "\n", encoding="utf-8")
  found = read(folder / "a.jsonl")
  assert found == [{"text": row}] or any("\ud800" <= letter <= "\udfff" for letter in row)


@given(
  name=st.sampled_from(sorted(FORMATS)),
  place=st.floats(0, 1),
  byte=st.integers(1, 255),
  cut=st.floats(0, 1),
  whole=st.booleans(),
)
def test_a_damaged_table_raises_nothing_else(folder, name, place, byte, cut, whole):
  content = bytearray(FORMATS[name])
  content[int(place * (len(content) - 1))] ^= byte
  path = folder / name
  path.write_bytes(content if whole else content[: int(cut * len(content))])
  for read_it in (read_table, lambda path: list(iterate_tables(path, batch_rows=1))):
    with contextlib.suppress(InputError):
      read_it(path)


@given(
  columns=st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.one_of(st.none(), cells), min_size=4, max_size=4), min_size=1
  ),
  text=st.sampled_from([None, *NAMES]),
  pair=st.sampled_from([None, None, *NAMES]),
  has_label=st.booleans(),
)
def test_columns_are_chosen_or_the_choice_is_refused(columns, text, pair, has_label):
  rows = datasets.Dataset(pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()}))
  try:
    chosen = choose_columns(rows, text=text, pair=pair, has_label=has_label)
    found = text_rows(rows, chosen)
  except InputError:
    return
  assert text in (None, chosen.text) and (pair is None or pair == chosen.pair)
  for row in found.rows:
    number = int(row["index"])
    assert row["text"] == columns[chosen.text][number] and row["text"].strip()
    assert chosen.pair is None or row["pair"] == columns[chosen.pair][number]

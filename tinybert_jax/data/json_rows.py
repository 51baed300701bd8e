"""JSON files: an object a line, or one array of objects or object of columns."""

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tinybert_jax.choices import Reading
from tinybert_jax.data.decoding import Utf8
from tinybert_jax.data.sources import one_line
from tinybert_jax.data.text_lines import is_blank
from tinybert_jax.errors import InputError

_LONGEST = 1 << 28  # characters of one line
_FIRST = 1 << 20  # characters of the line that tells whether there is an object a line

Numbered = tuple[int, dict[str, Any]]


def read_lines(file: Path, how: Reading) -> Iterator[tuple[int, str]]:
  """Yields the lines of a text file that are not blank, with their numbers, from 1.

  Raises:
    InputError: a line of more than 256 million characters.
  """
  with io.TextIOWrapper(io.BufferedReader(Utf8(file, how.encoding)), "utf-8") as text:
    for number in itertools.count(1):
      line = text.readline(_LONGEST)
      if not line:
        return
      if len(line) == _LONGEST:
        raise InputError(f"{file}, line {number}: longer than {_LONGEST:,} characters")
      if not is_blank(line):
        yield number, line.rstrip("\n").removeprefix("\ufeff")  # a byte order mark, as joined files have it


def read_json_lines(file: Path, how: Reading, batch_rows: int) -> Iterator[pa.Table]:
  """Yields the objects of a file of one a line as rows.

  Columns that come later are added then, and those that an object lacks are None there.

  Raises:
    InputError: a line that is no JSON object, or a value of another kind than those before it; with its line.
  """
  rows = ((number, _object(line, file, number)) for number, line in read_lines(file, how))
  names: dict[str, None] = {}
  while some := list(itertools.islice(rows, batch_rows)):
    names.update(dict.fromkeys(name for _, row in some for name in row))
    yield _table(some, list(names), f"{file}, line")


def read_json(file: Path, how: Reading, batch_rows: int, remarks: list[str]) -> Iterator[pa.Table]:
  """Yields the rows of a file that is one JSON value, or an object a line; of these, see `read_json_lines`.

  The value is an array of objects, an object of columns, or an object with a single key that has one of these.

  Raises:
    InputError: no such value; it names the line, or the object.
  """
  if _has_lines(file, how):
    remarks.append("read as JSON lines, an object each")
    yield from read_json_lines(file, how, batch_rows)
    return
  with io.TextIOWrapper(io.BufferedReader(Utf8(file, how.encoding)), "utf-8") as text:
    content = text.read()
  if not content.strip():
    return
  value = _parse(content, file)
  if isinstance(value, dict) and len(value) == 1:
    (inner,) = value.values()
    value = inner if isinstance(inner, dict) or _holds_rows(inner) else value
  if isinstance(value, list):
    wrong = next((number for number, row in enumerate(value, start=1) if not isinstance(row, dict)), None)
    if wrong is not None:
      raise InputError(f"{file}, object {wrong}: {_kind(value[wrong - 1])}, and an object of columns is needed")
    rows = list(enumerate(value, start=1))
  else:
    rows = _from_columns(value, file)
  if rows:
    yield _table(rows, list(dict.fromkeys(name for _, row in rows for name in row)), f"{file}, object")


def _has_lines(file: Path, how: Reading) -> bool:
  """Returns whether the first line that is not blank is an object, and others follow."""
  with io.TextIOWrapper(io.BufferedReader(Utf8(file, how.encoding)), "utf-8") as text:
    first = text.readline(_FIRST)
    while first and is_blank(first):
      first = text.readline(_FIRST)
    if not (first.startswith("{") and any(line.strip() for line in itertools.islice(text, 2))):
      return False
  try:
    return isinstance(json.loads(first), dict)
  except (ValueError, RecursionError):
    return False


def _holds_rows(value: Any) -> bool:
  return isinstance(value, list) and (not value or isinstance(value[0], dict))


def _from_columns(value: Any, file: Path) -> list[Numbered]:
  columns = list(value.values()) if isinstance(value, dict) else []
  if value != {} and not (columns and all(isinstance(column, list) for column in columns)):
    raise InputError(
      f"{file}: {_kind(value)} that is no table; an array of objects is needed, such as "
      '[{"text": "…", "label": "…"}], or an object of columns, such as {"text": ["…"], "label": ["…"]}'
    )
  lengths = {name: len(column) for name, column in value.items()}
  if len(set(lengths.values())) > 1:
    said = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
    raise InputError(f"{file}: columns of different lengths: {said}")
  return [(number, dict(zip(value, row, strict=True))) for number, row in enumerate(zip(*columns, strict=True), 1)]


def _object(line: str, file: Path, number: int) -> dict[str, Any]:
  row = _parse(line, file, number)
  if not isinstance(row, dict):
    raise InputError(f"{file}, line {number}: {_kind(row)}, and an object of columns is needed")
  return row


def _parse(content: str, file: Path, line: int | None = None) -> Any:
  """Returns the value of a line, or of a whole file where no line is told."""
  try:
    return _DECODER.decode(content)
  except json.JSONDecodeError as error:
    raise InputError(
      f"{file}, line {line or error.lineno}: not JSON ({error.msg}, at character {error.colno})"
    ) from error
  except (ValueError, RecursionError) as error:
    reason = "nested too deeply" if isinstance(error, RecursionError) else error
    raise InputError(f"{file}{f', line {line}' if line else ''}: not JSON that can be read ({reason})") from error


def _without_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  row = dict(pairs)
  if len(row) < len(pairs):
    names = [name for name, _ in pairs]
    raise ValueError(f"two values of the name {next(name for name in names if names.count(name) > 1)!r} in an object")
  return row


_DECODER = json.JSONDecoder(object_pairs_hook=_without_twice)


def _table(rows: Sequence[Numbered], names: Sequence[str], where: str) -> pa.Table:
  return pa.table({name: _column([row.get(name) for _, row in rows], name, rows, where) for name in names})


def _column(values: Sequence[Any], name: str, rows: Iterable[Numbered], where: str) -> pa.Array:
  try:
    column = pa.array(values)
  except UnicodeEncodeError:
    for value, (number, _) in zip(values, rows, strict=True):
      if not _is_text(value):
        raise InputError(f"{where} {number}: half of a surrogate pair in {name}, which is no character") from None
    raise
  except (pa.ArrowException, OverflowError) as error:
    raise InputError(_mixed(values, name, rows, where, one_line(error))) from error
  inner = column.type
  while pa.types.is_list(inner):
    inner = inner.value_type
  if pa.types.is_floating(inner) and _has_truth(values):  # which pyarrow takes for 1.0 and 0.0
    raise InputError(_mixed(values, name, rows, where, "true or false among numbers with a fraction"))
  return column


def _has_truth(values: Sequence[Any]) -> bool:
  return any(isinstance(value, bool) or (isinstance(value, list) and _has_truth(value)) for value in values)


def _mixed(values: Sequence[Any], name: str, rows: Iterable[Numbered], where: str, reason: str) -> str:
  """Returns a sentence on values that are no column together."""
  kinds: dict[str, int] = {}
  for value, (number, _) in zip(values, rows, strict=True):
    if value is not None:
      kinds.setdefault(_kind(value), number)
  (kind, first), *others = kinds.items()
  if not others or set(kinds) == {"an integer", "a number with a fraction"}:
    return f"{where} {first}: the values of {name} from there on are no column ({reason})"
  (other, number), *_ = others
  unit = where.rpartition(", ")[2]
  return f"{where} {number}: {name} is {other}, and {kind} in {unit} {first}; one kind of value a column is needed"


def _is_text(value: Any) -> bool:
  try:
    json.dumps(value, ensure_ascii=False).encode()
  except UnicodeEncodeError:
    return False
  return True


def _kind(value: Any) -> str:
  names = {
    dict: "an object",
    list: "an array",
    str: "a text",
    bool: "true or false",
    int: "an integer",
    float: "a number with a fraction",
    type(None): "null",
  }
  return names[type(value)]

"""Texts of words with tags in columns, a word a line, as CoNLL's shared tasks have them."""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from tinybert_jax.data.compression import split_name
from tinybert_jax.data.folders import Wanted, find_files
from tinybert_jax.data.sources import reading
from tinybert_jax.data.text_lines import is_blank, text_lines
from tinybert_jax.errors import InputError

# Of files in a directory or a glob; a file that is named may be called otherwise, such as eng.testa.
_FORMATS = (".conll", ".conllu", ".conll03", ".iob", ".iob2", ".bio", ".bioes", ".bilou", ".tsv", ".txt", ".tags")
_TABLES = (".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather")
_WANTED = Wanted(lambda path: split_name(path)[0] in _FORMATS, "not a file of columns", "no files of columns")
_LOOKED_AT = 1000  # lines
_TAG = re.compile(r"O|[BIESLU]-\S+|[A-Z]+")
_DOCUMENT = "-DOCSTART-"


def find_columns(
  where: Sequence[str | Path], notes: list[str], *, encoding: str | None = None, may_be_text: bool = False
) -> list[Path]:
  """Returns the files of words in columns that paths, globs and directories name; none where these name tables.

  Args:
    where: what to look for.
    notes: gets a sentence on each thing that is passed over.
    encoding: of the text.
    may_be_text: whether a file whose name ends in .txt is one of columns only if it looks so; else it is running text.

  Raises:
    InputError: some name files of columns, and others tables.
  """
  files: list[Path] = []
  for source in where:
    path = Path(source).expanduser()
    found, said = [path], list[str]()
    if not path.is_file():
      try:
        found, said = find_files(source, _WANTED)
      except InputError:  # a folder or glob of tables; who reads those says what is wrong
        found = []
    elif split_name(path)[0] in _TABLES:
      found = []
    if may_be_text:
      found = [file for file in found if split_name(file)[0] != ".txt" or _has_columns(file, encoding)]
    if bool(found) != bool(files) and source is not where[0]:
      raise InputError(f"{source} and {where[0]}: files of words in columns, and tables; give files of one kind")
    files += found
    notes += said
  return files


def read_columns(files: Sequence[Path], encoding: str | None, notes: list[str]) -> pa.Table:
  """Returns the texts of files: a row each, with the columns "0", "1", … of lists, the words mostly in the first.

  Columns are parted by tabs, or where the first line of a file has none by white space. Lines of white space end a
  text. Left out are documents' beginnings (-DOCSTART-), and lines that begin with # and have other columns than the
  words.

  Args:
    files: from `find_columns`.
    encoding: of the text; by default UTF-8, or what a byte order mark says.
    notes: gets a sentence on comments that are left out.

  Raises:
    InputError: a line with another number of columns, or one column alone; it names file and line.
  """
  texts: list[list[list[str]]] = []
  for file in files:
    texts += list(reading(file, functools.partial(_texts, file, encoding, notes)))
  if not texts:
    raise InputError(f"{', '.join(map(str, files))}: no words; at least one text is needed")
  widths = {len(text) for text in texts}
  if len(widths) > 1:
    raise InputError(f"{files[0]} and others: files of {min(widths)} and of {max(widths)} columns; read them apart")
  return pa.table({str(place): [text[place] for text in texts] for place in range(widths.pop())})


def _has_columns(file: Path, encoding: str | None) -> bool:
  """Whether the first lines of a file have the same columns, of which the last looks like tags."""
  lines = (text for _, text in _lines(file, encoding) if not is_blank(text) and not text.startswith(("#", _DOCUMENT)))
  cells = [text.split() for text in itertools.islice(lines, _LOOKED_AT)]
  widths = {len(row) for row in cells}
  return len(widths) == 1 and widths != {1} and all(_TAG.fullmatch(row[-1]) for row in cells)


def _texts(file: Path, encoding: str | None, notes: list[str]) -> Iterator[list[list[str]]]:
  """Yields the columns of each text of a file."""
  lines = [(number, text) for number, text in _lines(file, encoding)]
  words = [text for _, text in lines if not is_blank(text) and not text.startswith("#")]
  if not words:
    return
  mark = "\t" if "\t" in words[0].strip() else None
  width = Counter(len(text.split(mark)) for text in words if not text.startswith(_DOCUMENT)).most_common(1)
  columns = width[0][0] if width else 0
  tags = {text.split(mark)[-1] for text in words}
  text: list[list[str]] = []
  comments = 0
  for number, line in [*lines, (0, "")]:
    cells = [cell.strip() for cell in line.split(mark)]
    is_end = is_blank(line) or cells[0] == _DOCUMENT
    if is_end or (line.startswith("#") and (len(cells) != columns or cells[-1] not in tags)):
      comments += not is_end
      if text and is_end:
        yield [list(column) for column in zip(*text, strict=True)]
        text = []
      continue
    if len(cells) != columns:
      raise InputError(
        f"{file}, line {number}: {len(cells)} column{'s' * (len(cells) > 1)}, and other lines have {columns}"
      )
    if not cells[0]:
      raise InputError(f"{file}, line {number}: a tag without a word")
    text.append(cells)
  if comments:
    notes.append(f"{file}: {comments:,} line{'s' * (comments > 1)} of comments left out")


def _lines(file: Path, encoding: str | None) -> Iterator[tuple[int, str]]:
  for line in text_lines(file, encoding):
    if line.text is None or line.end is None:
      reason = "longer than a word's line can be" if line.end is None else f"not {encoding or 'UTF-8'} text"
      raise InputError(f"{file}, line {line.number}: {reason}")
    yield line.number, line.text

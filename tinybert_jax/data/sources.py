"""Files that hold tables: which there are, their bytes, and what is said of damaged ones."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tinybert_jax.data.compression import COMPRESSED, DAMAGED, decompressed, reason_of, split_name
from tinybert_jax.data.folders import Wanted, find_files
from tinybert_jax.errors import InputError

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".txt")
FORMATS = f"{', '.join(TABLES)}, each alone or with {', '.join(COMPRESSED)} after it"
# What datasets writes beside the tables of `save_to_disk`, and hub repositories hold.
_NO_TABLES = {"state.json", "dataset_info.json", "dataset_dict.json", "dataset_infos.json"}


def kind_of(path: Path) -> tuple[str, str]:
  """Returns a file's format and compression by its name, such as (".csv", ".gz"); ("", …) for another format."""
  suffix, compression = split_name(path)
  return (suffix if suffix in TABLES else "", compression)


def _is_table(path: Path) -> bool:
  return bool(kind_of(path)[0]) and path.name not in _NO_TABLES


_WANTED = Wanted(
  _is_table,
  f"not a table that can be read; its name must end in {FORMATS}",
  f"a directory without tables; their names end in {FORMATS}",
)


def find_tables(where: str | Path) -> tuple[list[Path], list[str]]:
  """Returns the files that a path, glob or directory names, sorted, and notes on those that are passed over.

  An empty list: there is no such thing here.

  Raises:
    InputError: a file of another format, or a directory without any table.
  """
  return find_files(where, _WANTED)


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
  """Gives a file's bytes, decompressed; errors come as it is read, see `reading`."""
  with open(path, "rb") as raw, decompressed(raw, kind_of(path)[1]) as file:
    yield file


def note_skipped(lines: int, remarks: list[str]) -> None:
  """Adds a remark on empty lines, if there are any."""
  if lines:
    remarks.append(f"{lines:,} empty line{'s' * (lines > 1)} skipped")


def join_names(names: Iterable[str]) -> str:
  """Returns names of columns, at most twenty, as part of a sentence."""
  said = [name if name and name.isprintable() else repr(name) for name in names]
  return ", ".join(said[:20]) + (f" and {len(said) - 20} more" if len(said) > 20 else "")


def one_line(error: Exception) -> str:
  """Returns the start of an error's message, as part of a sentence."""
  return " ".join(str(error).split())[:200]


def reading(path: Path, parts: Callable[[], Iterator[Any]]) -> Iterator[Any]:
  """Yields what `parts` yields, with what a damaged, shortened or vanished file raises as one sentence."""
  try:
    yield from parts()
  except InputError:
    raise
  except FileNotFoundError as error:
    raise InputError(f"{path}: no such file; it may have been removed in the meantime") from error
  except MemoryError as error:
    raise InputError(f"{path}: needs more memory than there is, or is damaged ({one_line(error)})") from error
  except (*DAMAGED, UnicodeError) as error:  # names of columns that are not UTF-8
    reason = one_line(error)
    raise InputError(
      f"{path}: damaged or cut off, so it cannot be read as {''.join(kind_of(path))} ({reason})"
    ) from error
  except OSError as error:
    reason = os.strerror(error.errno) if error.errno else reason_of(error)
    raise InputError(f"{path}: cannot be read ({reason})") from error

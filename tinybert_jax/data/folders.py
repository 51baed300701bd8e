"""Files that a folder or a glob holds, through links too; what is passed over is told."""

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tinybert_jax.data.compression import DAMAGED, decompressed, split_name, without_compression
from tinybert_jax.errors import InputError

_CHUNK = 1 << 20


class Wanted(NamedTuple):
  """Which files are looked for.

  Attributes:
    is_known: whether a file's name is of a format that can be read.
    wrong: what is said of a file of another format.
    none: what is said of a folder without any that can be read.
  """

  is_known: Callable[[Path], bool]
  wrong: str
  none: str


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
  """Returns all files below a folder but hidden ones, sorted, and notes on what is passed over.

  Links to folders are followed; a folder that two names lead to is read once.

  Raises:
    InputError: a folder that cannot be read.
  """
  files: list[Path] = []
  notes: list[str] = []
  dead: list[Path] = []
  seen: dict[Path, Path] = {}

  def stop(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({os.strerror(error.errno or 0)})") from error

  for here, folders, names in os.walk(folder, onerror=stop, followlinks=True):
    place = Path(here)
    real = place.resolve()
    if real in seen:
      notes.append(f"{place}: the same folder as {seen[real]}, so it is read once")
      folders.clear()
      continue
    seen[real] = place
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    found = [place / name for name in names if not name.startswith(".")]
    files += [path for path in found if path.is_file()]
    dead += [path for path in found if path.is_symlink() and not path.exists()]
  return sorted(files), notes + _note_dead(dead)


def matching(pattern: str) -> tuple[list[Path], list[str]]:
  """Returns the files and folders that a glob names, sorted, and notes on links that lead nowhere."""
  found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
  return [path for path in found if path.exists()], _note_dead([path for path in found if not path.exists()])


def find_files(where: str | Path, wanted: Wanted) -> tuple[list[Path], list[str]]:
  """Returns the files that a path, glob or folder names, sorted, and notes on those that are passed over.

  An empty list: there is no such thing here.

  Raises:
    InputError: a file of another format, a folder without any that can be read, or a link that leads nowhere.
  """
  if not str(where).strip():
    raise InputError("an empty name, and a file, folder or glob is needed; . is the current folder")
  path = Path(where).expanduser()
  try:
    if path.exists() and not (path.is_dir() or path.is_file()):
      raise InputError(f"{where}: a pipe or a device, and a file is needed, as it is read more than once")
    if path.is_dir():
      return _in_folder(path, wanted)
    if path.is_file():
      return _of_glob(where, [path], wanted)
    if path.is_symlink():
      raise InputError(f"{where}: a link that leads nowhere (to {os.readlink(path)})")
    found, notes = matching(str(path))
    files, repeated = _of_glob(where, found, wanted)
  except (OSError, ValueError) as error:
    if isinstance(error, InputError):
      raise
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    raise InputError(f"{str(where)[:200]!r}: cannot be read ({reason})") from error
  return files, notes + repeated


def without_repeats(files: Sequence[Path]) -> tuple[list[Path], list[str]]:
  """Returns the files without those that are there already, by another name or compressed, and a note on each."""
  first_of: dict[Path, Path] = {}
  kept: list[Path] = []
  notes = []
  for file in files:
    real = file.resolve()
    plain = without_compression(real)
    first = first_of.get(plain)
    if first and (first.resolve() == real or _same_content(first, file)):
      notes.append(f"{file}: the same content as {first}, so it is read once")
      continue
    if first:
      notes.append(f"{file}: other content than {first}, so both are read")
    first_of.setdefault(plain, file)
    kept.append(file)
  return kept, notes


def _of_glob(where: str | Path, found: Sequence[Path], wanted: Wanted) -> tuple[list[Path], list[str]]:
  files: list[Path] = []
  for each in found:
    if each.is_dir():  # as a shell would give it too
      files += [file for file in files_below(each)[0] if wanted.is_known(file)]
    elif each.is_file():
      if not wanted.is_known(each):
        raise InputError(f"{each}: {wanted.wrong}")
      files.append(each)
  if found and not files:
    raise InputError(f"{where}: {wanted.none}")
  return without_repeats(list(dict.fromkeys(files)))


def _in_folder(path: Path, wanted: Wanted) -> tuple[list[Path], list[str]]:
  everything, notes = files_below(path)
  files = [file for file in everything if wanted.is_known(file)]
  if not files:
    raise InputError(f"{path}: {wanted.none}")
  files, repeated = without_repeats(files)
  if len(files) > 1:
    notes.append(f"{path}: {len(files)} files are read, from {files[0].name} to {files[-1].name}")
  if other := [file for file in everything if not wanted.is_known(file)]:
    number = f"{len(other)} other files, such as {other[0].name}, are" if len(other) > 1 else f"{other[0].name} is"
    notes.append(f"{path}: {number} passed over, not being of a format that is read")
  return files, notes + repeated


def _note_dead(links: Sequence[Path]) -> list[str]:
  if not links:
    return []
  more = f" and {len(links) - 1} more" if len(links) > 1 else ""
  return [f"{links[0]}{more}: passed over, a link that leads nowhere"]


def _same_content(one: Path, other: Path) -> bool:
  """Returns whether two files, compressed or not, hold the same bytes; a damaged one does not."""
  try:
    with open(one, "rb") as raw_one, open(other, "rb") as raw_other:
      first, second = (decompressed(raw, split_name(path)[1]) for raw, path in ((raw_one, one), (raw_other, other)))
      while True:
        chunk = first.read(_CHUNK)
        if chunk != second.read(_CHUNK):
          return False
        if not chunk:
          return True
  except (OSError, *DAMAGED):
    return False

"""Texts from files that hold one a line."""

from collections.abc import Sequence
from pathlib import Path

from tinybert_jax.data.compression import DAMAGED, reason_of, split_name
from tinybert_jax.data.folders import Wanted, find_files, without_repeats
from tinybert_jax.data.text_lines import LONGEST, is_blank, note_undecodable, text_lines
from tinybert_jax.errors import InputError

_STRUCTURED = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".csv", ".tsv", ".xlsx", ".html", ".xml")
_IN_FOLDER = ".txt, alone or with .gz, .bz2, .xz, .zst after it"
_WANTED = Wanted(
  lambda path: split_name(path)[0] == ".txt",
  f"a folder's or glob's text files end in {_IN_FOLDER}; name others one by one",
  f"no text files there; they would end in {_IN_FOLDER}",
)


def read_lines(where: Path | Sequence[Path], notes: list[str] | None = None) -> list[str]:
  """Returns the lines that are not blank of text files, compressed or not, and of the .txt files of folders or globs.

  A line whose bytes are not UTF-8 is left out; a file that is named twice is read once.

  Args:
    where: a file, folder or glob, or several.
    notes: gets a sentence on what is left out or passed over, with the first place.

  Raises:
    InputError: nothing there, something else than text, or no line of it is UTF-8.
  """
  said: list[str] = []
  files = [file for path in ([where] if isinstance(where, str | Path) else where) for file in _find(Path(path), said)]
  files, repeated = without_repeats(files)
  lines: list[str] = []
  undecodable: list[str] = []
  for file in files:
    try:
      for line in text_lines(file):
        if line.end is None:
          raise InputError(f"{file}, line {line.number}: longer than {LONGEST:,} bytes; a text a line is needed")
        if line.text is None:
          undecodable.append(f"{file}, line {line.number}")
        elif not is_blank(line.text):
          lines.append(line.text)
    except (OSError, *DAMAGED) as error:
      raise InputError(f"{file}: damaged, incomplete or not readable ({reason_of(error)})") from error
  if undecodable and not lines:
    raise InputError(f"{undecodable[0]}: not UTF-8 text, and no line of it is; convert it (iconv -f CP1252 -t UTF-8)")
  if undecodable:
    said.append(note_undecodable(len(undecodable), undecodable[0]))
  if notes is not None:
    notes += said + repeated
  return lines


def _find(path: Path, notes: list[str]) -> list[Path]:
  path = path.expanduser()
  if path.exists() and not path.is_dir():
    if (suffix := split_name(path)[0]) in _STRUCTURED:
      raise InputError(f"{path}: a text a line is needed, and this is {suffix}; write its texts to a .txt file")
    return [path]
  files, said = find_files(path, _WANTED)
  if not files:
    raise InputError(f"{path}: no such file or directory")
  notes += said
  return files

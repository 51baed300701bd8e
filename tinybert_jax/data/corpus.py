"""Raw text from files."""

from pathlib import Path

from tinybert_jax.errors import InputError


def read_lines(path: Path) -> list[str]:
  """Returns the lines of a text file that are not blank; InputError where it is not there or not UTF-8."""
  try:
    # Not text mode: U+2028 and its like are text here, and would end a line.
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8").split("\n")
  except FileNotFoundError as error:
    raise InputError(f"{path}: no such file") from error
  except UnicodeDecodeError as error:
    raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start + 1})") from error
  return [line.rstrip("\r") for line in lines if line.strip()]

"""Lines of text files: of any encoding and line end, compressed or not, in bounded memory."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tinybert_jax.data.decoding import Utf8

LONGEST = 1 << 28  # bytes of a line that is given whole
_CHUNK = 1 << 20
# Also \r\r\n, which a program leaves that adds \r to the ends of Windows. U+2028 and its like are text here.
_END = re.compile(rb"\r?\r?\n|\r")
# White space of every script, which ends at U+3000, and characters that nobody sees.
_UNSEEN = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff\u200b\u200c\u200d\u2060"


class Line(NamedTuple):
  """A line, or a piece of one that is too long.

  Attributes:
    number: from 1; pieces of a line have the same.
    text: without its end; None where its bytes are not of the file's encoding.
    end: "\\n", or "" at the end of the file, or None where the line goes on in the next piece.
    size: bytes of the text, as UTF-8.
  """

  number: int
  text: str | None
  end: str | None
  size: int


def text_lines(
  path: Path, encoding: str | None = None, longest: int = LONGEST, advance: Callable[[int], Any] = lambda read: None
) -> Iterator[Line]:
  """Yields the lines of a text file, which end in \\n, \\r\\n, or \\r alone.

  A line that is not of the encoding costs no other line. A byte order mark at the start of a line is left out, as
  joined files have it.

  Args:
    path: the file, compressed or not.
    encoding: of the text; by default UTF-8, or what a byte order mark says.
    longest: bytes of a line above which it comes in pieces, which end at a space where there is one.
    advance: is told the bytes read of the file.

  Raises:
    InputError: the file holds something else than text, or becomes shorter meanwhile. A damaged compressed file raises
      what `compression.DAMAGED` lists, or OSError.
  """
  with Utf8(path, encoding, strict=False) as source:
    number, is_start = 1, True
    for data, end in _split(_chunks(source, advance), longest):
      try:
        text = data.decode()
      except UnicodeDecodeError:
        text = None
      if text and is_start and text[0] == "\ufeff":
        text = text[1:]
      yield Line(number, text, end, len(data))
      is_start = end is not None
      number += is_start


def is_blank(text: str) -> bool:
  """Returns whether a line has white space alone, of any script, or characters that nobody sees."""
  return not text.strip(_UNSEEN)


def note_undecodable(number: int, first: str, encoding: str | None = None, what: str = "line") -> str:
  """Returns a remark on lines that are left out.

  Args:
    number: how many.
    first: where the first one is.
    encoding: that they should have; by default UTF-8, or what a byte order mark says.
    what: they are.
  """
  what = f"{number:,} {what}{'s' * (number > 1)} left out that {'are' if number > 1 else 'is'} not"
  return f"{what} {encoding.upper() if encoding else 'UTF-8'} text, the first is {first}"


def _chunks(source: Utf8, advance: Callable[[int], Any]) -> Iterator[bytes]:
  told = 0
  for chunk in iter(functools.partial(source.read, _CHUNK), b""):
    now = source.tell_raw()
    advance(now - told)
    told = now
    yield chunk


def _split(chunks: Iterable[bytes], longest: int) -> Iterator[tuple[bytes, str | None]]:
  """Yields each line without its end, and its end; see `Line`."""
  parts: list[bytes] = []  # of a line whose end is not read yet
  size, held = 0, b""
  for chunk in chunks:
    chunk = held + chunk
    held = b"\r\r" if chunk.endswith(b"\r\r") else b"\r" if chunk.endswith(b"\r") else b""  # half an end, perhaps
    chunk = chunk[: len(chunk) - len(held)]
    first, *others = _END.split(chunk) if b"\r" in chunk else chunk.split(b"\n")
    parts.append(first)
    size += len(first)
    if others:
      yield from _pieces(b"".join(parts), "\n", longest)
      *whole, last = others
      for line in whole:
        if len(line) > longest:
          yield from _pieces(line, "\n", longest)
        else:
          yield line, "\n"
      parts, size = [last], len(last)
    if size > longest:
      *pieces, (last, _) = _pieces(b"".join(parts), None, longest)
      yield from pieces
      parts, size = [last], len(last)
  for _ in held:  # a file that ends in \r
    yield from _pieces(b"".join(parts), "\n", longest)
    parts = []
  if any(parts):
    yield from _pieces(b"".join(parts), "", longest)


def _pieces(line: bytes, end: str | None, longest: int) -> Iterator[tuple[bytes, str | None]]:
  start = 0
  while len(line) - start > longest:
    cut = start + _last_border(line[start : start + longest])
    yield line[start:cut], None
    start = cut
  yield line[start:], end


def _last_border(piece: bytes) -> int:
  """Returns where to cut: before the last space, or after the last whole character where there is one word only."""
  if (space := max(piece.rfind(space) for space in (b" ", b"\t"))) > 0:
    return space
  for start in range(len(piece) - 1, max(len(piece) - 5, 0), -1):
    if piece[start] & 0xC0 != 0x80:  # the first byte of a character
      size = 1 if piece[start] < 0x80 else 2 if piece[start] < 0xE0 else 3 if piece[start] < 0xF0 else 4
      return len(piece) if start + size == len(piece) else start
  return len(piece)

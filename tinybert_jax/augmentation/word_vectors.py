"""Word vectors such as GloVe's, and the words nearest to a word by cosine."""

import functools
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Array, Float, Int

from tinybert_jax.augmentation.words import script_of
from tinybert_jax.data.compression import DAMAGED, reason_of
from tinybert_jax.data.decoding import Utf8
from tinybert_jax.data.text_lines import is_blank, note_undecodable
from tinybert_jax.errors import InputError

_AT_ONCE = 256  # words whose cosines with all others are one product
_SPARE = 8  # further words that the exact comparison chooses from


class WordVectors(NamedTuple):
  """Unit vectors of words.

  Attributes:
    words: in lower case, the most frequent first.
    vectors: of length 1, in the same order.
  """

  words: tuple[str, ...]
  vectors: Float[np.ndarray, "N D"]


def load_word_vectors(path: str | Path, number: int = 100_000, notes: list[str] | None = None) -> WordVectors:
  """Returns the first `number` word vectors at `path`, which files of word vectors have by falling frequency.

  Words that differ in case alone count once, vectors of zeros and words that hold a space not at all.

  Args:
    path: GloVe's text format (`glove.*.txt`: a word and its numbers on each line), word2vec's (the same after a line of
      two counts), compressed or not; or a directory of `*_emb.npy` (N×D) and `*_index.parquet` (the words in the
      column `index`).
    number: how many to read.
    notes: gets a sentence on lines that are not UTF-8, words that hold a space, and a number of words that is not
      what the file tells.

  Raises:
    InputError: no such file, or a malformed one; it names the line.
  """
  if number < 1:
    raise InputError(f"number {number}: at least one word is needed")
  path = Path(path)
  notes = [] if notes is None else notes
  numbers: dict[str, np.ndarray] = {}
  spaced = 0
  for word, vector in _read_directory(path, number) if path.is_dir() else _read_text(path, number, notes):
    spaced += len(word.split()) != 1
    if len(word.split()) == 1:
      if not np.isfinite(vector).all():
        raise InputError(f"{path}: the vector of {word!r} has numbers that are not finite")
      numbers.setdefault(word.lower(), vector)
  if spaced:
    notes.append(f"{path}: words left out that are none, or hold a space: {spaced:,}")
  vectors = np.stack(list(numbers.values())).astype(np.float32) if numbers else np.zeros((0, 1), np.float32)
  with np.errstate(over="ignore"):
    norms = np.linalg.norm(vectors, axis=1)
  if not np.isfinite(norms).all():
    word = list(numbers)[int(np.isfinite(norms).argmin())]
    raise InputError(f"{path}: the vector of {word!r} is too long for 32-bit numbers; divide all by their largest")
  some = norms > 0
  words = tuple(word for word, is_some in zip(numbers, some, strict=True) if is_some)
  if not words:
    raise InputError(f"{path}: no word vectors there")
  return WordVectors(words, vectors[some] / norms[some, None])


def of_words(vectors: WordVectors) -> WordVectors:
  """Returns the vectors of what may replace a word: not of numbers, punctuation, and parts such as "n't"."""
  rows = [row for row, word in enumerate(vectors.words) if script_of(word)]
  return WordVectors(tuple(vectors.words[row] for row in rows), vectors.vectors[rows])


def nearest_words(vectors: WordVectors, words: Sequence[str], number: int) -> dict[str, tuple[str, ...]]:
  """Returns the `number` words of the highest cosine to each of `words`, the nearest first, without the word itself.

  Words that have no vector are left out. Any number of words in any order gives each the same result: the device
  proposes a few more than asked for, and the choice among these is made in float64.
  """
  index = {word: i for i, word in enumerate(vectors.words)}
  if number < 1:
    raise InputError(f"number {number}: at least one word is needed")
  known = sorted({word for word in words if word in index}, key=index.__getitem__)
  if not known:
    return {}
  proposed = min(number + 1 + _SPARE, len(vectors.words))
  matrix = jax.device_put(vectors.vectors)
  result = {}
  for start in range(0, len(known), _AT_ONCE):
    part = known[start : start + _AT_ONCE]
    rows = np.array([index[word] for word in part])
    neighbours = np.asarray(_highest_cosines(matrix, np.pad(rows, (0, _AT_ONCE - len(rows))), proposed))[: len(rows)]
    cosines = np.einsum(
      "wnd,wd->wn", vectors.vectors[neighbours].astype(np.float64), vectors.vectors[rows].astype(np.float64)
    )
    for word, row, its, cosine in zip(part, rows, neighbours, cosines, strict=True):
      order = np.lexsort((its, -cosine))  # the more frequent word first where cosines are equal
      result[word] = tuple(vectors.words[i] for i in its[order] if i != row)[:number]
  return result


@functools.partial(jax.jit, static_argnums=2)
def _highest_cosines(vectors_NxD: Float[Array, "N D"], rows_W: Int[Array, " W"], number: int) -> Int[Array, "W number"]:
  cosines_WxN = jnp.matmul(vectors_NxD[rows_W], vectors_NxD.T, precision=jax.lax.Precision.HIGHEST)
  return jax.lax.top_k(cosines_WxN, number)[1]


def _read_directory(path: Path, number: int) -> Iterator[tuple[str, np.ndarray]]:
  arrays, indices = sorted(path.glob("*_emb.npy")), sorted(path.glob("*_index.parquet"))
  if len(arrays) != 1 or len(indices) != 1:
    raise InputError(f"{path}: one *_emb.npy and one *_index.parquet are needed; give a file of word vectors otherwise")
  try:
    vectors = np.load(arrays[0], mmap_mode="r")
    words = pq.read_table(indices[0], columns=["index"])["index"]
  except (ValueError, OSError, EOFError, pa.ArrowException) as error:
    raise InputError(f"{path}: word vectors that cannot be read ({error})") from error
  if (not pa.types.is_string(words.type) and not pa.types.is_large_string(words.type)) or words.null_count:
    raise InputError(f"{path}: the column index of {indices[0].name} holds other things than words ({words.type})")
  if not np.issubdtype(vectors.dtype, np.floating):
    raise InputError(f"{path}: {arrays[0].name} holds no numbers with a fraction ({vectors.dtype})")
  if vectors.ndim != 2 or len(vectors) != len(words):
    raise InputError(f"{path}: {len(words)} words, and an array of vectors of the shape {vectors.shape}")
  return zip(words.slice(0, number).to_pylist(), vectors, strict=False)


def _read_text(path: Path, number: int, notes: list[str]) -> Iterator[tuple[str, np.ndarray]]:
  told, width, read = None, 0, 0
  undecodable: list[int] = []
  for line_number, line in _lines(path):
    try:
      text = line.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
      undecodable.append(line_number)
      text = line.decode("utf-8", errors="replace")  # a word with such a character replaces none
    if is_blank(text):
      continue
    cells = text.rstrip(" \r\n").split(" ")
    if line_number == 1 and len(cells) == 2 and all(cell.isdecimal() for cell in cells):
      told, width = int(cells[0]), int(cells[1])
      continue
    width = width or len(cells) - 1
    # A few of GloVe's words hold spaces, so the numbers are counted from the end.
    try:
      if len(cells) <= width or width < 2 or _has_more_numbers(cells[:-width]):
        raise ValueError
      with np.errstate(over="ignore"):  # what is too large is told as not finite
        vector = np.array(cells[-width:], np.float32)
    except ValueError as error:
      numbers = f"{width} numbers" if width > 1 else "its numbers"
      raise InputError(f"{path}, line {line_number}: a word and {numbers} are needed") from error
    yield " ".join(cells[:-width]), vector
    read += 1
    if read == number:
      break
  else:
    if told is not None and read < told:
      notes.append(f"{path}: line 1 tells of {told:,} words, and {read:,} are there")
  if undecodable:
    notes.append(note_undecodable(len(undecodable), f"{path}, line {undecodable[0]}"))


def _has_more_numbers(cells: list[str]) -> bool:
  """Returns whether what stands before a line's numbers ends in another one, with a fraction."""
  try:
    return len(cells) > 1 and "." in cells[-1] and math.isfinite(float(cells[-1]))
  except ValueError:
    return False


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
  """Yields the lines of a file of any compression and encoding that is told by a byte order mark, with their numbers.

  U+2028 and its like, which are among the words, end no line; \\r does where there is no \\n at all.
  """
  try:
    with io.BufferedReader(Utf8(path, strict=False)) as file:
      first = file.readline()
      lines = first.split(b"\r") if not first.endswith(b"\n") else [first]
      yield from enumerate(lines, start=1)
      yield from enumerate(file, start=2)
  except FileNotFoundError as error:
    raise InputError(f"{path}: no such file or directory of word vectors") from error
  except (OSError, *DAMAGED) as error:
    raise InputError(f"{path}: damaged, incomplete or not readable ({reason_of(error)})") from error

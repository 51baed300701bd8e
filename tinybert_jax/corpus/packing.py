"""Documents to sequences of tokens, of one segment or of BERT's pairs of segments; none holds text of two documents
but for a pair's random second segment.
"""

import bisect
import collections
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import tokenizers
from jaxtyping import Integer

from tinybert_jax.corpus.documents import cut_text
from tinybert_jax.errors import InputError
from tinybert_jax.models.token_layout import Layout, find_layout
from tinybert_jax.models.tokenizer_type import Tokenizer

SHORT = 0.1  # BERT's share of documents whose sequences are short
_TOKENIZED_AT_ONCE = 200_000  # characters; a tokenizer's own result takes some hundred times the memory of its text

Ranges = tuple[tuple[int, int], ...]  # of a sequence's segments in the tokens of a block


class Rules(NamedTuple):
  """How documents become sequences: values that can go to another process.

  Attributes:
    tokenizer: as JSON.
    layout: the special tokens around texts.
    dtype: of tokens, "uint16" where it holds the vocabulary.
    max_length: tokens in a sequence.
    segments: "single" or "pair".
    seed: of what is drawn for pairs.
  """

  tokenizer: str
  layout: Layout
  dtype: str
  max_length: int
  segments: Literal["single", "pair"]
  seed: int


class Block(NamedTuple):
  """Documents that are packed together.

  Attributes:
    number: from 0.
    training: each document's text, and how many times it is packed.
    held_out: texts of documents that are kept from training.
    counts: of documents that were read and are in neither.
  """

  number: int
  training: list[tuple[str, int]]
  held_out: list[str]
  counts: dict[str, int]


class Packed(NamedTuple):
  """The sequences of a block, and its counts."""

  training: pa.Table
  held_out: pa.Table
  counts: Mapping[str, int]


class Tokens(NamedTuple):
  """The tokens of documents.

  Attributes:
    ids: of all documents, one after another.
    segments: the borders of the segments in `ids`.
    documents: the borders of the documents in `segments`.
  """

  ids: Integer[np.ndarray, " tokens"]
  segments: list[int]
  documents: list[int]


def make_rules(tokenizer: Tokenizer, max_length: int, segments: Literal["single", "pair"], seed: int) -> Rules:
  """Returns the rules for a tokenizer; InputError where it cannot make such sequences."""
  layout = find_layout(tokenizer)
  if max_length < 8:
    raise InputError(f"sequences of {max_length} tokens: at least 8 are needed")
  if segments not in ("single", "pair"):
    raise InputError(f"segments {segments!r}: it must be single or pair")
  largest = max(tokenizer.get_vocab().values())
  return Rules(
    tokenizer=tokenizer.backend_tokenizer.to_str(),
    layout=layout,
    dtype="uint16" if largest < 1 << 16 else "int32",
    max_length=max_length,
    segments=segments,
    seed=seed,
  )


def pack_block(block: Block, rules: Rules) -> Packed:
  """Returns the sequences of a block: they depend on the block and the rules alone."""
  counts = collections.Counter(block.counts)
  training = _pack(block.training, rules, (block.number, 0), counts, "")
  held_out = _pack([(text, 1) for text in block.held_out], rules, (block.number, 1), counts, "held_out_")
  return Packed(training, held_out, dict(counts))


def single_segments(tokens: Tokens, copies: Sequence[int], max_length: int, special: int = 2) -> list[Ranges]:
  """Returns sequences of all tokens of each document, in order; a document's last one is shorter.

  `special` tokens of each are not the document's.
  """
  room, sequences = max_length - special, list[Ranges]()
  for number, times in enumerate(copies):
    first, end = (tokens.segments[segment] for segment in tokens.documents[number : number + 2])
    sequences += [((start, min(start + room, end)),) for start in range(first, end, room)] * times
  return sequences


def segment_pairs(
  tokens: Tokens, copies: Sequence[int], max_length: int, rng: np.random.Generator, special: int = 3
) -> tuple[list[Ranges], int]:
  """Returns BERT's pairs of segments, and how many tokens of the documents truncation took away.

  Segments of a document are collected up to the maximum, or in a tenth of the documents up to a length drawn from 2 to
  that. A is a random number of the first of them; B is what follows, or in half of the cases, and where nothing does,
  begins at a random segment of the other documents, and what was not used is collected again. `special` tokens of a
  sequence are not the documents'.
  """
  sequences, dropped = [], 0
  for number, times in enumerate(copies):
    for _ in range(times):
      for pair, lost in _document_pairs(tokens, number, max_length - special, rng):
        sequences.append(pair)
        dropped += lost
  return sequences, dropped


def tokenize_documents(tokenizer: tokenizers.Tokenizer, texts: Sequence[str], by_line: bool, dtype: str) -> Tokens:
  """Returns the tokens of documents, and as segments their lines, or pieces of bounded length."""
  pieces, documents = list[str](), [0]
  for text in texts:
    for line in text.split("\n") if by_line else [text]:
      pieces.extend(cut_text(line, _TOKENIZED_AT_ONCE))
    documents.append(len(pieces))
  ids, lengths = [np.empty(0, dtype)], [0]
  for batch in _batches(pieces):
    encoded = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
    ids.append(np.fromiter(itertools.chain.from_iterable(each.ids for each in encoded), dtype))
    lengths += map(len, encoded)
  return Tokens(np.concatenate(ids), np.cumsum(lengths).tolist(), documents)


def cut_segments(tokens: Tokens, longest: int) -> Tokens:
  """Returns the same tokens in segments of at most `longest`, those of a longer one about equal; none is empty."""
  if longest < 1:
    raise InputError(f"longest {longest}: segments of at least 1 token are needed")
  segments, documents = [0], [0]
  for first, last in itertools.pairwise(tokens.documents):
    for start, end in itertools.pairwise(tokens.segments[first : last + 1]):
      number = -(-(end - start) // longest)
      segments += [start + (end - start) * piece // number for piece in range(1, number + 1)]
    documents.append(len(segments) - 1)
  return Tokens(tokens.ids, segments, documents)


def _pack(
  documents: list[tuple[str, int]], rules: Rules, key: tuple[int, int], counts: collections.Counter, prefix: str
) -> pa.Table:
  """Returns the sequences of documents and their copies, and adds to the counts."""
  pairs, copies = rules.segments == "pair", [number for _, number in documents]
  tokens = tokenize_documents(_load(rules.tokenizer), [text for text, _ in documents], pairs, rules.dtype)
  special = rules.layout.special_tokens(2 if pairs else 1)
  if pairs:
    # BERT's lines are sentences; of whole paragraphs, truncation would take up to two fifths away.
    tokens = cut_segments(tokens, -(-(rules.max_length - special) // 4))
    rng = np.random.default_rng((rules.seed, *key))
    sequences, dropped = segment_pairs(tokens, copies, rules.max_length, rng, special)
    counts["dropped_tokens"] += dropped
  else:
    sequences = single_segments(tokens, copies, rules.max_length, special)
  borders = [tokens.segments[segment] for segment in tokens.documents]
  empty = sum(start == end for start, end in itertools.pairwise(borders))  # nothing but control characters, say
  counts["empty_documents"] += empty
  counts[f"{prefix}documents"] += len(documents) - empty
  counts[f"{prefix}sequences"] += len(sequences)
  counts[f"{prefix}tokens"] += sum(end - start for ranges in sequences for start, end in ranges)
  return _to_table(tokens.ids, sequences, rules)


def _document_pairs(tokens: Tokens, number: int, room: int, rng: np.random.Generator) -> Iterator[tuple[Ranges, int]]:
  borders = tokens.segments
  start, last = tokens.documents[number : number + 2]
  target = int(rng.integers(2, room, endpoint=True)) if rng.random() < SHORT else room
  while start < last:
    end = _collect(borders, start, last, target)
    half = int(rng.integers(start + 1, end)) if end > start + 1 else end
    a = (borders[start], borders[half])
    follows = half < end and rng.random() >= 0.5
    if follows:
      b = (borders[half], borders[end])
    else:
      random, its_last = _other_segment(tokens, number, rng)
      b = (borders[random], borders[_collect(borders, random, its_last, target - (a[1] - a[0]))])
      end = half
    kept_a, kept_b = _truncate(a, b, room, rng)
    lost = _length(a) - _length(kept_a) + (_length(b) - _length(kept_b) if follows else 0)
    yield (kept_a, kept_b), lost
    start = end


def _collect(borders: list[int], start: int, last: int, target: int) -> int:
  """Returns the end of the segments from `start` that reach the target: one at least, `last` at most."""
  return max(start + 1, min(bisect.bisect_left(borders, borders[start] + target, start, last), last))


def _other_segment(tokens: Tokens, number: int, rng: np.random.Generator) -> tuple[int, int]:
  """Returns a segment of another document of the block, each as likely, and where that document ends.

  Where there is no other document, it is one of this.
  """
  first, last = tokens.documents[number : number + 2]
  others = tokens.documents[-1] - (last - first)
  if not others:
    return int(rng.integers(first, last)), last
  segment = int(rng.integers(others))
  segment += (last - first) * (segment >= first)
  return segment, tokens.documents[bisect.bisect_right(tokens.documents, segment)]


def _truncate(
  a: tuple[int, int], b: tuple[int, int], room: int, rng: np.random.Generator
) -> tuple[tuple[int, int], tuple[int, int]]:
  """Returns both less what is too much: a token at a time from the longer, of its front or its back at random."""
  excess = _length(a) + _length(b) - room
  if excess <= 0:
    return a, b
  difference = _length(a) - _length(b)
  uneven = min(excess, abs(difference))
  both = excess - uneven  # from then on by turns, B first
  return (
    _shorten(a, both // 2 + (uneven if difference > 0 else 0), rng),
    _shorten(b, both - both // 2 + (uneven if difference < 0 else 0), rng),
  )


def _shorten(ends: tuple[int, int], number: int, rng: np.random.Generator) -> tuple[int, int]:
  front = int(rng.binomial(number, 0.5))
  return ends[0] + front, ends[1] - (number - front)


def _length(ends: tuple[int, int]) -> int:
  return ends[1] - ends[0]


def _batches(pieces: list[str]) -> Iterator[list[str]]:
  batch, size = [], 0
  for piece in pieces:
    batch.append(piece)
    size += len(piece)
    if size >= _TOKENIZED_AT_ONCE:
      yield batch
      batch, size = [], 0
  if batch:
    yield batch


@functools.lru_cache(maxsize=1)
def _load(tokenizer: str) -> tokenizers.Tokenizer:
  loaded = tokenizers.Tokenizer.from_str(tokenizer)
  loaded.no_truncation()
  loaded.no_padding()
  return loaded


def _to_table(ids: Integer[np.ndarray, " tokens"], sequences: list[Ranges], rules: Rules) -> pa.Table:
  """Returns the rows, such as [CLS] A [SEP], or [CLS] A [SEP] B [SEP] with the types of their tokens."""
  layout = rules.layout
  before, between, after = (np.asarray(part, rules.dtype) for part in layout[:3])
  offsets, values, types = [0], [np.empty(0, rules.dtype)], [np.empty(0, np.int8)]
  for (start, end), *second in sequences:
    row = [before, ids[start:end], *(part for more in second for part in (between, ids[slice(*more)])), after]
    length = sum(map(len, row))
    values += row
    offsets.append(offsets[-1] + length)
    if second:
      first = len(before) + end - start + len(between)
      types += [np.zeros(first, np.int8), np.full(length - first, layout.second_segment, np.int8)]
  starts = pa.array(offsets, pa.int32())
  columns = {"input_ids": pa.ListArray.from_arrays(starts, pa.array(np.concatenate(values)))}
  if rules.segments == "pair":
    columns["token_type_ids"] = pa.ListArray.from_arrays(starts, pa.array(np.concatenate(types)))
  return pa.table(columns)

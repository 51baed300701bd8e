"""Raw text from files and the hub, packed into sequences of tokens on disk, part by part, and read memory-mapped."""

import collections
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
from tqdm import tqdm

from tinybert_jax.corpus.documents import (
  LONGEST,
  Remark,
  count_bytes,
  cut_text,
  find_texts,
  fingerprint_texts,
  read_documents,
)
from tinybert_jax.corpus.packing import Block, Rules, make_rules
from tinybert_jax.corpus.parts import part_name, write_parts
from tinybert_jax.data import fingerprint
from tinybert_jax.data.compression import without_compression
from tinybert_jax.data.text_lines import note_undecodable
from tinybert_jax.errors import InputError
from tinybert_jax.models.directories import make_directory
from tinybert_jax.models.tokenizer_type import Tokenizer

BLOCK_CHARACTERS = 8_000_000
BLOCK_DOCUMENTS = 50_000
_WORKERS = 8  # at most, by default: each takes some 0.3 GB, and reading does not keep up with many more
_HEAVIEST = 20  # times that a document is packed, so that a block's memory is bounded
_VERSION = 3  # of the algorithm: what another made is not found
_FINISHED = "corpus.json"
_SKIPPED = ("empty_documents", "undecodable_documents", "undecodable_lines", "left_out_documents")
_COUNTED = (
  "documents", "sequences", "tokens", "held_out_documents", "held_out_sequences", "held_out_tokens", *_SKIPPED,
  "dropped_tokens",
)  # fmt: skip


class Source(NamedTuple):
  """Where text comes from.

  Attributes:
    where: a file, a glob, a directory (for all text files below it), or a hub id, "name" or "name:config".
    weight: how many times its documents are packed; a fraction is a share of them, drawn by the seed.
  """

  where: str
  weight: float = 1.0


class Packing(NamedTuple):
  """How text is packed.

  Attributes:
    max_length: tokens in a sequence, with [CLS] and [SEP].
    segments: one in a sequence, or pairs as BERT's.
    held_out: the share of documents that are packed apart, evenly spread.
    text_column: of JSON lines, Parquet files and hub data sets.
    seed: of drawing pairs and shares of documents.
  """

  max_length: int = 128
  segments: Literal["single", "pair"] = "single"
  held_out: float = 0.005
  text_column: str = "text"
  seed: int = 0


class Corpus(NamedTuple):
  """A packed corpus.

  Attributes:
    training: sequences, memory-mapped: `input_ids`, and of pairs `token_type_ids`.
    held_out: those of documents that are not in `training`; None where there are none.
    counts: `documents`, `sequences`, `tokens` (of text, without [CLS] and [SEP]), the same with `held_out_` before
      them; `empty_documents`, `undecodable_documents` and `undecodable_lines` of text files (their bytes are not UTF-8)
      and `left_out_documents` (by a weight that is not whole), of which nothing is packed; and `dropped_tokens`, lost
      to the truncation of pairs.
    fingerprint: of what it was made from.
    notes: a sentence on each thing that was left out or passed over, and where it was first met.
  """

  training: datasets.Dataset
  held_out: datasets.Dataset | None
  counts: dict[str, int]
  fingerprint: str
  notes: tuple[str, ...] = ()


class _Job(NamedTuple):
  texts: list[list[Path] | datasets.Dataset]
  notes: list[str]
  rules: Rules
  made_from: Mapping[str, Any]
  key: str


def pack_corpus(
  directory: Path,
  sources: Sequence[Source],
  tokenizer: Tokenizer,
  packing: Packing,
  *,
  workers: int | None = None,
) -> Corpus:
  """Returns a packed corpus, from `directory` where it is there, else tokenized and written there first.

  Each lies in a folder named by its fingerprint, in parts; a run that was killed goes on after the last of them. What
  is packed does not depend on the number of workers.

  Args:
    directory: of the packed corpora; made where it is missing.
    sources: of text, in order.
    tokenizer: the teacher's and student's.
    packing: how.
    workers: processes that tokenize; by default one for each core, eight at most. 1 is this process alone. They import
      the program's main module, which must do its work under `if __name__ == "__main__"`.

  Raises:
    InputError: text that cannot be read, or none.
  """
  if workers is not None and workers < 1:
    raise InputError(f"workers {workers}: at least 1 is needed")
  job = _prepare(sources, tokenizer, packing)
  folder = directory / job.key
  if (corpus := open_corpus(directory, job.key)) is not None:
    return corpus
  make_directory(folder)
  workers = workers or min(_WORKERS, os.cpu_count() or 1)
  size = sum(map(count_bytes, job.texts))
  with tqdm(desc="corpus", total=size, unit="B", unit_scale=True) as bar:
    met: dict[str, str] = {}
    blocks = _read_blocks(job.texts, sources, packing, bar.update, met)
    counts = write_parts(folder, blocks, job.rules, workers)
  total = sum(map(collections.Counter, counts.values()), collections.Counter())
  if not total["sequences"]:
    skipped = [f"{total[name]:,} {name.replace('_', ' ')}" for name in _SKIPPED if total[name]]
    raise InputError(
      f"{', '.join(source.where for source in sources)}: no text to train on"
      f"{'; there are ' + ', '.join(skipped) if skipped else ''}"
    )
  described = {
    "counts": {name: total[name] for name in _COUNTED},
    "training": [part_name(number) for number in counts if counts[number]["sequences"]],
    "held_out": [part_name(number, "held-out") for number in counts if counts[number]["held_out_sequences"]],
    "sources": [source.where for source in sources],
    "notes": [*job.notes, *_describe(met, total)],
    "made_from": job.made_from,
  }
  new = folder / f"{_FINISHED}.{os.getpid()}.new"  # another run may be packing the same
  new.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
  new.replace(folder / _FINISHED)
  corpus = open_corpus(directory, job.key)
  if corpus is None:
    raise InputError(f"{folder}: the corpus was packed there and cannot be read; is something else removing its files?")
  return corpus


def corpus_fingerprint(sources: Sequence[Source], tokenizer: Tokenizer, packing: Packing) -> str:
  """Returns the fingerprint of what `pack_corpus` makes of these arguments, before it is made."""
  return _prepare(sources, tokenizer, packing).key


def open_corpus(directory: Path, fingerprint: str) -> Corpus | None:
  """Returns the corpus of that fingerprint in `directory`, None where it is not finished or has lost a part."""
  folder = directory / fingerprint
  try:
    described = json.loads((folder / _FINISHED).read_text(encoding="utf-8"))
    training, others = (
      [datasets.Dataset.from_file(str(folder / name)) for name in described[rows]] for rows in ("training", "held_out")
    )
  except (OSError, ValueError, KeyError, pa.ArrowException):
    return None
  held_out = datasets.concatenate_datasets(others) if others else None
  return Corpus(
    datasets.concatenate_datasets(training), held_out, described["counts"], fingerprint, tuple(described["notes"])
  )


def _prepare(sources: Sequence[Source], tokenizer: Tokenizer, packing: Packing) -> _Job:
  if not sources:
    raise InputError("no source of text is given")
  for source in sources:
    if not 0 < source.weight <= _HEAVIEST:
      raise InputError(f"{source.where}: a weight of {source.weight:g}; it must be above 0 and at most {_HEAVIEST}")
  if not 0 <= packing.held_out <= 0.5:
    raise InputError(f"{packing.held_out:g} of the documents to hold out: it must be a share from 0 to 0.5")
  if packing.seed < 0:
    raise InputError(f"seed {packing.seed}: it must be at least 0")
  rules = make_rules(tokenizer, packing.max_length, packing.segments, packing.seed)
  notes: list[str] = []
  texts = [find_texts(source.where, notes) for source in sources]
  notes += _note_repeats(texts)
  made_from = {
    "version": _VERSION,
    "texts": [fingerprint_texts(each) for each in texts],
    "weights": [float(source.weight) for source in sources],
    "tokenizer": fingerprint.of_tokenizer(tokenizer),
    "max_length": packing.max_length,
    "segments": packing.segments,
    "held_out": float(packing.held_out),
    "text_column": packing.text_column,
    # The seed decides nothing else, so that runs of other seeds find what one has packed.
    "seed": packing.seed if packing.segments == "pair" or any(source.weight % 1 for source in sources) else None,
    "block": [BLOCK_CHARACTERS, BLOCK_DOCUMENTS],
  }
  return _Job(texts, notes, rules, made_from, fingerprint.of_text(json.dumps(made_from, sort_keys=True)))


def _note_repeats(texts: Sequence[list[Path] | datasets.Dataset]) -> list[str]:
  """Returns a note on files that several sources name, whose documents are packed for each."""
  seen: set[Path] = set()
  twice = []
  for files in texts:
    plain = {} if isinstance(files, datasets.Dataset) else {without_compression(path.resolve()): path for path in files}
    twice += [path for name, path in plain.items() if name in seen]
    seen |= plain.keys()
  more = f" and {len(twice) - 1} more files" if len(twice) > 1 else ""
  return [f"{twice[0]}{more}: given by several sources, so its documents are packed several times"] if twice else []


def _describe(met: Mapping[str, str], counts: Mapping[str, int]) -> list[str]:
  """Returns a sentence on each kind of remark."""
  notes = []
  for kind, what in (("undecodable_lines", "line"), ("undecodable_documents", "document")):
    if kind in met:
      notes.append(note_undecodable(counts[kind], met[kind], what=what))
  if (kind := "unbroken_files") in met:
    files = f"{counts[kind]:,} files have" if counts[kind] > 1 else "1 file has"
    notes.append(
      f"{files} many lines and no blank one, and so counts as one document, the first is {met[kind]}; blank lines "
      "between documents tell them apart"
    )
  return notes


def _read_blocks(
  texts: Sequence[list[Path] | datasets.Dataset],
  sources: Sequence[Source],
  packing: Packing,
  advance: Callable[[int], Any],
  met: dict[str, str],
) -> Iterator[Block]:
  """Yields the documents in blocks, whose borders depend on the text and the options alone.

  `met` gets the first place of each kind of remark.
  """
  kept, size, block = 0, 0, Block(0, [], [], collections.Counter())
  for number, (each, source) in enumerate(zip(texts, sources, strict=True)):
    rng = np.random.default_rng((packing.seed, number))
    whole, share = int(source.weight), source.weight % 1
    for document in read_documents(each, packing.text_column, advance):
      if isinstance(document, Remark):
        block.counts[document.kind] += 1
        met.setdefault(document.kind, document.where)
        continue
      if not document or document.isspace():
        block.counts["empty_documents"] += 1
        continue
      copies = whole + int(share > 0 and rng.random() < share)
      if not copies:
        block.counts["left_out_documents"] += 1
        continue
      kept += 1
      is_held_out = math.floor(kept * packing.held_out) > math.floor((kept - 1) * packing.held_out)
      for text in cut_text(document, LONGEST):
        if text.isspace():
          continue
        if is_held_out:
          block.held_out.append(text)
        else:
          block.training.append((text, copies))
        size += len(text) * copies
        if size >= BLOCK_CHARACTERS or len(block.training) + len(block.held_out) >= BLOCK_DOCUMENTS:
          yield block
          size, block = 0, Block(block.number + 1, [], [], collections.Counter())
  if block.training or block.held_out or block.counts:
    yield block

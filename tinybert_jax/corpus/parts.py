"""Blocks of documents packed by several processes into parts on disk; what a killed run has written is kept."""

import collections
import contextlib
import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pyarrow as pa

from tinybert_jax.corpus.packing import Block, Packed, Rules, pack_block
from tinybert_jax.corpus.workers import end_with_parent
from tinybert_jax.errors import WorkerKilled

_COUNTS = b"counts"


def write_parts(folder: Path, blocks: Iterator[Block], rules: Rules, workers: int) -> dict[int, Mapping[str, int]]:
  """Packs the blocks whose part is not in the folder, and returns the counts of every part by its number.

  Args:
    folder: it must be there.
    blocks: in order of their numbers; no more than two above the number of workers are held at once.
    rules: of packing.
    workers: processes that tokenize; 1 is this process alone.
  """
  counts: dict[int, Mapping[str, int]] = {}

  def missing() -> Iterator[Block]:
    for block in blocks:
      stored = _stored_counts(folder / part_name(block.number))
      held_out = folder / part_name(block.number, "held-out")
      if stored is None or (stored["held_out_sequences"] and _stored_counts(held_out) is None):
        yield block
      else:
        counts[block.number] = stored

  with contextlib.closing(_pack_blocks(missing(), rules, workers)) as made:
    for number, packed in made:
      counts[number] = packed.counts
      if len(packed.held_out):
        _write(folder / part_name(number, "held-out"), packed.held_out, packed.counts)
      # Last, because a part that is there tells that its block is done.
      _write(folder / part_name(number), packed.training, packed.counts)
  return dict(sorted(counts.items()))


def _pack_blocks(blocks: Iterator[Block], rules: Rules, workers: int) -> Generator[tuple[int, Packed], None, None]:
  """Yields the number and the sequences of each block, in order."""
  first = list(itertools.islice(blocks, 2))
  blocks = itertools.chain(first, blocks)
  if workers == 1 or len(first) < 2:
    yield from ((block.number, pack_block(block, rules)) for block in blocks)
    return
  # JAX runs threads, which a fork would not survive.
  context = multiprocessing.get_context("spawn")
  with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
    waiting: collections.deque[tuple[int, Future[Packed]]] = collections.deque()
    try:
      for block in blocks:
        waiting.append((block.number, pool.submit(pack_block, block, rules)))
        if len(waiting) == workers + 2:  # no more, so that memory is bounded
          number, packed = waiting.popleft()
          yield number, packed.result()
      for number, packed in waiting:
        yield number, packed.result()
    except BrokenProcessPool as error:
      raise WorkerKilled(
        "a process that tokenized was killed, perhaps for want of memory; the parts before it are kept, and the same "
        "command goes on after them"
      ) from error
    finally:
      pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
  os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are as many as the cores
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process tells them to stop
  end_with_parent()


def part_name(number: int, name: str = "part") -> str:
  """Returns the name of a part's file."""
  return f"{name}-{number:06}.arrow"


def _write(path: Path, table: pa.Table, counts: Mapping[str, int]) -> None:
  new = path.with_suffix(f".{os.getpid()}.new")  # another run may be packing the same
  try:
    with pa.OSFile(str(new), "wb") as file:
      schema = table.schema.with_metadata({_COUNTS: json.dumps(counts)})
      with pa.ipc.new_stream(file, schema) as writer:
        writer.write_table(table)
    new.replace(path)
  except BaseException:
    new.unlink(missing_ok=True)  # a full disk needs the room
    raise


def _stored_counts(path: Path) -> dict[str, int] | None:
  """Returns the counts of a part, None where it is not there or damaged."""
  try:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
      counts = json.loads(reader.schema.metadata[_COUNTS])
      reader.read_all()  # of a file that was cut off, memory-mapped, no more than its messages are read
      return counts
  except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
    return None

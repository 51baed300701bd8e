"""Data augmentation of a GLUE task or of any texts: `python -m experiments.augment --task cola`."""

import dataclasses
import itertools
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import jax
import numpy as np

from tinybert_jax.augmentation import rows as augmented
from tinybert_jax.augmentation.copies import REPLACED, Augmenter
from tinybert_jax.augmentation.masked_words import CANDIDATES, Context, MaskedWords
from tinybert_jax.augmentation.word_vectors import load_word_vectors
from tinybert_jax.cli import command_line
from tinybert_jax.corpus.corpus import read_lines
from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import MaskedLanguageModel, count_parameters
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.tasks.glue import TASKS, find_task, spelling
from tinybert_jax.tasks.glue_files import Rows, load_rows, write_augmented

STAGE = "augmented"
COPIES = 30  # of a text that is of no task
TSV = "train.tsv"


@dataclasses.dataclass(frozen=True)
class Options:
  """Augment a GLUE task's training rows, or the lines of a text file: each again and again, with words replaced by
  others that fit (Algorithm 1 of TinyBERT).

  Words of one piece are replaced by what a masked language model expects in their place, words of several pieces by
  their nearest neighbours among word vectors. The same command goes on where it stopped.
  """

  task: str | None = None
  """cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte or wnli."""
  text: Path | None = None
  """Instead of --task, a text file, a text a line."""
  data: Path | None = None
  """Folder of GLUE's official TSV files, one folder a task; by default the hub's nyu-mll/glue."""
  out: Path = Path("runs/glue")
  """Everything is written to a folder of the task's or the file's name in here. experiments.glue with the same --out
  uses it as it is where augmented is not among its --stages."""
  mlm: str | None = "bert-base-uncased"
  """Model directory or hub id of a masked language model; None leaves every word to --glove."""
  glove: Path | None = None
  """Word vectors: glove.*.txt, word2vec's text format, or a directory of *_emb.npy and *_index.parquet; by default
  words of several pieces stay."""
  glove_words: int = 100_000
  """The most frequent words of --glove that are read."""
  copies: int | None = None
  """Copies that are drawn of each text; by default 10 for MNLI and QQP, 20 for QNLI and SST-2, else 30."""
  candidates: int = CANDIDATES
  """Candidates for a word (the paper's K)."""
  replaced: float = REPLACED
  """Probability that a word is replaced (the paper's p)."""
  context: Context = "masked"
  """What the masked language model reads: the masked sentence alone, as in the paper, or a pair of it and the unmasked
  one, as in the original program."""
  max_length: int | None = None
  """Tokens that the masked language model reads; of longer sentences, those around the masked word. By default 128, or
  as many as the model has positions for."""
  max_train_examples: int | None = None
  """Take only so many training rows, for a trial."""
  seed: int = 0
  """Of drawing."""
  batch_size: int | None = None
  """Masked sentences in a batch, over all devices; by default 48 on a CPU, else 1024. It changes the speed and no
  word."""
  show: int | None = None
  """Print the words and candidates of so many rows, drawn by the seed, and write nothing."""
  tsv: bool = False
  """Write train.tsv in the official layout too."""
  process_id: int = 0
  """Number of this process, where several share the work in one --out; the first puts the result in its place."""
  num_processes: int = 1
  """How many there are."""
  debug: bool = False
  """Show the traceback of an error."""


class ModelError(InputError):
  """There is no such model, or not one that augmentation can use."""


class NoHeadError(ModelError):
  """A model's weights have no masked language model's head."""


class Source(NamedTuple):
  """What finds candidates, and what the result depends on because of it."""

  augmenter: Augmenter
  inputs: dict[str, Any]


def main(options: Options) -> None:
  """Writes the stage `augmented` of a task or a text."""
  datasets.disable_progress_bars()
  check_numbers(options)
  task = find_task(options.task) if options.task else None
  name = task.name if task else options.text.stem
  loaded = load_rows(task, "train", options.data) if task else read_text(options.text)
  rows = first_examples(loaded.rows, options.max_train_examples, options.seed)
  folder = options.out / name / STAGE
  if options.text and not options.show:
    check_same_text(folder, name, rows, options.text)
  print(f"{name:13} {len(rows):,} training rows; writes {'nothing' if options.show else folder}")
  if loaded.skipped:
    print(f"{'':13} {loaded.skipped:,} incomplete rows of train are left out")
  try:
    source = load_source(options)
  except ModelError as error:
    raise InputError(f"{error}; --mlm None with --glove leaves every word to word vectors") from error
  if options.show:
    print("\n" + show_candidates(first_examples(rows, options.show, options.seed), source.augmenter))
    return
  run = Augmentation(
    rows,
    copies=options.copies or (task.copies if task else COPIES),
    replaced=options.replaced,
    seed=options.seed,
    process=options.process_id,
    processes=options.num_processes,
  )
  with only_run(folder.parent, process=options.process_id):
    if make(folder, name, run, source) is None:
      return
    record = stages.read_record(folder, name)
    print(f"{record['rows']:,} rows of {record['source_rows']:,} are in {folder}")
    if options.tsv:
      write_augmented(folder / TSV, task, options.data, augmented.read_parts(folder))
      print(f"and as {folder / TSV}")


def check_same_text(folder: Path, name: str, rows: datasets.Dataset, path: Path) -> None:
  """Raises InputError where the folder, named after a text file, was made from other lines: another file's, perhaps."""
  if folder.exists() and stages.made_from_rows(folder, name) != fingerprint.of_rows(rows):
    raise InputError(
      f"{folder}: made from other lines than these of {path} (another file, an edited one, or another "
      "--max-train-examples or --seed for it); remove it, or give another --out"
    )


def read_text(path: Path) -> Rows:
  """Returns the lines of a text file as rows."""
  lines = read_lines(path)
  if not lines:
    raise InputError(f"{path}: no text there")
  return Rows(datasets.Dataset.from_dict({"index": [str(i) for i in range(len(lines))], "text": lines}))


def check_numbers(options: Options) -> None:
  """Raises InputError for options that do not go together, or one that is no size, share or process number."""
  if (options.task is None) == (options.text is None):
    raise InputError("--task or --text: one of them is needed, and not both")
  if options.text and spelling(options.text.stem) in {spelling(name) for name in TASKS}:
    raise InputError(f"--text {options.text}: named like a task, whose folder it would take; rename it")
  if options.tsv and options.text:
    raise InputError("--tsv writes the official layout of a --task, and --text has none")
  for name in ("glove_words", "copies", "candidates", "max_train_examples", "batch_size", "show", "num_processes"):
    value = getattr(options, name)
    if value is not None and value < 1:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be at least 1")
  if options.seed < 0:
    raise InputError(f"--seed {options.seed}: it must be at least 0")
  if options.max_length is not None and options.max_length < 8:
    raise InputError(f"--max-length {options.max_length}: it must be at least 8")
  if not 0 <= options.replaced <= 1:
    raise InputError(f"--replaced {options.replaced}: it must be from 0 to 1")
  if not 0 <= options.process_id < options.num_processes:
    raise InputError(f"--process-id {options.process_id}: it must be from 0 to {options.num_processes - 1}")


def first_examples(rows: datasets.Dataset, number: int | None, seed: int) -> datasets.Dataset:
  """Returns `number` rows drawn by the seed; all of them where it is None."""
  if number is None or number >= len(rows):
    return rows
  return rows.select(np.random.default_rng(seed).permutation(len(rows))[:number])


def load_source(options: Options) -> Source:
  """Returns what finds candidates; prints which words that leaves alone.

  Raises:
    ModelError: the masked language model is not there, or has no such head; other `InputError`s are of the vectors.
  """
  if options.mlm is None and options.glove is None:
    raise InputError("data augmentation needs --mlm, a masked language model, or --glove, word vectors")
  tokenizer, masked = None, None
  inputs = {"candidates": options.candidates, "masked_language_model": None, "word_vectors": None}
  if options.mlm is None:
    print(f"{'':13} no masked language model: every word is replaced by its neighbours in {options.glove}")
  else:
    masked = load_masked_words(options)
    tokenizer = masked.tokenizer
    inputs |= {
      "masked_language_model": fingerprint.of_model(masked.model.config, masked.params),
      "tokenizer": fingerprint.of_tokenizer(tokenizer),
      "context": options.context,
      "max_length": masked.max_length,
    }
    print(f"{'':13} words of one piece by {options.mlm}, {count_parameters(masked.params):,} parameters", end="")
    print(f", on {', '.join(map(str, jax.local_devices()))}")
    print(
      f"{'':13} words of several pieces " + (f"by {options.glove}" if options.glove else "stay: no --glove"), flush=True
    )
  vectors = load_word_vectors(options.glove, options.glove_words) if options.glove else None
  if vectors:
    of_vectors = fingerprint.of_params({"": vectors.vectors})
    inputs["word_vectors"] = fingerprint.of_text(f"{of_vectors} {' '.join(vectors.words)}")
  return Source(Augmenter(tokenizer, masked, vectors, number=options.candidates), inputs)


def load_masked_words(options: Options) -> MaskedWords:
  """Returns the masked language model of the options; ModelError where it is not there, or its weights have no head."""
  try:
    tokenizer = load_tokenizer(options.mlm)
    loaded = load_pretrained(options.mlm, MaskedLanguageModel)
  except InputError as error:
    raise ModelError(str(error)) from error
  if any(not path.startswith("encoder/") for path in loaded.initialized):
    raise NoHeadError(f"{options.mlm}: no masked language model's head in its weights; experiments.mlm trains one")
  positions = loaded.config.max_position_embeddings
  if options.max_length and options.max_length > positions:
    raise InputError(f"--max-length {options.max_length}: {options.mlm} has positions for {positions} tokens only")
  return MaskedWords(
    MaskedLanguageModel(loaded.config),
    loaded.params,
    tokenizer,
    number=options.candidates,
    context=options.context,
    max_length=options.max_length or min(128, positions),
    batch_size=options.batch_size,
  )


def show_candidates(rows: datasets.Dataset, augmenter: Augmenter) -> str:
  """Returns each row's texts, and below them each word that may be replaced with its candidates, the best first."""
  lines = []
  sides = [augmenter(rows[side][:]) for side in ("text", "pair") if side in rows.column_names]
  for text, candidates in itertools.chain.from_iterable(zip(*sides, strict=True)):
    lines.append(text.text)
    for word, words in zip(text.words, candidates, strict=True):
      by_mask = augmenter.masked and word.is_one_piece
      by = "" if by_mask or not augmenter.vectors else " (by vectors)"
      lines.append(f"  {text.spelled(word)}{by}: {', '.join(words) or 'stays'}")
  return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """What is augmented, and how much."""

  rows: datasets.Dataset
  copies: int
  replaced: float = REPLACED
  seed: int = 0
  process: int = 0
  processes: int = 1


def make(folder: Path, name: str, run: Augmentation, source: Source) -> Path | None:
  """Returns `folder`, with the augmented rows as Parquet files and `stage.json`, made now if need be.

  None in any process but the first, which puts all processes' parts in their place.
  """
  inputs = {
    "task": name,
    "stage": STAGE,
    "training_rows": fingerprint.of_rows(run.rows),
    "copies": run.copies,
    "replaced": run.replaced,
    "seed": run.seed,
    **source.inputs,
  }

  def write_parts(work: Path) -> None:
    augmented.write_parts(
      work,
      run.rows,
      source.augmenter,
      copies=run.copies,
      seed=run.seed,
      replaced=run.replaced,
      process=run.process,
      processes=run.processes,
      title=f"{name} {STAGE}",
    )

  def build(work: Path) -> Callable[[Path], Mapping[str, Any]]:
    write_parts(work)
    _wait(lambda: not augmented.missing_parts(work, len(run.rows)), "the other processes' parts")

    def put(new: Path) -> Mapping[str, Any]:
      for part in work.glob("part-*.parquet"):
        _link(part, new / part.name)
      return {"source_rows": len(run.rows), "rows": augmented.count_rows(new)}

    return put

  if run.process == 0:
    stages.build(folder, inputs, build)
    return folder
  work = stages.unfinished(folder)
  _wait(
    lambda: any(stages.is_made_from(place, inputs) for place in (work, folder)),
    "the first process, with the same options",
  )
  if not stages.is_made_from(folder, inputs):
    write_parts(work)
  return None


def _wait(is_there: Callable[[], bool], what: str) -> None:
  if not is_there():
    print(f"{'':13} waits for {what}", flush=True)
  while not is_there():
    time.sleep(0.5)


def _link(source: Path, target: Path) -> None:
  try:
    os.link(source, target)
  except OSError:  # a file system without hard links
    shutil.copy2(source, target)


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.augment")

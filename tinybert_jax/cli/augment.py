"""`tinybert-jax augment`, `python -m experiments.augment`: a GLUE task's rows or any texts, augmented."""

import dataclasses
import itertools
from pathlib import Path

import datasets
import jax

from tinybert_jax.augmentation import rows as augmented
from tinybert_jax.augmentation.copies import Augmenter
from tinybert_jax.cli.augment_options import Options
from tinybert_jax.corpus.lines import read_lines
from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import augment, stages
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.settings import check
from tinybert_jax.tasks.glue import TASKS, find_task, spelling
from tinybert_jax.tasks.glue_files import Rows, load_rows, write_augmented
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.hosts import Hosts, say

TSV = "train.tsv"


def main(options: Options) -> None:
  """Writes the stage `augmented` of a task or a text."""
  datasets.disable_progress_bars()
  check_together(options)
  process, processes = join(options.hosts)
  task = find_task(options.task) if options.task else None
  notes: list[str] = []
  if task is not None:
    name, loaded = task.name, load_rows(task, "train", options.data)
  else:
    assert options.text is not None  # as `check_together` sees to
    name, loaded = options.text.stem, read_text(options.text, notes)
  rows = augment.first_examples(loaded.rows, options.max_train_examples, options.seed)
  folder = options.out / name / augment.STAGE
  if options.text is not None and not options.show:
    check_same_text(folder, name, rows, options.text)
  say(f"{name:13} {len(rows):,} training rows; writes {'nothing' if options.show else folder}")
  if loaded.skipped:
    say(f"{'':13} {loaded.skipped:,} incomplete rows of train are left out")
  for note in notes:
    say(f"{'':13} {note}")
  try:
    source = augment.load_source(settings(options))
  except augment.ModelError as error:
    raise InputError(f"{error}; --mlm None with --glove leaves every word to word vectors") from error
  if options.show:
    say("\n" + show_candidates(augment.first_examples(rows, options.show, options.seed), source.augmenter))
    return
  run = augment.Augmentation(
    rows,
    copies=options.copies or (task.copies if task else augment.COPIES),
    replaced=options.replaced,
    seed=options.seed,
    process=process,
    processes=processes,
  )
  with only_run(folder.parent, process=process):
    if augment.make(folder, name, run, source) is None:
      return
    record = stages.read_record(folder, name)
    say(f"{record['rows']:,} rows of {record['source_rows']:,} are in {folder}")
    if options.tsv and task is not None:
      write_augmented(folder / TSV, task, options.data, augmented.read_parts(folder))
      say(f"and as {folder / TSV}")


def join(where: Hosts) -> tuple[int, int]:
  """Returns this process's number and how many share the rows, with JAX on the devices that are asked for."""
  if where.coordinator is not None or (where.process_id, where.num_processes) == (None, None):
    hosts.join(where)
    return jax.process_index(), jax.process_count()
  hosts.join(dataclasses.replace(where, process_id=None, num_processes=None))
  return where.process_id or 0, where.num_processes or 1


def settings(options: Options) -> augment.Settings:
  """Returns what finds candidates, as the options have it."""
  names = (field.name for field in dataclasses.fields(augment.Settings))
  values = {name: getattr(options, name) for name in names}
  return augment.Settings(**{**values, "dtype": precision.choose(options.dtype).dtype})


def check_same_text(folder: Path, name: str, rows: datasets.Dataset, path: Path) -> None:
  """Raises InputError where the folder, named after a text file, was made from other lines: another file's, perhaps."""
  if stages.holds_anything(folder) and stages.made_from_rows(folder, name) != fingerprint.of_rows(rows):
    raise InputError(
      f"{folder}: made from other lines than these of {path} (another file, an edited one, or another "
      "--max-train-examples or --seed for it); remove it, or give another --out"
    )


def read_text(path: Path, notes: list[str]) -> Rows:
  """Returns the lines of a text file as rows; `notes` gets a sentence on what is left out."""
  lines = read_lines(path, notes)
  if not lines:
    raise InputError(f"{path}: no text there")
  return Rows(datasets.Dataset.from_dict({"index": [str(i) for i in range(len(lines))], "text": lines}))


def check_together(options: Options) -> None:
  """Raises InputError for an option out of bounds, or options that do not go together."""
  check(options)
  if (options.task is None) == (options.text is None):
    raise InputError("--task or --text: one of them is needed, and not both")
  if options.text and spelling(options.text.stem) in {spelling(name) for name in TASKS}:
    raise InputError(f"--text {options.text}: named like a task, whose folder it would take; rename it")
  if options.tsv and options.text:
    raise InputError("--tsv writes the official layout of a --task, and --text has none")
  processes = 1 if options.hosts.num_processes is None else options.hosts.num_processes
  if processes < 1:
    raise InputError(f"--num-processes {processes}: it must be at least 1")
  if not 0 <= (options.hosts.process_id or 0) < processes:
    raise InputError(f"--process-id {options.hosts.process_id}: it must be from 0 to {processes - 1}")


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

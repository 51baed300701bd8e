"""`tinybert-jax distil`, `python -m experiments.distil`: a student of your own classifier, on your own data."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import datasets
import tyro

from tinybert_jax.augmentation.masked_words import Context
from tinybert_jax.cli import command_line
from tinybert_jax.cli.options import AT_LEAST_1, DROPOUT, LENGTH, POSITIVE, RATE, SEED, Bound, HostOptions, check
from tinybert_jax.data.tables import Reading
from tinybert_jax.pipeline import distil, report
from tinybert_jax.pipeline.distil import Settings, Stage
from tinybert_jax.pipeline.evaluation import METRICS
from tinybert_jax.pipeline.own_data import Sources
from tinybert_jax.training import hosts
from tinybert_jax.training.hosts import Hosts, say

_RATIO = Bound(least=1)


@dataclasses.dataclass(frozen=True)
class Options:
  """Distil a classifier or a regression into a small, fast student, on your own data.

  tinybert-jax distil --teacher ./my-bert --train train.csv --unlabelled more.txt --test test.csv

  A table is CSV, TSV, JSON, JSON lines, Parquet, Arrow or text (a text a line), also compressed; a glob or a folder of
  such files; or a data set of the hub, as name:config:split. Finished stages are reused when their inputs and options
  are the same; the same command goes on where it stopped.
  """

  teacher: tuple[str, ...] = ()
  """Model directories or hub ids of classifiers that are fine-tuned already. They need no labels. Of several, the
  probabilities are averaged."""
  teacher_weights: Annotated[tuple[float, ...], POSITIVE] = ()
  """Weight of each --teacher in that average. Default: equal."""
  teacher_labels: tuple[str, ...] = ()
  """Class names of --teacher in the order of its logits, where its configuration does not tell."""
  pretrained: str | None = None
  """Model directory or hub id of an encoder that is fine-tuned on --train first, and teaches then."""
  train: tuple[str, ...] = ()
  """Tables of texts with labels."""
  unlabelled: tuple[str, ...] = ()
  """Tables of texts to distil over besides; their labels are not read."""
  dev: tuple[str, ...] = ()
  """Table of texts with labels that choose the best step. Default: a share of --train."""
  test: tuple[str, ...] = ()
  """Table of texts with labels to measure teacher and student on. Default: what chose the best step."""
  text: str | None = None
  """Column of the texts. Default: found by name or content."""
  pair: str | None = None
  """Column of second texts, where a row has two."""
  label: tuple[str, ...] = ()
  """Column of the label, or several columns of 0 and 1. Default: found by name."""
  target_columns: tuple[str, ...] = ()
  """Columns of probabilities or scores, one a class, that take a teacher's place: from a large language model, say."""
  kind: Literal["classification", "multi_label", "regression"] | None = None
  """Kind of task. Default: found from the labels, or from --teacher."""
  separator: str | None = None
  """Between several labels in a cell, with --kind multi_label. Default: found."""
  delimiter: str | None = None
  """Between the cells of CSV and TSV files. Default: found."""
  quote: str | None = None
  """Around cells that hold delimiters; '' where quotes are text. Default: found."""
  encoding: str | None = None
  """Of text files, such as cp1252. Default: UTF-8, or what a byte order mark says."""
  no_header: tyro.conf.FlagCreatePairsOff[bool] = False
  """The first row of CSV and TSV files is data; the columns are then called 0, 1, …."""
  dev_share: Annotated[float, Bound(above=0, below=1)] = 0.1
  """Share of --train that chooses the best step, where there is no --dev; at most 2,000 rows."""
  max_train_examples: Annotated[int | None, AT_LEAST_1] = None
  """Take only so many rows of --train and of --unlabelled, for a trial."""
  max_length: Annotated[int | None, LENGTH] = None
  """Tokens that a text or pair is cut to. Default: as many as 99% of the texts have, at most 512."""
  threshold: Literal["half", "tuned"] = "half"
  """With several labels at once: from which probability a class is given. tuned: the best for each class on dev; the
  student is saved so that one half means it."""

  student: str | None = None
  """Student to begin with: preset (tinybert-4l-312d, tinybert-6l-768d), config.json, model directory or hub id."""
  student_layers: Annotated[int | None, AT_LEAST_1] = None
  """Layers of the student. Default: a third of the teacher's."""
  student_width: Annotated[int | None, AT_LEAST_1] = None
  """Hidden size of the student, a multiple of the teacher's attention heads."""
  student_dropout: Annotated[float | None, DROPOUT] = None
  """Dropout of the student. Default: 0 for a shape, else its own."""
  smaller: Annotated[float | None, _RATIO] = None
  """Choose the student's shape so that the teacher has so many times its parameters. Default, where nothing names a
  student: 7.5 and --faster 9.4, as in the paper."""
  faster: Annotated[float | None, _RATIO] = None
  """Choose the student's shape so that it is so many times faster than the teacher on this machine."""
  layer_map: str = "uniform"
  """The teacher's layer for each of the student's: uniform, top, bottom, or numbers such as 3,6,9,12."""

  out: Path = Path("runs/distil")
  """Folder for everything that the run writes; the student is in its folder student."""
  stages: tuple[Stage, ...] = ("teacher", "intermediate", "prediction", "evaluate")
  """Stages to run. labels, not among the default ones, trains the same student on the labels alone, to compare with."""
  minutes: Annotated[float, POSITIVE] = 30.0
  """Time for all stages together, which decides the passes that no option gives; the paper's where they fit."""
  teacher_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of fine-tuning --pretrained. Default: 3, more for few rows, fewer where --minutes do not allow them."""
  teacher_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of the teacher's."""
  teacher_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of the teacher. Default: 3e-5 from width 512 on, else 1e-4."""
  intermediate_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of intermediate distillation. Default: 20, more for few rows, fewer where --minutes do not allow them."""
  intermediate_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of intermediate distillation."""
  intermediate_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of intermediate distillation. Default: 5e-5 for a student with weights; for a fresh one 5e-4,
  or 1e-3 up to width 128."""
  prediction_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of prediction distillation. Default: 3 for a student with weights, 10 for a fresh one; see --minutes."""
  prediction_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of prediction distillation."""
  prediction_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of prediction distillation. Default: 3e-5 for a student with weights, else as above."""
  sweep: bool = False
  """Run prediction distillation with batches of 16 and 32, and a third, two thirds and all of its rate; keep the best
  on dev."""
  temperature: Annotated[float, POSITIVE] = 1.0
  """Of the softmax or sigmoid in prediction distillation."""

  augment: tyro.conf.FlagCreatePairsOff[bool] = False
  """Distil over augmented texts too; needs --mlm or --glove."""
  mlm: str | None = None
  """Model directory or hub id of the masked language model that augments."""
  glove: Path | None = None
  """Word vectors that augment words of several pieces, or all without --mlm."""
  copies: Annotated[int, AT_LEAST_1] = 10
  """Copies of each text in the augmented data."""
  context: Context = "masked"
  """What the masked language model reads: the masked sentence alone, or a pair of it and the unmasked one."""

  seed: Annotated[int, SEED] = 0
  """Random seed for the dev split, initialisation, order of rows, dropout and augmentation."""
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""


def main(options: Options) -> None:
  """Distils, and prints the results, where they are, and what to do next."""
  check(options)
  distil.check(settings(options))
  hosts.join(options.hosts)
  datasets.disable_progress_bars()
  metrics = distil.run(settings(options), command=command_line.command(), options=command_line.as_json(options))
  if metrics:
    student = options.out / "student"
    say("\n" + report.table(metrics))
    say(
      f"\nThe student is in {student}, all figures in {options.out / METRICS}, a page about them in "
      f"{options.out / report.PAGE}.\nUse it: tinybert-jax predict --model {student} --data FILE --out FILE"
    )
  hosts.wait_for_all()


def settings(options: Options) -> Settings:
  """Returns what the run does, as the options have it."""
  values = {field.name: getattr(options, field.name) for field in dataclasses.fields(Options)}
  of_sources = {field.name for field in dataclasses.fields(Sources)} & values.keys()
  reading = Reading(options.delimiter, options.quote, options.encoding, not options.no_header)
  sources = Sources(**{name: values[name] for name in of_sources}, reading=reading)
  others = {field.name for field in dataclasses.fields(Settings)} & values.keys()
  return Settings(sources=sources, **{name: values[name] for name in others})

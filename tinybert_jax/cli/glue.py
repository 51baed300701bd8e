"""`tinybert-jax glue`, `python -m experiments.glue`: a GLUE task from a pretrained BERT to a distilled student."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import jax

from tinybert_jax.cli import command_line, glue_recipes
from tinybert_jax.cli.glue_models import load_student, load_teacher, padding_token, student_tokenizer, trains_student
from tinybert_jax.cli.glue_options import PRETRAINED, Options
from tinybert_jax.cli.glue_tasks import check_files, check_options, tasks_at_hand
from tinybert_jax.data import fingerprint
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.term_choice import TermChoice
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.pretrained import Pretrained, load_tokenizer
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import in_words
from tinybert_jax.models.vocabulary import Trimmed
from tinybert_jax.pipeline import (
  augment,
  evaluation,
  glue_rows,
  inheritance,
  leaderboard,
  report,
  segments,
  stages,
  students,
  task,
  trimming,
)
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.pipeline.recipes import Learners
from tinybert_jax.pipeline.targets import Targets
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.tasks.glue import GlueTask, find_task
from tinybert_jax.tasks.own_task import with_loss
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.hosts import say


class Runs(NamedTuple):
  """A task as its models read it.

  Attributes:
    student: with the student's tokens.
    teacher: with the teacher's; the same object where they are the same tokens.
    trimmed: the part of the teacher's vocabulary that the student has; None where it has all, or another.
  """

  student: TaskRun
  teacher: TaskRun
  trimmed: Trimmed | None

  @property
  def compares_layers(self) -> bool:
    """Whether the teacher can read the student's tokens, so that its layers can be distilled."""
    return self.teacher is self.student or self.trimmed is not None


def main(options: Options) -> None:
  """Runs one task or all, and writes what spans tasks."""
  check_options(options)
  is_all = options.task.casefold() == "all"
  if options.no_augment and set(options.stages) == {augment.STAGE}:
    raise InputError("--no-augment: the stage augmented, the only one that --stages names, would do nothing")
  if is_all and options.teacher:
    raise InputError("--teacher is fine-tuned for one task, and does not go with --task all; give --pretrained")
  if options.teacher and not {"teacher", augment.STAGE} & set(options.stages):
    raise InputError("--teacher is taken in by the stage teacher; name that stage too (--stages teacher …)")
  hosts.join(options.hosts)
  datasets.disable_progress_bars()
  tasks = tasks_at_hand(options.data) if is_all else [find_task(options.task)]
  if is_all and options.data is not None:
    check_files(options, tasks, options.data)
  results = {}
  for row in tasks:
    results[row.name] = run_task(options, row)
    if "evaluate" not in options.stages and set(options.stages) != {augment.STAGE}:
      say(command_line.what_is_next(options.stages, Options.stages, options.out / row.name))
  if is_all and "evaluate" in options.stages:
    say("\n" + leaderboard.write_table_1(options.out, results))
  if options.zip:
    say(leaderboard.zip_submission(options.out))
  hosts.wait_for_all()


def run_task(options: Options, row: GlueTask, shared: Path | None = None) -> dict[str, Any]:
  """Returns what `metrics.json` holds, after running the stages that the options name; empty without evaluation.

  Args:
    options: of the run.
    row: the task's row of GLUE's table.
    shared: folder of what runs with other options have in common with this one, see `TaskRun.place`.
  """
  options = glue_recipes.settled(options, row)
  folder = options.out / row.name
  only_augments = set(options.stages) == {augment.STAGE}
  made_now = only_augments or "teacher" in options.stages
  finished = None if made_now else stages.load(folder / "teacher", row.name, precision.choose(options.dtype).dtype)
  tokenizer = load_tokenizer(folder / "teacher" if finished else options.teacher or options.pretrained)
  own = student_tokenizer(options, folder, tokenizer)
  max_length = options.max_length or row.max_length
  data = glue_rows.load(
    row,
    options.data,
    own or tokenizer,
    max_length=max_length,
    max_train_examples=options.max_train_examples,
    seed=options.seed,
    with_test=options.leaderboard and "evaluate" in options.stages,
    vocabulary=options.vocabulary if trains_student(options) else None,
    always=[padding_token(options, own, finished)] if options.vocabulary else [],
  )
  read = data.trimmed.tokenizer if data.trimmed else own or tokenizer
  run = TaskRun(
    with_loss(row.as_task(), options.prediction_loss, options.temperature),
    data.rows,
    read,
    max_length,
    folder,
    options.seed,
    dtype=precision.choose(options.dtype).dtype,
    shared=shared,
    origin=glue_rows.origin(row, options.teacher or options.pretrained, students.begins_with(options.student)),
  )
  announce(run, data, tokenizer)
  if only_augments:
    with only_run(folder, process=jax.process_index()):
      with_augmented(options, row, run)
    return {}
  teacher = finished.pretrained() if finished else load_teacher(options, row, run, tokenizer)
  students.check_length("the teacher", teacher.config, max_length)
  say(
    f"{'':13} teacher {count_parameters(teacher.params):,} parameters; on {hosts.describe()}, "
    f"{precision.choose(options.dtype)}"
  )
  student, layers, terms = load_student(options, run, teacher.config, own, data.trimmed)
  reads = teacher.config
  if own is not None:
    reads = student.config if student else stages.load(folder / "prediction", row.name).model.config
  elif student is not None and "pair" in data.rows.texts.column_names:
    segments.check_alike({"the teacher": teacher.config, "the student": student.config})
  data = glue_rows.as_read(data, reads)
  run = dataclasses.replace(run, rows=data.rows)
  teaching = run
  if read is not tokenizer:
    rows = glue_rows.tokenized(data.rows.texts, data.dev_texts, tokenizer, max_length)
    teaching = run.read_by(segments.task_rows(rows, teacher.config), tokenizer, max_length)
  kept = data.trimmed if own is None else None
  with only_run(folder, process=jax.process_index()):
    return run_stages(options, row, Runs(run, teaching, kept), data, teacher, finished, student, layers, terms)


def learners(options: Options, runs: Runs, teacher: Pretrained, student: Pretrained | None) -> Learners:
  """Returns who trains; where no stage trains a student, one like the teacher stands for it."""
  head, dtype = runs.student.task.head, runs.student.dtype
  return Learners(
    head.module(teacher.config, dtype),
    not options.teacher,
    head.module((student or teacher).config, dtype),
    students.begins_with(options.student) is not None,
    "labels" in options.stages,
    runs.compares_layers,
    options.student_from == "teacher",
  )


def run_stages(
  options: Options,
  row: GlueTask,
  runs: Runs,
  data: glue_rows.GlueRows,
  teacher: Pretrained,
  finished: stages.Finished | None,
  student: Pretrained | None,
  layers: LayerMap,
  terms: TermChoice,
) -> dict[str, Any]:
  """Returns what `run_task` does, from models that go together.

  Args:
    options: of the run.
    row: the task's row of GLUE's table.
    runs: the task's.
    data: its rows, as the student reads them.
    teacher: to begin with.
    finished: the stage of the teacher, where it is not made now.
    student: to begin with, where a stage trains one from the start.
    layers: the teacher's that the student's learn from.
    terms: of the loss by which they do.
  """
  run, teaching, trimmed = runs
  name, both = f"GLUE's {row.name}", "distilled in both stages of TinyBERT (arXiv:1909.10351)"
  alone = "distilled from the teacher's predictions as in TinyBERT (arXiv:1909.10351)"
  distilled = with_augmented(options, row, run)
  how = glue_recipes.choose(options, row, learners(options, runs, teacher, student), distilled.rows)
  taught = distilled
  if teaching is not run:
    taught = teaching if distilled is run else augment.with_augmented(teaching, f"teacher_{augment.STAGE}_tokens")
  if not finished:
    about = f"A teacher for {row.name}, from {Path(options.teacher or options.pretrained).name}."
    finished = task.make_teacher(teaching, teacher, None if options.teacher else how.teacher, about)
  start: stages.Finished | Pretrained | None = student
  if options.student_from == "teacher" and student is not None:
    about = f"A student for {name} before its training, with weights made from its teacher's."
    start = inheritance.make_start(distilled, reading(finished, trimmed), student, layers, about)
    student = start.pretrained()
  if "intermediate" in options.stages and start is not None:
    about = f"A student for {name} after intermediate distillation; its classifier is not trained yet."
    first = reading(finished, trimmed)
    task.make_intermediate(distilled, first, start, layers, how.intermediate, about, terms=terms)
  if "prediction" in options.stages:
    at_once = isinstance(start, stages.Finished) and inheritance.is_enough(run.folder, options.stages)
    in_both = runs.compares_layers and not at_once
    before = run.finished("intermediate") if in_both or start is None else start
    if isinstance(before, stages.Finished) and (
      before.record["inputs"].get("teacher") != reading(finished, trimmed).fingerprint
    ):
      say(f"{'':13} note: the student's intermediate stage learned from another teacher than {run.folder / 'teacher'}")
    if options.prediction_targets == "labels":
      about = f"A student for {name} that learned the labels in its last stage, to compare with distillation."
      with_labels = dataclasses.replace(distilled.rows, labelled=distilled.rows.transfer)
      of_labels = dataclasses.replace(distilled, rows=with_labels)
      task.make_labels(of_labels, before, how.prediction[0], about, name="prediction")
    else:
      targets, about = Targets(taught, [finished]), f"A student for {name}, {both if in_both else alone}."
      task.make_prediction(distilled, targets, before, how.prediction, about, temperature=how.temperature)
  if "labels" in options.stages and student is not None:
    task.make_labels(run, student, how.labels, f"A student for {name} trained on its labels alone.")
  if "evaluate" not in options.stages:
    return {}
  made = run.finished("prediction")
  if made.record["inputs"].get("teacher", finished.fingerprint) != finished.fingerprint:
    say(f"{'':13} note: the student learned from another teacher than {run.folder / 'teacher'}")
  shown = reading(finished, trimmed) if trimmed else None
  models = evaluation.Models([finished], made, labels_alone(run), fresh=student, reading=shown)
  metrics = evaluation.evaluate(
    distilled,
    models,
    run.rows.dev,
    data.dev_texts[row.dev_splits[0]],
    evaluation.About(command_line.command(), command_line.as_json(options), row_counts(options, run, distilled, data)),
    teacher_splits=None if teaching is run else teaching.rows.dev,
    inputs={"test_rows": {split.file: fingerprint.of_rows(split.rows) for split in data.test}},
    also={run.folder / split.file: leaderboard.writer(split, made) for split in data.test},
  )
  say("\n" + report.table(metrics))
  say(
    f"The student is in {run.folder / 'student'}, all figures in {run.folder / evaluation.METRICS}, a page about them "
    f"in {run.folder / report.PAGE}."
  )
  return metrics


def row_counts(options: Options, run: TaskRun, distilled: TaskRun, data: glue_rows.GlueRows) -> dict[str, Any]:
  """Returns the numbers of rows, and notes on them, for the report."""
  notes = [f"{number:,} incomplete rows of {split} are left out" for split, number in data.skipped.items()]
  if options.max_train_examples:
    notes.append(f"a trial: --max-train-examples {options.max_train_examples} took a part of the training rows")
  return {
    "labelled": len(run.rows.labelled or ()),
    "transfer": len(distilled.rows.transfer),
    "augmented": len(distilled.rows.transfer) - len(run.rows.transfer),
    "dev": len(next(iter(run.rows.dev.values()))),
    "notes": notes,
  }


def reading(teacher: stages.Finished, trimmed: Trimmed | None) -> stages.Finished:
  """Returns the teacher as it reads the student's tokens."""
  return teacher if trimmed is None else trimming.teacher_of(teacher, trimmed)


def labels_alone(run: TaskRun) -> dict[str, stages.Finished]:
  """Returns the stage labels, to compare with, where it is there and began as the distilled student did."""
  if not stages.holds_anything(run.folder / "labels"):
    return {}
  made_from = stages.read_record(run.folder / "labels", run.task.name)["inputs"]
  first = [name for name in ("intermediate", "prediction") if stages.holds_anything(run.folder / name)]
  began = [stages.read_record(run.folder / name, run.task.name)["inputs"]["student"] for name in first]
  if made_from["student"] in began and made_from["training_rows"] == run.rows.of_labelled:
    return {"labels alone": run.finished("labels")}
  say(f"{'':13} note: {run.folder / 'labels'} is left out: of another student or other training rows")
  return {}


def with_augmented(options: Options, row: GlueTask, run: TaskRun) -> TaskRun:
  """Returns the run whose transfer rows are those that both stages of distillation learn from."""
  if options.no_augment:
    return run
  if not (options.augment or row.is_augmented):
    say(f"{augment.STAGE:13} not in {row.name} by default, as in the paper; --augment does it")
    return run
  if augment.STAGE in options.stages:
    augment.make_for_run(run, options.copies or row.copies, augmentation_source(options))
  if not {"intermediate", "prediction"} & set(options.stages):
    return run
  return augment.with_augmented(run)


def augmentation_source(options: Options) -> augment.Source:
  """Returns what finds candidates: --mlm, or --pretrained where that has a head, or --glove alone."""
  is_pretrained = options.mlm == PRETRAINED
  mlm = options.pretrained if is_pretrained else options.mlm
  dtype = precision.choose(options.dtype).dtype
  chosen = augment.Settings(mlm=mlm, glove=options.glove, context=options.context, dtype=dtype)
  without = "--no-augment distils over the data as it is"
  return augment.load_with_default(chosen, is_pretrained, without)


def announce(run: TaskRun, data: glue_rows.GlueRows, tokenizer: Tokenizer) -> None:
  """Prints what the run works on, and where it writes."""
  say(
    f"\n{run.task.name:13} {len(run.rows.labelled or ()):,} training rows, cut to {run.max_length} tokens; "
    f"writes {run.folder}"
  )
  if run.tokenizer is tokenizer:
    say(f"{'':13} tokens by {in_words(tokenizer)}, for teacher and student")
  else:
    say(f"{'':13} tokens by {in_words(tokenizer)} for the teacher, by {in_words(run.tokenizer)} for the student")
  for split, number in data.skipped.items():
    say(f"{'':13} {number:,} incomplete rows of {split} are left out")

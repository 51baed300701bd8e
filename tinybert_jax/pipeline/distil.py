"""A student of one's own task from one's own data: what the command `distil` and `distil_task` run."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax

from tinybert_jax.data import fingerprint
from tinybert_jax.data.ranked import Ranked
from tinybert_jax.data.tables import AS_FOUND, Reading
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.models.tokenizers import in_words
from tinybert_jax.pipeline import (
  augment,
  dev_file,
  evaluation,
  inheritance,
  own_data,
  retrieval,
  stages,
  students,
  task,
  trimming,
)
from tinybert_jax.pipeline.cards import Origin, data_of
from tinybert_jax.pipeline.distil_models import Prepared, prepare
from tinybert_jax.pipeline.distil_settings import AugmentOptions, Settings
from tinybert_jax.pipeline.kinds import check
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.pipeline.own_data import Where
from tinybert_jax.pipeline.recipes import Learners, choose_recipes
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.targets import GivenTargets, Targets
from tinybert_jax.pipeline.task_run import Recipes, TaskRun
from tinybert_jax.pipeline.thresholds import tuned
from tinybert_jax.settings import from_flat
from tinybert_jax.training.hosts import say

_EVALUATIONS = 10  # on dev, in each stage


def distil_task(
  out: str | Path,
  *,
  train: Where = (),
  unlabelled: Where = (),
  dev: Where = (),
  test: Where = (),
  text: str | None = None,
  pair: str | None = None,
  label: str | Sequence[str] = (),
  reading: Reading = AS_FOUND,
  teacher: str | Path | Sequence[str | Path] = (),
  **options: Any,
) -> dict[str, Any]:
  """Returns the metrics of a student that is distilled on one's own data; the student is in `out`/student.

  A call with the same arguments reuses what is finished in `out`, and goes on where it was stopped.

  Args:
    out: folder of everything that the run writes.
    train: tables with labels: files, globs, directories, or data sets of the hub as name:config:split.
    unlabelled: tables without labels.
    dev: a table to choose the best step by; by default a share of `train`.
    test: a table to measure on.
    text: the column of the texts; by default found, as are the next two.
    pair: the column of second texts.
    label: the column of the label, or several of 0 and 1.
    reading: how text files are read.
    teacher: one or several fine-tuned classifiers: model directories or hub ids.
    **options: any other option of the command `tinybert-jax distil`, such as `pretrained="bert-base-uncased"` or
      `student_layers=2`.

  Raises:
    InputError: data or models that cannot be used, or do not fit together.
    RunStopped: Ctrl-C or SIGTERM; what is done is kept.
  """
  tables = {"train": train, "unlabelled": unlabelled, "dev": dev, "test": test}
  named = {"text": text, "pair": pair, "label": label, "reading": reading, "teacher": teacher}
  return run(from_flat(Settings, {"out": out, **tables, **named, **options}))


def run(settings: Settings, *, command: str = "", options: Mapping[str, Any] | None = None) -> dict[str, Any]:
  """Returns what `metrics.json` holds, after running the stages that the settings name; empty without evaluation.

  Args:
    settings: of the run.
    command: that began it, for the report.
    options: of the command, as JSON values.
  """
  check(settings)
  prepared = prepare(settings)
  with only_run(settings.out, process=jax.process_index()):
    return _run_stages(settings, prepared, evaluation.About(command, options or {}))


def _run_stages(settings: Settings, prepared: Prepared, about: evaluation.About) -> dict[str, Any]:
  data, read = prepared.data, prepared.read
  rows, test = own_data.tokenized(data, read.tokenizer, read.length.tokens, prepared.student.config)
  run = TaskRun(
    data.task,
    rows,
    read.tokenizer,
    read.length.tokens,
    settings.out,
    settings.seed,
    evaluations=_EVALUATIONS,
    standardizes=data.task.kind == "regression",
    half_targets=settings.training.half_targets,
    dtype=prepared.dtype,
    origin=_origin(settings),
  )
  teaching, teaching_test = _teaching(prepared, run, test)
  distilled = _augmented(settings.augmentation, run)
  recipes = choose_recipes(settings.training, _learners(settings, prepared), distilled.rows, settings.out)
  made = _teachers(settings, prepared, teaching, recipes)
  read_by_teachers = distilled if teaching is run else _read_augmented(settings.augmentation, teaching)
  start = _start(settings, prepared, distilled, made)
  fresh = start.pretrained() if isinstance(start, Finished) else start
  _distil(settings, prepared, start, distilled, read_by_teachers, recipes, made)
  if "labels" in settings.stages:
    about_labels = f"A student for the task {run.task.name} trained on its labels alone."
    task.make_labels(run, start, recipes.labels, about_labels)
  if "evaluate" not in settings.stages:
    return {}
  student = run.finished("prediction")
  others = {"labels alone": run.finished("labels")} if "labels" in settings.stages else {}
  if settings.threshold == "tuned":
    made, student = [tuned(teaching, one) for one in made], tuned(run, student)
    others = {name: tuned(run, one) for name, one in others.items()}
  reading = _reading(prepared, made[0]) if made and prepared.trimmed else None
  models = evaluation.Models(made, student, others, settings.teachers.teacher_weights, fresh, reading)
  splits, teacher_splits = _measured(run, test), _measured(teaching, teaching_test)
  texts: Any = data.dev if data.test is None else data.test
  about = dataclasses.replace(about, data=_counts(prepared, run, distilled))
  metrics = evaluation.evaluate(
    distilled,
    models,
    splits,
    texts,
    about,
    teacher_splits=None if teaching is run else teacher_splits,
    **({} if data.ranked is None else _retrieval(data.ranked, models, run, teaching)),
  )
  dev_file.write(run.folder, run.task, data.dev)
  asked, measured = settings.shape.faster, metrics.get("times_faster")
  if asked and measured and measured < asked:
    say(
      f"\nThe student was more than {asked:g} times faster when its shape was chosen, and is {measured:.1f} times now: "
      "timings vary with what else the machine does."
    )
  return metrics


def _retrieval(ranked: Ranked, models: evaluation.Models, run: TaskRun, teaching: TaskRun) -> dict[str, Any]:
  """Returns the arguments of `evaluate` that measure how the models rank the passages of a table."""
  by_name = models.by_name()
  read = {name: teaching if models.is_teacher(name) else run for name in by_name}
  scores = None if ranked.scores is None else [one.tolist() for one in ranked.scores]
  content = [ranked.queries, ranked.passages, scores, getattr(run.task, "prompts", ())]
  return {
    "inputs": {"retrieval": fingerprint.of_text(repr(content))},
    "further": lambda: {"retrieval": retrieval.measure(by_name, read, ranked)},
  }


def _teaching(
  prepared: Prepared, run: TaskRun, test: datasets.Dataset | None
) -> tuple[TaskRun, datasets.Dataset | None]:
  """Returns the run and its test rows as the teachers read them, whose tokens may be others than the student's."""
  if prepared.shares_tokens or not prepared.teachers:
    return run, test
  tokenizer, length = prepared.taught.tokenizer, prepared.taught.length.tokens
  rows, test = own_data.tokenized(prepared.data, tokenizer, length, prepared.teachers[0].config)
  return run.read_by(rows, tokenizer, length), test


def _measured(run: TaskRun, test: datasets.Dataset | None) -> dict[str, datasets.Dataset]:
  """Returns the rows that models are measured on, by the name of their split."""
  return {"dev": run.rows.dev["dev"]} if test is None else {"test": test}


def _learners(settings: Settings, prepared: Prepared) -> Learners:
  trains_teacher = not settings.teachers.teacher and bool(prepared.teachers)
  head = prepared.data.task.head
  teacher = head.module(prepared.teachers[0].config, prepared.dtype) if prepared.teachers else None
  student = head.module(prepared.student.config, prepared.dtype)
  return Learners(
    teacher,
    trains_teacher,
    student,
    prepared.has_weights,
    "labels" in settings.stages,
    prepared.compares_layers,
    prepared.inherits,
  )


def _augmented(options: AugmentOptions, run: TaskRun) -> TaskRun:
  """Returns the run whose transfer rows are the augmented ones, where the options ask for them."""
  if not options.augment:
    return run
  chosen = augment.Settings(mlm=options.mlm, glove=options.glove, context=options.context, dtype=run.dtype)
  augment.make_for_run(run, options.copies, augment.load_with_default(chosen, False, "leave out --augment"))
  return augment.with_augmented(run)


def _read_augmented(options: AugmentOptions, teaching: TaskRun) -> TaskRun:
  """Returns the same of a teacher that reads other tokens than the student."""
  return augment.with_augmented(teaching, f"teacher_{augment.STAGE}_tokens") if options.augment else teaching


def _teachers(settings: Settings, prepared: Prepared, run: TaskRun, recipes: Recipes) -> list[Finished]:
  """Returns the finished stages of the teachers, made now where the settings say so."""
  made = []
  for number, model in enumerate(prepared.teachers, start=1):
    name = "teacher" if number == 1 else f"teacher-{number}"
    if "teacher" not in settings.stages:
      made.append(stages.load(run.folder / name, run.task.name, run.dtype, run.task.head))
      continue
    given = settings.teachers.teacher
    where = Path(given[number - 1] if given else str(settings.teachers.pretrained)).name
    about = f"A teacher for the task {run.task.name}, from {where}."
    made.append(task.make_teacher(run, model, None if given else recipes.teacher, about, name=name))
  return made


def _start(settings: Settings, prepared: Prepared, run: TaskRun, made: Sequence[Finished]) -> Finished | Pretrained:
  """Returns the student to begin with: the prepared one, or one of its shape with weights made from the teacher's."""
  needed = {"intermediate", "labels", "evaluate"} & set(settings.stages)
  if not prepared.inherits or not (needed or inheritance.is_enough(run.folder, settings.stages)):
    return prepared.student
  about = f"A student for the task {run.task.name} before its training, with weights made from its teacher's."
  return inheritance.make_start(run, _reading(prepared, made[0]), prepared.student, prepared.layers, about)


def _reading(prepared: Prepared, teacher: Finished) -> Finished:
  """Returns a teacher as it reads the student's tokens."""
  return trimming.teacher_of(teacher, prepared.trimmed) if prepared.trimmed else teacher


def _distil(
  settings: Settings,
  prepared: Prepared,
  start: Finished | Pretrained,
  run: TaskRun,
  teaching: TaskRun,
  recipes: Recipes,
  made: Sequence[Finished],
) -> None:
  """Makes the student by the stages of distillation that the settings name; the teachers read `teaching`."""
  data, name = prepared.data, f"the task {run.task.name}"
  if made and "intermediate" in settings.stages:
    if len(made) > 1:
      say(f"{'':13} the layers are distilled from the first teacher, the predictions from all")
    about = f"A student for {name} after intermediate distillation; its classifier is not trained yet."
    first = _reading(prepared, made[0])
    say(f"{'':13} compared are {prepared.terms.in_words()}")
    task.make_intermediate(run, first, start, prepared.layers, recipes.intermediate, about, terms=prepared.terms)
  if "prediction" in settings.stages:
    targets: Targets | GivenTargets
    if data.targets is None:
      targets = Targets(teaching, made, settings.teachers.teacher_weights)
    else:
      targets = GivenTargets(data.targets, {} if data.dev_targets is None else {"dev": data.dev_targets})
    about = f"A student for {name}, distilled in the stages of TinyBERT (arXiv:1909.10351)."
    at_once = prepared.inherits and inheritance.is_enough(run.folder, settings.stages)
    before = start if at_once or not (made and prepared.compares_layers) else run.finished("intermediate")
    task.make_prediction(run, targets, before, recipes.prediction, about, temperature=recipes.temperature)


def _origin(settings: Settings) -> Origin:
  """Returns what models and data are called, for the model cards."""
  options, sources = settings.teachers, settings.data
  pretrained = (options.pretrained,) if options.pretrained and not sources.target_columns else ()
  return Origin(
    options.teacher or pretrained,
    students.begins_with(settings.shape.student),
    data_of(sources.dev or sources.train or sources.unlabelled),
    data_of(sources.test) if sources.test else None,
  )


def _tokenizers(prepared: Prepared) -> dict[str, str]:
  return {name: in_words(side.tokenizer) for name, side in (("teacher", prepared.taught), ("student", prepared.read))}


def _counts(prepared: Prepared, run: TaskRun, distilled: TaskRun) -> dict[str, Any]:
  """Returns the numbers of rows, and notes on them, for the report."""
  data = prepared.data
  labelled = 0 if data.labelled is None else len(data.labelled)
  return {
    "labelled": labelled,
    "unlabelled": len(data.transfer) - labelled,
    "transfer": len(distilled.rows.transfer),
    "augmented": len(distilled.rows.transfer) - len(run.rows.transfer),
    "dev": len(data.dev),
    "test": 0 if data.test is None else len(data.test),
    "share_cut": prepared.read.length.share_cut,
    **({} if prepared.shares_tokens or not prepared.teachers else {"tokenizers": _tokenizers(prepared)}),
    "notes": list(data.notes),
  }

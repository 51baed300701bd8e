"""`python -m experiments.glue --task qqp`: augmentation, teacher, both distillations, evaluation."""

import dataclasses
from pathlib import Path
from typing import Any

import datasets
import jax

from experiments import augment
from experiments.glue import data, evaluation, models, training
from experiments.glue.options import PRETRAINED, Options
from tinybert_jax.cli import command_line
from tinybert_jax.data import fingerprint
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.pretrained import Pretrained, load_tokenizer
from tinybert_jax.pipeline import stages, students
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.tasks.glue import TASKS, Task, find_task
from tinybert_jax.tasks.glue_files import find_folder


def main(options: Options) -> None:
  datasets.disable_progress_bars()
  check_numbers(options)
  is_all = options.task.casefold() == "all"
  if options.teacher_labels and not options.teacher:
    raise InputError("--teacher-labels names the classes of --teacher, which is not given")
  if options.augment and options.no_augment:
    raise InputError("--augment and --no-augment: give one of them")
  if options.no_augment and set(options.stages) == {augment.STAGE}:
    raise InputError("--no-augment: the stage augmented, the only one that --stages names, would do nothing")
  if is_all and options.teacher:
    raise InputError("--teacher is fine-tuned for one task, and does not go with --task all; give --pretrained")
  if options.teacher and not {"teacher", augment.STAGE} & set(options.stages):
    raise InputError("--teacher is taken in by the stage teacher; name that stage too (--stages teacher …)")
  tasks = tasks_at_hand(options.data) if is_all else [find_task(options.task)]
  if is_all and options.data:
    check_files(options, tasks)
  results = {task.name: run_task(options, task) for task in tasks}
  if is_all and "evaluate" in options.stages:
    print("\n" + evaluation.write_table_1(options.out, results))
  if options.zip:
    print(evaluation.zip_submission(options.out))


def check_numbers(options: Options) -> None:
  """Raises InputError for an option that is no size, rate or temperature."""
  for name, value in dataclasses.asdict(options).items():
    if isinstance(value, bool | None) or not isinstance(value, int | float):
      continue
    least = {"max_length": 8, "seed": 0}.get(name, 1)
    if isinstance(value, int) and value < least:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be at least {least}")
    if name.endswith("learning_rate") and not 0 < value < 1:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be above 0 and below 1")
  if not 0 < options.temperature < float("inf"):
    raise InputError(f"--temperature {options.temperature}: it must be above 0")


def tasks_at_hand(directory: Path | None) -> list[Task]:
  """Returns the tasks whose folder is in `directory`; all of them where the hub serves them."""
  tasks = [task for task in TASKS.values() if directory is None or find_folder(task, directory)]
  if not tasks:
    raise InputError(f"{directory}: no task's folder there ({', '.join(TASKS)})")
  return tasks


def check_files(options: Options, tasks: list[Task]) -> None:
  """Raises InputError that names all files that the tasks lack, before the first of them trains for hours."""
  wanted = []
  for task in tasks:
    tests = task.test_splits if options.leaderboard and "evaluate" in options.stages else ()
    folder = find_folder(task, options.data)
    wanted += [folder / task.files[split] for split in ("train", *task.dev_splits, *tests)]
  if missing := [str(file) for file in wanted if not file.is_file()]:
    raise InputError(f"{', '.join(missing)}: no such file; --no-leaderboard does without the test splits")


def run_task(options: Options, task: Task) -> dict[str, Any]:
  """Returns what `metrics.json` holds, after running the stages that the options name; empty without evaluation."""
  folder = options.out / task.name
  only_augments = set(options.stages) == {augment.STAGE}
  made_now = only_augments or "teacher" in options.stages
  finished = None if made_now else stages.load(folder / "teacher", task.name)
  tokenizer = load_tokenizer(folder / "teacher" if finished else options.teacher or options.pretrained)
  max_length = options.max_length or task.max_length
  rows = data.load(
    task,
    options.data,
    tokenizer,
    max_length=max_length,
    max_train_examples=options.max_train_examples,
    seed=options.seed,
    with_test=options.leaderboard and "evaluate" in options.stages,
  )
  run = training.Run(options, task, rows, tokenizer, max_length, folder)
  if only_augments:
    announce(run)
    with only_run(folder):
      with_augmented(run)
    return {}
  teacher = finished.pretrained() if finished else models.load_teacher(options, task, tokenizer)
  students.check_length("the teacher", teacher.config, max_length)
  announce(run)
  devices = ", ".join(map(str, jax.devices()))
  print(f"{'':13} teacher {count_parameters(teacher.params):,} parameters; on {devices}", flush=True)
  student, layers = None, ()
  if {"intermediate", "labels"} & set(options.stages):
    # A student that does not go with the teacher is refused before anything trains.
    student = models.load_student(options, task, teacher.config, tokenizer)
    layers = students.match_layers(options.student, options.layer_map, student.config, teacher.config, max_length)
    size = count_parameters(student.params)
    print(f"{'':13} student {size:,} parameters; its layers learn from the teacher's {layers}", flush=True)
  with only_run(folder):
    return run_stages(run, teacher, finished, student, layers)


def run_stages(
  run: training.Run,
  teacher: Pretrained,
  finished: stages.Finished | None,
  student: Pretrained | None,
  layers: LayerMap,
) -> dict[str, Any]:
  """Returns what `run_task` does, from models that go together.

  Args:
    run: the task's.
    teacher: to begin with.
    finished: the stage of the teacher, where it is not made now.
    student: to begin with, where a stage trains one from the start.
    layers: the teacher's that the student's learn from.
  """
  options = run.options
  distilled = with_augmented(run)
  teacher = finished or training.make_teacher(run, teacher)
  if "intermediate" in options.stages:
    training.make_intermediate(distilled, teacher, student, layers)
  if "prediction" in options.stages:
    training.make_prediction(distilled, teacher, run.finished("intermediate"))
  if "labels" in options.stages:
    training.make_labels(run, student)
  if "evaluate" not in options.stages:
    return {}
  student = run.finished("prediction")
  if student.record["inputs"]["teacher"] != teacher.fingerprint:
    print(f"{'':13} note: the student learned from another teacher than {run.folder / 'teacher'}")
  metrics = evaluation.evaluate(run, teacher, student, labels_alone(run))
  print("\n" + evaluation.table(metrics))
  print(f"The student is in {run.folder / 'student'}, all figures in {run.folder / evaluation.METRICS}.", flush=True)
  return metrics


def labels_alone(run: training.Run) -> dict[str, stages.Finished]:
  """Returns the stage labels, to compare with, where it is there and began as the distilled student did."""
  if not (run.folder / "labels").exists():
    return {}
  finished = run.finished("labels")
  made_from, distilled = (stage["inputs"] for stage in (finished.record, run.finished("intermediate").record))
  if (made_from["student"], made_from["training_rows"]) == (distilled["student"], run.data.inputs["training_rows"]):
    return {"labels alone": finished}
  print(f"{'':13} note: {run.folder / 'labels'} is left out: of another student or other training rows")
  return {}


def with_augmented(run: training.Run) -> training.Run:
  """Returns the run whose training rows are those that both stages of distillation learn from."""
  options, folder = run.options, run.folder / augment.STAGE
  if options.no_augment:
    return run
  if not (options.augment or run.task.is_augmented):
    print(f"{augment.STAGE:13} not in {run.task.name} by default, as in the paper; --augment does it", flush=True)
    return run
  if augment.STAGE in options.stages:
    copies = options.copies or run.task.copies
    plan = augment.Augmentation(run.data.texts, copies=copies, seed=options.seed)
    augment.make(folder, run.task.name, plan, augmentation_source(options))
  if not {"intermediate", "prediction"} & set(options.stages):
    return run
  record = stages.read_record(folder, run.task.name)
  if stages.made_from_rows(folder, run.task.name) != fingerprint.of_rows(run.data.texts):
    raise InputError(f"{folder}: made from other training rows than these; run that stage again (--stages augmented …)")
  print(f"{'':13} {record['rows']:,} rows, {record['source_rows']:,} before augmentation", flush=True)
  tokens = run.folder / f"{augment.STAGE}_tokens.arrow"
  augmented = data.with_augmented(run.data, folder, tokens, run.tokenizer, max_length=run.max_length)
  return dataclasses.replace(run, data=augmented)


def augmentation_source(options: Options) -> augment.Source:
  """Returns what finds candidates: --mlm, or --pretrained where that has a head, or --glove alone."""
  is_pretrained = options.mlm == PRETRAINED
  mlm = options.pretrained if is_pretrained else options.mlm
  chosen = augment.Options(task=options.task, mlm=mlm, glove=options.glove, context=options.context)
  without = "--no-augment distils over the data as it is"
  try:
    return augment.load_source(chosen)
  except augment.NoHeadError as error:
    if is_pretrained and options.glove:
      return augment.load_source(dataclasses.replace(chosen, mlm=None))
    raise InputError(f"{error}; --mlm None with --glove leaves every word to word vectors, and {without}") from error
  except augment.ModelError as error:
    why = "data augmentation takes words from --pretrained where no --mlm is given: " if is_pretrained else ""
    raise InputError(f"{why}{error}; {without}") from error


def announce(run: training.Run) -> None:
  """Prints what the run works on, and where it writes."""
  print(
    f"\n{run.task.name:13} {len(run.data.train):,} training rows, cut to {run.max_length} tokens; writes {run.folder}"
  )
  for split, number in run.data.skipped.items():
    print(f"{'':13} {number:,} incomplete rows of {split} are left out")


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.glue")

"""The tasks that `glue` and `ablations` run, and their options and files checked before anything trains."""

from pathlib import Path

from tinybert_jax.cli.glue_options import Options
from tinybert_jax.distillation.term_choice import check_terms
from tinybert_jax.errors import InputError
from tinybert_jax.settings import check
from tinybert_jax.tasks.glue import TASKS, GlueTask
from tinybert_jax.tasks.glue_files import find_folder


def check_options(options: Options) -> None:
  """Raises InputError for options that are out of their bounds, or contradict each other, whatever the task."""
  check(options)
  check_terms(options.intermediate.terms, options.intermediate.term_weights)
  if options.teacher_labels and not options.teacher:
    raise InputError("--teacher-labels names the classes of --teacher, which is not given")
  if options.augment and options.no_augment:
    raise InputError("--augment and --no-augment: give one of them")
  if options.sweep and options.prediction_targets == "labels":
    raise InputError("--sweep tries recipes of learning from the teacher, and --prediction-targets is labels")


def tasks_at_hand(directory: Path | None) -> list[GlueTask]:
  """Returns the tasks whose folder is in `directory`; all of them where the hub serves them."""
  tasks = [row for row in TASKS.values() if directory is None or find_folder(row, directory)]
  if not tasks:
    raise InputError(f"{directory}: no task's folder there ({', '.join(TASKS)})")
  return tasks


def check_files(options: Options, tasks: list[GlueTask], directory: Path) -> None:
  """Raises InputError that names all files that the tasks lack, before the first of them trains for hours."""
  wanted = []
  for row in tasks:
    tests = row.test_splits if options.leaderboard and "evaluate" in options.stages else ()
    folder = find_folder(row, directory) or directory / row.name
    wanted += [folder / row.files[split] for split in ("train", *row.dev_splits, *tests)]
  if missing := [str(file) for file in wanted if not file.is_file()]:
    raise InputError(f"{', '.join(missing)}: no such file; --no-leaderboard does without the test splits")

"""`python -m experiments.glue --task qqp`: teacher, intermediate and prediction distillation, evaluation."""

from pathlib import Path
from typing import Any

import datasets
import jax

from experiments import command_line
from experiments.glue import data, evaluation, models, training
from experiments.glue.options import Options
from tinybert_jax.data.glue import find_folder
from tinybert_jax.data.glue_tasks import TASKS, Task, find_task
from tinybert_jax.errors import InputError
from tinybert_jax.model import SequenceClassifier, count_parameters, parameter_shapes
from tinybert_jax.pretrained import load_tokenizer


def main(options: Options) -> None:
  datasets.disable_progress_bars()
  is_all = options.task.casefold() == "all"
  if options.teacher_labels and not options.teacher:
    raise InputError("--teacher-labels names the classes of --teacher, which is not given")
  if is_all and options.teacher:
    raise InputError("--teacher is fine-tuned for one task, and does not go with --task all; give --pretrained")
  tasks = tasks_at_hand(options.data) if is_all else [find_task(options.task)]
  results = {task.name: run_task(options, task) for task in tasks}
  if is_all and "evaluate" in options.stages:
    print("\n" + evaluation.write_table_1(options.out, results))
  if options.zip:
    print(evaluation.zip_submission(options.out))


def tasks_at_hand(directory: Path | None) -> list[Task]:
  """Returns the tasks whose folder is in `directory`; all of them where the hub serves them."""
  tasks = [task for task in TASKS.values() if directory is None or find_folder(task, directory)]
  if not tasks:
    raise InputError(f"{directory}: no task's folder there ({', '.join(TASKS)})")
  return tasks


def run_task(options: Options, task: Task) -> dict[str, Any]:
  """Returns what `metrics.json` holds, after running the stages that the options name; empty without evaluation."""
  source = options.teacher or options.pretrained
  tokenizer = load_tokenizer(source)
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
  run = training.Run(options, task, rows, tokenizer, options.out / task.name)

  # A teacher and a student that do not go together are refused before anything trains.
  start = models.load_teacher(options, task, tokenizer) if "teacher" in options.stages else None
  teacher = None if start else run.finished("teacher")
  teacher_config = start.config if start else teacher.model.config
  student = models.load_student(options, task, teacher_config, tokenizer)
  layers = models.check_pair(options, student.config, teacher_config, max_length)

  sizes = [count_parameters(parameter_shapes(SequenceClassifier(c))) for c in (teacher_config, student.config)]
  print(f"\n{task.name:13} {len(rows.train):,} training rows, cut to {max_length} tokens; writes {run.folder}")
  for split, number in rows.skipped.items():
    print(f"{'':13} {number} incomplete rows of {split} are left out")
  print(f"{'':13} teacher {sizes[0]:,} parameters, student {sizes[1]:,}, whose layers learn from layers {layers}")
  print(f"{'':13} on {', '.join(str(device) for device in jax.devices())}", flush=True)

  teacher = teacher or training.make_teacher(run, start)
  # Data augmentation will stand here: it gives the rows that both stages of distillation learn from.
  if "intermediate" in options.stages:
    training.make_intermediate(run, teacher, student, layers)
  if "prediction" in options.stages:
    training.make_prediction(run, teacher, run.finished("intermediate"))
  if "labels" in options.stages:
    training.make_labels(run, student)
  if "evaluate" not in options.stages:
    return {}
  others = {"labels alone": run.finished("labels")} if (run.folder / "labels").exists() else {}
  metrics = evaluation.evaluate(run, teacher, run.finished("prediction"), others)
  print("\n" + evaluation.table(metrics))
  print(f"The student is in {run.folder / 'student'}, all figures in {run.folder / evaluation.METRICS}.", flush=True)
  return metrics


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.glue")

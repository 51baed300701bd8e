"""`python -m experiments.ablations`: variants of a distillation on GLUE, with what they have in common made once."""

import dataclasses
import gc
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import jax

import tinybert_jax
from tinybert_jax.cli import ablation_report, command_line, glue, glue_options, glue_tasks
from tinybert_jax.cli.ablation_variants import BASE, VARIANTS, Facts, listed, settings_of
from tinybert_jax.cli.ablations_options import Options
from tinybert_jax.distillation.layer_map import NAMED
from tinybert_jax.errors import Diverged, InputError, RunStopped
from tinybert_jax.models.config import PRESETS, EncoderConfig, load_config, read_json
from tinybert_jax.models.directories import replace_file
from tinybert_jax.models.pretrained import local_directory
from tinybert_jax.pipeline import stages, students
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.tasks.glue import GlueTask, find_task
from tinybert_jax.tasks.glue_files import find_folder
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.hosts import say

_SCORE = "score.json"
_SHARED = "shared"


class Run(NamedTuple):
  """A variant of a task with a seed: options of `glue`, and the stage whose score counts."""

  name: str
  words: str
  row: GlueTask
  settings: glue_options.Options
  stage: str = "prediction"


def main(options: Options) -> None:
  """Runs all variants that are not there yet, and writes the tables and the picture."""
  if options.list:
    print(listed())
    return
  rows = _check(options)
  hosts.join(options.hosts)
  datasets.disable_progress_bars()
  if options.data is not None:
    glue_tasks.check_files(options, rows, options.data)
  runs, left_out = plan(options, rows)
  report = ablation_report.Report(options, rows, left_out, *_models(options))
  for line in report.left_out_lines():
    say(line)
  with only_run(options.out, process=jax.process_index()):
    _run_all(options, runs, report)
    say("\n" + report.write(with_picture=True))
  if report.failed:
    raise RunStopped(
      f"{len(report.failed)} of {len(runs)} runs failed, and the tables are without them: {'; '.join(report.failed)}; "
      "the same command tries them again"
    )


def _check(options: Options) -> list[GlueTask]:
  """Returns the tasks; InputError for options that cannot be."""
  glue_tasks.check_options(options)
  rows = [find_task(name) for name in options.tasks]
  for what, values in (("tasks", [row.name for row in rows]), ("seeds", options.seeds)):
    if not values:
      raise InputError(f"--{what} names none")
    if len(set(values)) < len(values):
      raise InputError(f"--{what} {' '.join(map(str, values))}: one is named twice")
  if options.teacher and len(rows) > 1:
    raise InputError(f"--teacher is fine-tuned for one task, and --tasks names {len(rows)}; give --pretrained")
  return rows


def plan(options: Options, rows: Sequence[GlueTask]) -> tuple[list[Run], dict[str, dict[str, str]]]:
  """Returns all runs in their order, seed by seed; and why a variant is left out, by its name and the task's.

  Args:
    options: of the command.
    rows: its tasks.
  """
  runs: list[Run] = []
  left_out: dict[str, dict[str, str]] = {}
  chosen = [name for name, variant in VARIANTS.items() if _is_chosen(options, name, variant.table)]
  for seed in options.seeds:
    for row in rows:
      base, facts = decided(options, row)
      base = dataclasses.replace(base, seed=seed)
      variants: list[tuple[str, str, glue_options.Options, str]] = [(BASE, "base", base, "prediction")]
      for name in chosen:
        changed = settings_of(name, base, options.trimmed_to, facts)
        if isinstance(changed, str):
          left_out.setdefault(name, {})[row.name] = changed
        else:
          variants.append((name, VARIANTS[name].words, changed, VARIANTS[name].stage))
      for variant, words, settings, stage in variants:
        out = options.out / f"seed-{seed}" / variant
        runs.append(Run(variant, words, row, dataclasses.replace(settings, out=out), stage))
  return runs, left_out


def _is_chosen(options: Options, name: str, table: str) -> bool:
  return name in options.variants if options.variants else table in options.tables


def decided(options: Options, row: GlueTask) -> tuple[glue_options.Options, Facts]:
  """Returns the options of the base in a task, with what is left to defaults decided, so that equal runs are equal.

  Args:
    options: of the command.
    row: the task.

  Also returns what variants depend on of the models.
  """
  of_glue = {field.name: getattr(options, field.name) for field in dataclasses.fields(glue_options.Options)}
  teacher, student = _models(options)
  has_weights = students.begins_with(options.student) is not None
  shape = str(Path(local_directory(options.student)) / "config.json") if has_weights else options.student
  maps = {}
  for name, layers in NAMED.items():
    if student.num_hidden_layers <= teacher.num_hidden_layers and not (
      name == "uniform" and teacher.num_hidden_layers % student.num_hidden_layers
    ):
      maps[name] = ",".join(map(str, layers(student.num_hidden_layers, teacher.num_hidden_layers)))
  augments = (options.augment or row.is_augmented) and not options.no_augment
  base = glue_options.Options(**of_glue)
  base = dataclasses.replace(
    base,
    task=row.name,
    augment=augments,
    no_augment=not augments,
    dtype="bfloat16" if precision.choose(options.dtype).dtype.name == "bfloat16" else "float32",
    layer_map=maps.get(options.layer_map, options.layer_map.replace(" ", "")),
    student_from=options.student_from if has_weights else options.student_from or "random",
  )
  return base, Facts(shape, has_weights, maps)


def _models(options: Options) -> tuple[EncoderConfig, EncoderConfig]:
  """Returns the shapes of teacher and student."""
  teacher = load_config(local_directory(options.teacher or options.pretrained))
  if options.student in PRESETS:
    return teacher, students.of_preset(options.student, options.student_layers, teacher)
  name = options.student if Path(options.student).is_file() else local_directory(options.student)
  return teacher, load_config(name)


def _run_all(options: Options, runs: Sequence[Run], report: ablation_report.Report) -> None:
  """Runs what is not there yet, and tells the report; what fails is said, and the others go on."""
  for number, run in enumerate(runs, start=1):
    say(f"\n=== {number} of {len(runs)}: {run.row.name}, seed {run.settings.seed}, {run.words}")
    try:
      found = score(run, options.out / _SHARED / run.row.name)
    except Exception as error:
      goes_on = not isinstance(error, OSError | RunStopped) or isinstance(error, Diverged)
      # What the first of all runs cannot use is in the options, and all others would fail by it too.
      if options.debug or not goes_on or (isinstance(error, InputError) and not report.scores):
        raise
      sentence = str(error) if isinstance(error, InputError | RunStopped) else f"{type(error).__name__}: {error}"
      say(f"failed: {sentence}")
      report.failed.append(f"{run.row.name}, seed {run.settings.seed}, {run.name} ({sentence.partition(chr(10))[0]})")
    else:
      report.add(run.name, run.row.name, run.settings.seed, found)
      report.write()
    if run.name == BASE:
      # Programs and models of the runs before.
      jax.clear_caches()
      gc.collect()


def score(run: Run, shared: Path) -> dict[str, Any]:
  """Returns what the file of a run's score holds: the student's and the teacher's on dev, made now if need be.

  Args:
    run: to look for, or to run.
    shared: folder of what runs of the task have in common.
  """
  folder = run.settings.out / run.row.name
  made_from = {
    "settings": command_line.as_json(run.settings),
    "files": _files(run),
    "version": tinybert_jax.__version__,
  }
  if (folder / _SCORE).is_file() and (known := read_json(folder / _SCORE)).get("made_from") == made_from:
    say(f"{'':13} reused from {folder / _SCORE}")
    return known
  glue.run_task(run.settings, run.row, shared)
  records = {name: stages.read_record(folder / name, run.row.name) for name in ("teacher", run.stage)}
  found = {
    "score": records[run.stage]["score"],
    "teacher": records["teacher"]["score"],
    "metrics": {
      name: value for name, value in records[run.stage].items() if isinstance(value, float) and name != "seconds"
    },
    "seconds": {name: record["seconds"] for name, record in records.items()},
    "made_from": made_from,
  }

  def write() -> None:
    with replace_file(folder / _SCORE) as new:
      new.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")

  hosts.on_first(write)
  return found


def _files(run: Run) -> Mapping[str, list[int]]:
  """Returns size and time of the files that a run reads, by which a run is known again without reading them.

  Where they differ the run's stages decide what is made again, by the files' contents.
  """
  settings = run.settings
  folder = find_folder(run.row, settings.data) if settings.data else None
  names = [name for name in (settings.teacher or settings.pretrained, settings.student, settings.mlm) if name]
  paths = [path for path in (folder, settings.glove, *map(Path, names)) if path and path.exists()]
  files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path]) if file.is_file()]
  return {str(file): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}

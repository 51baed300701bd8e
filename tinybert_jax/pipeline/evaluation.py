"""What a task ends with: teacher and student measured side by side, the student's directory, a report."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax.numpy as jnp

from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import read_json
from tinybert_jax.models.directories import replace_file
from tinybert_jax.pipeline import cards, deployed, report, stage_records
from tinybert_jax.pipeline.attention import attention_maps
from tinybert_jax.pipeline.environment import environment
from tinybert_jax.pipeline.measurement import Models, compare, measure, outputs
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.evaluate import predict

__all__ = ["METRICS", "About", "Models", "evaluate"]

METRICS = "metrics.json"


@dataclasses.dataclass(frozen=True)
class About:
  """What a report tells about a run besides its results.

  Attributes:
    command: that began it.
    options: as JSON values.
    data: numbers of rows and `notes`, sentences on the data.
    stages: names of the stages in the order of the report.
  """

  command: str = ""
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  stages: tuple[str, ...] = ("teacher", "inherited", "intermediate", "prediction", "labels")


def evaluate(
  run: TaskRun,
  models: Models,
  splits: Mapping[str, datasets.Dataset],
  texts: datasets.Dataset | Sequence[Mapping[str, Any]],
  about: About,
  *,
  teacher_splits: Mapping[str, datasets.Dataset] | None = None,
  inputs: Mapping[str, Any] | None = None,
  further: Callable[[], Mapping[str, Any]] | None = None,
  also: Mapping[Path, Callable[[Path], None]] | None = None,
) -> dict[str, Any]:
  """Returns what `metrics.json` holds, measured now unless it was of the same models and rows.

  Saves the student as `student/`, and writes `report.html` with its pictures.

  Args:
    run: the task.
    models: to compare.
    splits: token rows, all with labels or none, by name; the first is shown in detail.
    texts: the rows of the first split before they were tokens, in the same order.
    about: the run.
    teacher_splits: the same rows as the teachers read them, where their tokens are others.
    inputs: further JSON values on which the result depends.
    further: gives more of what `metrics.json` holds; it depends on models, rows and `inputs` alone.
    also: what writes further files, by their paths.
  """
  by_name, first, also = models.by_name(), next(iter(splits)), also or {}
  limits = [model.model.config.longest for model in by_name.values()]
  made_from = {
    **{f"{split}_rows": fingerprint.of_rows(rows) for split, rows in splits.items()},
    **{f"teacher_{split}_rows": fingerprint.of_rows(rows) for split, rows in (teacher_splits or {}).items()},
    **{name: finished.fingerprint for name, finished in by_name.items()},
    "cost_tokens": min(128, run.max_length, *limits),
    **precision.as_inputs(run.dtype),
    **(inputs or {}),
  }
  path, student_folder = run.folder / METRICS, run.folder / "student"
  if hosts.first_says(lambda: _is_measured([path, student_folder / "model.safetensors", *also], made_from)):
    return read_json(path)
  hosts.say(f"{'evaluate':13} teacher and student on {', '.join(splits)}, and their speed")
  read = {name: teacher_splits if teacher_splits and models.is_teacher(name) else splits for name in by_name}
  logits = {
    name: {split: predict(finished.model, finished.params, rows, name=name) for split, rows in read[name].items()}
    for name, finished in by_name.items()
  }
  said = outputs(run.task, models, logits, read)
  metrics = measure(run.task, models, said, splits, made_from["cost_tokens"])
  tokens = made_from["cost_tokens"]
  metrics["deployed"] = deployed.measure(run.task, models, said["student"][first], splits[first], tokens)
  metrics |= further() if further else {}
  metrics |= {
    "split": first,
    "command": about.command,
    "options": dict(about.options),
    "data": {"max_length": run.max_length, **about.data},
    "stages": stage_records.stage_rows(run.folder, about.stages),
    "environment": environment(),
    "dtype": jnp.dtype(run.dtype).name,
    "paths": {"student": str(student_folder), "out": str(run.folder)},
    "cost_tokens": made_from["cost_tokens"],
    "inputs": made_from,
  }
  if points := stage_records.sweep(run.folder):
    metrics["sweep"] = points
  if models.teachers:
    metrics |= compare(run.task, said["teacher"][first], said["student"][first], texts)
  metrics["seconds"] = sum(stage.get("seconds", 0) for stage in metrics["stages"])
  metrics["summary"] = report.summary(metrics)

  def write() -> None:
    sentence = f"A student for {run.task.name}, distilled in the stages of TinyBERT (arXiv:1909.10351)."
    run.task.head.save(
      student_folder,
      models.student.model.config,
      models.student.params,
      tokenizer=run.saved_tokenizer,
      description=f"{sentence} {metrics['summary']}".strip(),
      card=cards.of_student(run.folder, metrics, run.origin),
    )
    # The maps of two models are of the same tokens.
    is_comparable = not teacher_splits or models.reading is not None
    shown = attention_maps(run.folder, models, splits[first], run.tokenizer) if is_comparable else None
    for file, write_file in also.items():
      write_file(file)
    # Without a teacher there is nothing to stand beside.
    beside = () if models.teachers else ("per_class", "confusion", "predictions")
    told = {name: value for name, value in metrics.items() if name not in beside}
    report.write(run.folder, told, stage_records.histories(run.folder, about.stages), shown)
    with replace_file(path) as new:
      new.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")

  hosts.on_first(write)
  return metrics


def _is_measured(files: Sequence[Path], made_from: Mapping[str, Any]) -> bool:
  """Whether `metrics.json`, the first of the files, was made from the same and all files are there; says so."""
  path = files[0]
  if not all(file.is_file() for file in files):
    return False
  try:
    before = read_json(path).get("inputs")
  except InputError:  # cut off by a full disk
    return False
  if before != json.loads(json.dumps(made_from)):
    return False
  print(f"{'evaluate':13} reused from {path}", flush=True)
  return True

"""What a task ends with: teacher and student measured side by side, the student's directory, a report."""

import dataclasses
import datetime
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import numpy as np

import tinybert_jax
from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import read_json
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.pipeline import report
from tinybert_jax.pipeline.figures import AttentionRow
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.task import TaskRun
from tinybert_jax.tasks.task import Task
from tinybert_jax.training import hosts
from tinybert_jax.training.evaluate import compare_costs, predict
from tinybert_jax.training.run_log import read_log

METRICS = "metrics.json"
_DISAGREEMENTS = 20
_SHOWN_TOKENS = 16
_LONGEST_SHOWN = 2000  # characters of a text that metrics.json keeps


@dataclasses.dataclass(frozen=True)
class Models:
  """What is compared.

  Attributes:
    teachers: one or several; none where targets came from elsewhere.
    student: after all stages.
    others: further students, by the name of their row.
    weights: of several teachers.
  """

  teachers: Sequence[Finished]
  student: Finished
  others: Mapping[str, Finished] = dataclasses.field(default_factory=dict)
  weights: Sequence[float] = ()

  def by_name(self) -> dict[str, Finished]:
    """Returns all of them; several teachers are teacher, teacher-2, …"""
    names = ["teacher", *(f"teacher-{number}" for number in range(2, len(self.teachers) + 1))]
    return {**dict(zip(names, self.teachers, strict=False)), "student": self.student, **self.others}


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
  stages: tuple[str, ...] = ("teacher", "intermediate", "prediction", "labels")


def evaluate(
  run: TaskRun,
  models: Models,
  splits: Mapping[str, datasets.Dataset],
  texts: Sequence[Mapping[str, Any]],
  about: About,
  *,
  inputs: Mapping[str, Any] | None = None,
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
    inputs: further JSON values on which the result depends.
    also: what writes further files, by their paths.
  """
  by_name, first, also = models.by_name(), next(iter(splits)), also or {}
  limits = [model.model.config.max_position_embeddings for model in by_name.values()]
  made_from = {
    **{f"{split}_rows": fingerprint.of_rows(rows) for split, rows in splits.items()},
    **{name: finished.fingerprint for name, finished in by_name.items()},
    "cost_tokens": min(128, *limits),
    **(inputs or {}),
  }
  path, student_folder = run.folder / METRICS, run.folder / "student"
  if hosts.first_says(lambda: _is_measured([path, student_folder / "model.safetensors", *also], made_from)):
    return read_json(path)
  hosts.say(f"{'evaluate':13} teacher and student on {', '.join(splits)}, and their speed")
  logits = {
    name: {split: predict(finished.model, finished.params, rows) for split, rows in splits.items()}
    for name, finished in by_name.items()
  }
  metrics = _measure(run.task, models, logits, splits, made_from["cost_tokens"])
  metrics |= {
    "split": first,
    "command": about.command,
    "options": dict(about.options),
    "data": {"max_length": run.max_length, **about.data},
    "stages": stage_rows(run, about.stages),
    "environment": environment(),
    "paths": {"student": str(student_folder), "out": str(run.folder)},
    "cost_tokens": made_from["cost_tokens"],
    "inputs": made_from,
  }
  metrics |= _sweep(run)
  if models.teachers:
    metrics |= _compare(run.task, _teacher_logits(run.task, models, logits, first), logits["student"][first], texts)
  metrics["seconds"] = sum(stage.get("seconds", 0) for stage in metrics["stages"])

  def write() -> None:
    sentence = f"A student for {run.task.name}, distilled in the stages of TinyBERT (arXiv:1909.10351)."
    save_pretrained(
      student_folder, models.student.model.config, models.student.params, tokenizer=run.tokenizer, description=sentence
    )
    shown = attention(run, models, texts) if models.teachers and len(texts) else None
    for file, write_file in also.items():
      write_file(file)
    # Without a teacher there is nothing to stand beside.
    beside = () if models.teachers else ("per_class", "confusion", "predictions")
    told = {name: value for name, value in metrics.items() if name not in beside}
    report.write(run.folder, told, histories(run, about.stages), *(shown or ()))
    new = path.with_suffix(".new")
    new.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    new.replace(path)

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


def _measure(
  task: Task,
  models: Models,
  logits: Mapping[str, Mapping[str, np.ndarray]],
  splits: Mapping[str, datasets.Dataset],
  cost_tokens: int,
) -> dict[str, Any]:
  """Returns metrics, sizes and speeds of all models, and the details of the first split."""
  first, has_teacher = next(iter(splits)), bool(models.teachers)
  labels = {split: rows["labels"][:] if "labels" in rows.column_names else None for split, rows in splits.items()}
  outputs = {"student": logits["student"], **{name: logits[name] for name in models.others}}
  if has_teacher:
    outputs = {"teacher": {split: _teacher_logits(task, models, logits, split) for split in splits}, **outputs}
  metrics: dict[str, Any] = {
    "task": task.name,
    "kind": task.kind,
    "labels": list(task.labels),
    "main_metric": task.main_metric,
    **{name: _scores(task, by_split, labels) for name, by_split in outputs.items()},
  }
  by_name = models.by_name()
  compared = {name: by_name[name][:2] for name in by_name if name not in models.others}
  costs = compare_costs(compared, length=cost_tokens, repeats=20)
  for name in compared:
    config, params = by_name[name].model.config, by_name[name].params
    about = {"parameters": count_parameters(params), **costs[name]._asdict()}
    about |= {"layers": config.num_hidden_layers, "width": config.hidden_size}
    if name.startswith("teacher-"):  # an ensemble costs what its members cost
      for key in ("parameters", "flops", "latency_ms"):
        metrics["teacher"][key] += about[key]
      metrics["teacher"]["throughput"] = 1 / (1 / metrics["teacher"]["throughput"] + 1 / about["throughput"])
    else:
      metrics[name] |= about
  if labels[first] is not None:
    metrics |= task.details({name: by_split[first] for name, by_split in outputs.items()}, labels[first])
  if has_teacher:
    teacher, student = metrics["teacher"], metrics["student"]
    metrics |= {
      "times_smaller": teacher["parameters"] / student["parameters"],
      "times_faster": teacher["latency_ms"] / student["latency_ms"],
    }
    if "score" in teacher:
      metrics["retention"] = student["score"] / teacher["score"] if teacher["score"] > 0 else None
  return metrics


def _scores(task: Task, logits: Mapping[str, np.ndarray], labels: Mapping[str, Any]) -> dict[str, float]:
  scores, ranking = {}, []
  for split, values in logits.items():
    if labels[split] is None:
      continue
    metrics, suffix = task.score(values, labels[split]), "" if split in ("dev", "test") else split.removeprefix("dev")
    scores |= {name + suffix: value for name, value in metrics.items()}
    ranking += [metrics[name] for name in task.ranked_by]
  return scores | ({"score": float(np.mean(ranking))} if ranking else {})


def _teacher_logits(task: Task, models: Models, logits: Mapping, split: str) -> np.ndarray:
  names = [name for name in models.by_name() if name.split("-")[0] == "teacher"]
  weights = tuple(models.weights) or (1.0,) * len(names)
  return task.combine_targets([logits[name][split] for name in names], weights)


def _compare(task: Task, teacher: np.ndarray, student: np.ndarray, texts: Sequence[Mapping[str, Any]]) -> dict:
  """Returns the agreement of teacher and student, and the rows on which they are furthest apart."""
  apart = task.disagreement(student, teacher)
  rows = [int(row) for row in np.argsort(-apart, kind="stable")[:_DISAGREEMENTS] if apart[row] > 0]
  theirs, ours = task.answers(teacher[rows]), task.answers(student[rows])
  shown = []
  for place, row in enumerate(rows if len(texts) else ()):
    text = texts[row]
    one = {"row": row, "text": text["text"][:_LONGEST_SHOWN], "teacher": theirs[place], "student": ours[place]}
    if text.get("pair") is not None:
      one["pair"] = text["pair"][:_LONGEST_SHOWN]
    if text.get("label") is not None:
      one["label"] = _written(task, text["label"])
    shown.append(one)
  return {"agreement": task.agreement(student, teacher), "disagreements": shown}


def _written(task: Task, label: Any) -> Any:
  if task.kind == "classification":
    return task.labels[label]
  if task.kind == "multi_label":
    return [name for name, has in zip(task.labels, label, strict=True) if has > 0.5]
  return float(label)


def stage_rows(run: TaskRun, names: Sequence[str]) -> list[dict[str, Any]]:
  """Returns what the report's table says of each finished stage, from its `stage.json`."""
  rows = []
  for name in names:
    path = run.folder / name / "stage.json"
    if not path.is_file():
      continue
    record = read_json(path)
    inputs = record["inputs"]
    recipe = (inputs.get("recipes") or [inputs])[0]
    if len(inputs.get("recipes", ())) > 1:
      recipe = max(record["sweep"], key=lambda point: point["score"])
    chosen = {key: recipe[key] for key in ("epochs", "steps", "batch_size", "learning_rate") if key in recipe}
    if not chosen:
      continue  # a teacher that came finished
    labelled = name in ("teacher", "labels") and run.rows.labelled is not None
    number = len(run.rows.labelled if labelled else run.rows.transfer)
    rows.append({"name": name, "rows": number, **chosen} | _known(record, "seconds", "score"))
  return rows


def histories(run: TaskRun, names: Sequence[str]) -> dict[str, list[dict[str, float]]]:
  """Returns the logs of the finished stages; of a sweep that of its best point."""
  logs = {}
  for name in names:
    folder = run.folder / name / "training"
    record = run.folder / name / "stage.json"
    if not record.is_file():
      continue
    if sweep := read_json(record).get("sweep"):
      best = max(sweep, key=lambda point: point["score"])
      folder /= f"batch{best['batch_size']}-rate{best['learning_rate']:g}"
    elif not (folder / "log.jsonl").is_file():
      folder = next((path.parent for path in sorted(folder.glob("*/log.jsonl"))), folder)
    if rows := read_log(folder, None):
      logs[name] = rows
  return logs


def attention(run: TaskRun, models: Models, texts: Sequence[Mapping[str, Any]]) -> tuple[list[AttentionRow], list[str]]:
  """Returns attention probabilities of the last layers on the first text, and its tokens."""
  encoded = run.tokenizer(texts[0]["text"], truncation=True, max_length=_SHOWN_TOKENS)["input_ids"]
  batch = {"input_ids": np.array([encoded], np.int32)}
  shown = [("teacher", models.teachers[0]), ("student", models.student)]
  if (run.folder / "intermediate" / "stage.json").is_file():
    shown.insert(1, ("student after intermediate distillation", run.finished("intermediate")))
  rows = []
  for name, finished in shown:
    layer = finished.model.config.num_hidden_layers
    scores = finished.model.apply({"params": finished.params}, batch, score_layers=(layer,)).attention_scores[0]
    rows.append((name, np.asarray(jax.nn.softmax(scores[0, :4])), layer))
  return rows, run.tokenizer.convert_ids_to_tokens(encoded)


def environment() -> dict[str, str]:
  """Returns date, versions and machine."""
  return {
    "date": datetime.date.today().isoformat(),
    "python": platform.python_version(),
    "jax": jax.__version__,
    "tinybert_jax": tinybert_jax.__version__,
    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    "devices": hosts.describe(),
  }


def _sweep(run: TaskRun) -> dict[str, Any]:
  path = run.folder / "prediction" / "stage.json"
  sweep = read_json(path).get("sweep") if path.is_file() else None
  return {"sweep": sweep} if sweep else {}


def _known(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
  return {name: record[name] for name in names if name in record}

"""Teacher and student side by side: scores, sizes, speeds, agreement."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.tasks.task import Task
from tinybert_jax.training.evaluate import compare_costs

_DISAGREEMENTS = 20
_LONGEST_SHOWN = 2000  # characters of a text that metrics.json keeps
BySplit = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Models:
  """What is compared.

  Attributes:
    teachers: one or several; none where targets came from elsewhere.
    student: after all stages.
    others: further students, by the name of their row.
    weights: of several teachers.
    fresh: the student before its first stage, to show beside; None where it is not known.
    reading: the first teacher as it reads the student's tokens, where these are others than its own.
  """

  teachers: Sequence[Finished]
  student: Finished
  others: Mapping[str, Finished] = dataclasses.field(default_factory=dict)
  weights: Sequence[float] = ()
  fresh: Pretrained | None = None
  reading: Finished | None = None

  def by_name(self) -> dict[str, Finished]:
    """Returns those that are measured; several teachers are teacher, teacher-2, …"""
    names = ["teacher", *(f"teacher-{number}" for number in range(2, len(self.teachers) + 1))]
    return {**dict(zip(names, self.teachers, strict=False)), "student": self.student, **self.others}

  def is_teacher(self, name: str) -> bool:
    """Whether a name of `by_name` is that of a teacher."""
    return name not in ("student", *self.others)


def outputs(
  task: Task, models: Models, logits: Mapping[str, BySplit], read: Mapping[str, Mapping[str, datasets.Dataset]]
) -> dict[str, dict[str, Any]]:
  """Returns what is said of each text by the teacher, or all teachers together, by the student and by the others.

  Args:
    task: that they have.
    models: by whose names the others are.
    logits: of each model and split.
    read: the token rows that they are of, likewise.
  """
  names = [name for name in models.by_name() if models.is_teacher(name)]
  weights = tuple(models.weights) or (1.0,) * len(names)
  chosen: dict[str, BySplit] = {name: logits[name] for name in ("student", *models.others)}
  if names:
    splits = logits[names[0]]
    together = {split: task.combine_targets([logits[name][split] for name in names], weights) for split in splits}
    chosen = {"teacher": together, **chosen}
  return {
    name: {split: task.joined(values, read[name][split]) for split, values in by_split.items()}
    for name, by_split in chosen.items()
  }


def measure(
  task: Task,
  models: Models,
  outputs: Mapping[str, BySplit],
  splits: Mapping[str, datasets.Dataset],
  cost_tokens: int,
) -> dict[str, Any]:
  """Returns metrics, sizes and speeds of all models, and the details of the first split."""
  first = next(iter(splits))
  truths = {split: task.truth(rows) for split, rows in splits.items()}
  metrics: dict[str, Any] = {
    "task": task.name,
    "kind": task.kind,
    "labels": list(task.labels),
    "main_metric": task.main_metric,
    "ranked_by": list(task.ranked_by),
    **{name: _scores(task, by_split, truths) for name, by_split in outputs.items()},
  }
  _add_costs(metrics, models, cost_tokens)
  if truths[first] is not None:
    metrics |= task.details({name: by_split[first] for name, by_split in outputs.items()}, truths[first])
    if "majority" in metrics:
      metrics["majority"] |= _majority(task, truths)
  if models.teachers:
    teacher, student = metrics["teacher"], metrics["student"]
    metrics |= {
      "times_smaller": teacher["parameters"] / student["parameters"],
      "times_faster": teacher["latency_ms"] / student["latency_ms"],
    }
    if "score" in teacher:
      metrics["retention"] = student["score"] / teacher["score"] if teacher["score"] > 0 else None
  return metrics


def _add_costs(metrics: dict[str, Any], models: Models, tokens: int) -> None:
  """Adds size and speed of teacher and student to their metrics."""
  compared = {name: one for name, one in models.by_name().items() if name not in models.others}
  costs = compare_costs({name: one[:2] for name, one in compared.items()}, length=tokens)
  for name, finished in compared.items():
    config = finished.model.config
    about = {"parameters": count_parameters(finished.params), **costs[name]._asdict()}
    about |= {"layers": config.num_hidden_layers, "width": config.hidden_size}
    if name.startswith("teacher-"):  # an ensemble costs what its members cost
      for key in ("parameters", "flops", "latency_ms"):
        metrics["teacher"][key] += about[key]
      metrics["teacher"]["throughput"] = 1 / (1 / metrics["teacher"]["throughput"] + 1 / about["throughput"])
    else:
      metrics[name] |= about


def _scores(task: Task, outputs: BySplit, truths: BySplit) -> dict[str, float]:
  """Returns a model's metrics on all splits that have labels, and its score."""
  return _joined(
    task, {split: task.score(values, truths[split]) for split, values in outputs.items() if truths[split] is not None}
  )


def _majority(task: Task, truths: BySplit) -> dict[str, float]:
  """Returns the same of each split's most frequent answer."""
  return _joined(
    task, {split: task.details({}, truth)["majority"] for split, truth in truths.items() if truth is not None}
  )


def _joined(task: Task, by_split: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
  """Returns the metrics of several splits by name and split, and the mean of those that rank, the score."""
  scores: dict[str, float] = {}
  ranking: list[float] = []
  for split, metrics in by_split.items():
    suffix = "" if split in ("dev", "test") else split.removeprefix("dev")
    scores |= {name + suffix: value for name, value in metrics.items() if name != "label"}
    ranking += [metrics[name] for name in task.ranked_by]
  return scores | ({"score": float(np.mean(ranking))} if ranking else {})


def compare(
  task: Task, teacher: Any, student: Any, texts: datasets.Dataset | Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
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
      one["label"] = task.written(text)
    shown.append(one)
  found = {"agreement": task.agreement(student, teacher), "disagreements": shown}
  if task.kind == "classification":
    counts = np.bincount(teacher.argmax(-1), minlength=len(task.labels))
    found["constant_agreement"] = {
      "label": task.labels[int(counts.argmax())],
      "agreement": float(counts.max() / len(teacher)),
    }
  return found

"""What the finished stages of a run's folder tell: their recipes, logs and sweeps."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.models.config import read_json
from tinybert_jax.pipeline.stages import RECORD
from tinybert_jax.training.run_log import read_log

_RECIPE = ("epochs", "steps", "batch_size", "learning_rate", "temperature")


def stage_rows(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
  """Returns what a table of a run's stages says of each that is finished, from its `stage.json`.

  A teacher that came finished is left out, and so is a student's start that the student did not begin with.
  """
  rows = []
  for name in names:
    if record := _record(folder / name):
      row = stage_row(name, record)
      if "batch_size" in row or _begins_with(folder, name):
        rows.append(row)
  return rows


def stage_row(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a stage's rows, recipe, seconds and score on dev; of a sweep the recipe of its best point."""
  inputs = record["inputs"]
  recipes = inputs.get("recipes") or [inputs]
  recipe = recipes[0] if len(recipes) == 1 else _best(record["sweep"])
  known = {**inputs, **recipe, **record}
  row = {
    "name": name,
    **{key: known[key] for key in ("rows", *_RECIPE, "seconds", "score") if known.get(key) is not None},
  }
  if {"epochs", "batch_size", "rows"} <= row.keys():
    row["steps"] = row["epochs"] * math.ceil(row["rows"] / row["batch_size"])
  return row


def histories(folder: Path, names: Sequence[str]) -> dict[str, list[dict[str, float]]]:
  """Returns the logs of the finished stages; of a sweep that of its best point."""
  logs = {}
  for name in names:
    if not (record := _record(folder / name)):
      continue
    training = folder / name / "training"
    if "sweep" in record:
      best = _best(record["sweep"])
      training /= f"batch{best['batch_size']}-rate{best['learning_rate']:g}"
    elif not (training / "log.jsonl").is_file():
      training = next((path.parent for path in sorted(training.glob("*/log.jsonl"))), training)
    if rows := read_log(training, None):
      logs[name] = rows
  return logs


def sweep(folder: Path) -> list[dict[str, Any]]:
  """Returns the points of the sweep of prediction distillation; empty where there was none."""
  return _record(folder / "prediction").get("sweep", [])


def sweep_table(points: Sequence[Mapping[str, Any]]) -> str:
  """Returns the points of a sweep as lines of text, the best marked."""
  best = _best(points)
  lines = [f"{'':13} {'batch':>6}{'rate':>10}{'score':>9}"]
  for point in points:
    mark = "  best" if point is best else ""
    lines.append(f"{'':13} {point['batch_size']:6}{point['learning_rate']:10.2g}{100 * point['score']:9.2f}{mark}")
  return "\n".join(lines)


def _begins_with(folder: Path, name: str) -> bool:
  """Whether intermediate distillation began with the stage `name`."""
  record = _record(folder / "intermediate")
  return name == "inherited" and record.get("inputs", {}).get("projections") == "fitted"


def layer_map(folder: Path) -> tuple[int, ...]:
  """Returns the teacher's layer of each of the student's in intermediate distillation; empty without that stage."""
  return tuple(_record(folder / "intermediate").get("inputs", {}).get("layer_map", ()))


def _record(stage: Path) -> dict[str, Any]:
  return read_json(stage / RECORD) if (stage / RECORD).is_file() else {}


def _best(sweep: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
  return max(sweep, key=lambda point: point["score"])

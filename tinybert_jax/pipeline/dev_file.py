"""The texts that chose a run's best step, as a table in its folder: what `export` measures on where none is named."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from tinybert_jax.models.directories import replace_file
from tinybert_jax.tasks.task import Task
from tinybert_jax.training import hosts

NAME = "dev.jsonl"
_MOST = 2000  # rows


def write(folder: Path, task: Task, rows: datasets.Dataset) -> None:
  """Writes `dev.jsonl`: texts or words, with labels where the rows have them, of at most 2,000 rows, evenly spread."""
  if len(rows) > _MOST:
    rows = rows.select(np.linspace(0, len(rows) - 1, _MOST).astype(int))

  def write_here() -> None:
    with replace_file(folder / NAME) as new:
      lines = (json.dumps(_line(task, row), ensure_ascii=False) for row in rows)
      new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="replace")

  hosts.on_first(write_here)


def beside(model: str | Path) -> Path | None:
  """Returns the table of the run whose folder holds a model; None where there is none."""
  path = Path(model).resolve().parent / NAME
  return path if Path(model).is_dir() and path.is_file() else None


def _line(task: Task, row: dict[str, Any]) -> dict[str, Any]:
  if "words" in row:
    tags = {"tags": [task.labels[number] for number in row["label"]]} if row.get("label") is not None else {}
    return {"words": row["words"], **tags}
  if isinstance(row.get("label"), dict):  # answers to a question, as SQuAD has them
    answers = {"text": row["label"]["text"], "answer_start": row["label"]["start"]}
    return {"question": row["text"], "context": row["pair"], "answers": answers}
  texts = {name: row[name] for name in ("text", "pair") if row.get(name) is not None}
  return texts | ({"label": task.written(row)} if row.get("label") is not None else {})

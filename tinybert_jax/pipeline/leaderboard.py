"""GLUE's leaderboard: its files, their archive, and the paper's Table 1."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tinybert_jax.models.config import read_json
from tinybert_jax.models.directories import make_directory, replace_file
from tinybert_jax.pipeline.evaluation import METRICS
from tinybert_jax.pipeline.glue_rows import TestSplit
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.tasks.glue import DIAGNOSTIC, TASKS
from tinybert_jax.tasks.glue_files import write_predictions
from tinybert_jax.training.evaluate import predict

# The columns of the paper's Table 1: heading, task, metric.
TABLE_1 = (
  ("MNLI-m", "MNLI", "accuracy"),
  ("MNLI-mm", "MNLI", "accuracy_mismatched"),
  ("QQP", "QQP", "f1"),
  ("QNLI", "QNLI", "accuracy"),
  ("SST-2", "SST-2", "accuracy"),
  ("CoLA", "CoLA", "matthews_correlation"),
  ("STS-B", "STS-B", "spearman"),
  ("MRPC", "MRPC", "f1"),
  ("RTE", "RTE", "accuracy"),
)


def writer(split: TestSplit, student: Finished) -> Callable[[Path], None]:
  """Returns what writes the student's predictions on a test split to a file, as the leaderboard takes them."""

  def write(path: Path) -> None:
    logits = predict(student.model, student.params, split.rows, name="the student")
    for note in write_predictions(path, split.task, split.index, logits):
      print(f"{'':13} {note}", flush=True)

  return write


def write_table_1(out: Path, results: Mapping[str, Mapping[str, Any]]) -> str:
  """Returns the results of several tasks as the paper's Table 1 has them, and writes them to `table.txt`.

  Metrics are times 100, on dev; the average is over the columns that are there. WNLI is not in that table, and
  stands in the last column, outside the average.
  """
  columns = [column for column in TABLE_1 if column[1] in results]
  extra = [("WNLI", "WNLI", "accuracy")] if "WNLI" in results else []
  lines = [f"{'':9}" + "".join(f"{heading:>9}" for heading, *_ in (*columns, ("average",), *extra))]
  for side in ("teacher", "student"):
    values = [100 * results[task][side][metric] for _, task, metric in columns]
    mean = sum(values) / len(values) if values else float("nan")
    cells = [*values, mean, *(100 * results[task][side][metric] for _, task, metric in extra)]
    lines.append(f"{side:9}" + "".join(f"{value:9.1f}" for value in cells))
  text = "\n".join(lines)
  make_directory(out)
  (out / "table.txt").write_text(text + "\n", encoding="utf-8")
  return text


def zip_submission(out: Path) -> str:
  """Returns a sentence about `submission.zip`, which it writes with the leaderboard's files of all tasks in `out`.

  They are of the students that were evaluated last; a file that an earlier student left there is none of them.
  """
  folders = {task.leaderboard_file(split): task.name for task in TASKS.values() for split in task.test_splits}
  folders[DIAGNOSTIC.leaderboard_file("test")] = "MNLI"
  files = {name: out / folder / name for name, folder in folders.items()}
  missing = [name for name, path in files.items() if not path.is_file() or name not in _evaluated(path.parent)]
  path = out / "submission.zip"
  with replace_file(path) as new, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, file in files.items():
      if name not in missing:
        archive.write(file, name)
  lacks = f"; the GLUE server wants {', '.join(missing)} as well" if missing else ""
  return f"{path}: {len(files) - len(missing)} files{lacks}"


def _evaluated(folder: Path) -> Mapping[str, str]:
  """Returns the leaderboard's files that the last evaluation in a task's folder wrote, with the rows they are of."""
  path = folder / METRICS
  inputs = read_json(path).get("inputs") if path.is_file() else None  # there are none in a file of an earlier version
  return (inputs or {}).get("test_rows") or {}

"""What a task ends with: metrics of teacher and student side by side, the student's directory, leaderboard files."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.glue.training import Run, dev_scores
from tinybert_jax.data import fingerprint
from tinybert_jax.models.config import read_json
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.tasks.glue import DIAGNOSTIC, TASKS
from tinybert_jax.tasks.glue_files import write_predictions
from tinybert_jax.training.evaluate import compare_costs, predict

METRICS = "metrics.json"
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


def evaluate(run: Run, teacher: Finished, student: Finished, others: Mapping[str, Finished]) -> dict[str, Any]:
  """Returns what `metrics.json` holds, measured now unless it was of the same models and rows.

  Saves the student as `student/`, and its predictions on the test splits as the leaderboard takes them.

  Args:
    run: the task.
    teacher: its finished stage.
    student: likewise.
    others: further students to compare with, by name.
  """
  models = {"teacher": teacher, "student": student, **others}
  path = run.folder / METRICS
  inputs = {
    **run.data.inputs,
    **{name: finished.fingerprint for name, finished in models.items()},
    "test_rows": {split.file: fingerprint.of_rows(split.rows) for split in run.data.test},
    "cost_tokens": min(128, *(models[name].model.config.max_position_embeddings for name in ("teacher", "student"))),
  }
  written = [run.folder / split.file for split in run.data.test] + [run.folder / "student" / "model.safetensors"]
  if path.is_file() and all(file.is_file() for file in written):
    before = read_json(path)
    if before.get("inputs") == inputs:
      print(f"{'evaluate':13} reused from {path}", flush=True)
      return before
  print(f"{'evaluate':13} teacher and student on dev, and their speed", flush=True)
  compared = {name: models[name][:2] for name in ("teacher", "student")}
  costs = compare_costs(compared, length=inputs["cost_tokens"], repeats=20)
  metrics: dict[str, Any] = {"task": run.task.name}
  for name, finished in models.items():
    metrics[name] = dev_scores(run, *finished[:2])
    if name in costs:
      metrics[name] |= {"parameters": count_parameters(finished.params), **costs[name]._asdict()}
  metrics |= {
    "retention": _ratio(metrics["student"]["score"], metrics["teacher"]["score"]),
    "times_smaller": _ratio(metrics["teacher"]["parameters"], metrics["student"]["parameters"]),
    "times_faster": _ratio(metrics["teacher"]["latency_ms"], metrics["student"]["latency_ms"]),
    "inputs": inputs,
  }
  for split in run.data.test:
    write_predictions(run.folder / split.file, split.task, split.index, predict(*student[:2], split.rows))
  about = f"A student for GLUE's {run.task.name}, distilled in both stages of TinyBERT (arXiv:1909.10351)."
  save_pretrained(
    run.folder / "student", student.model.config, student.params, tokenizer=run.tokenizer, description=about
  )
  new = path.with_suffix(".new")
  new.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
  new.replace(path)
  return metrics


def table(metrics: Mapping[str, Any]) -> str:
  """Returns one task's results as lines of text; metrics are times 100."""
  sides = {name: side for name, side in metrics.items() if isinstance(side, Mapping) and "score" in side}
  names = [name for name in metrics["teacher"] if name not in _COSTS]
  if len(names) == 2:  # one metric, and the score is the same
    names.remove("score")
  columns = {name: name.replace("_", " ") for name in names}
  head = "".join(f"{column:>{len(column) + 3}}" for column in columns.values())
  lines = [f"{metrics['task'] + ', dev':16}{head}{'parameters':>14}{'GFLOPs':>9}{'latency':>13}"]
  for name, side in sides.items():
    line = f"{name:16}" + "".join(f"{100 * side[key]:{len(column) + 3}.2f}" for key, column in columns.items())
    if "parameters" in side:
      line += f"{side['parameters']:14,}{side['flops'] / 1e9:9.2f}{side['latency_ms']:10.2f} ms"
    lines.append(line)
  keeps = "is" if metrics["retention"] is None else f"keeps {metrics['retention']:.1%} of the teacher's score,"
  lines.append(
    f"The student {keeps} {metrics['times_smaller']:.1f} times smaller and {metrics['times_faster']:.1f} times faster "
    f"(one sequence of {metrics['inputs']['cost_tokens']} tokens)."
  )
  return "\n".join(lines)


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
  out.mkdir(parents=True, exist_ok=True)
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
  path, new = out / "submission.zip", out / "submission.new"
  with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, file in files.items():
      if name not in missing:
        archive.write(file, name)
  new.replace(path)
  lacks = f"; the GLUE server wants {', '.join(missing)} as well" if missing else ""
  return f"{path}: {len(files) - len(missing)} files{lacks}"


def _evaluated(folder: Path) -> Mapping[str, str]:
  """Returns the leaderboard's files that the last evaluation in a task's folder wrote, with the rows they are of."""
  path = folder / METRICS
  return read_json(path)["inputs"]["test_rows"] if path.is_file() else {}


_COSTS = ("parameters", "flops", "latency_ms", "throughput")


def _ratio(numerator: float, denominator: float) -> float | None:
  """Returns the quotient; None where it says nothing, the denominator not being positive."""
  return numerator / denominator if denominator > 0 else None

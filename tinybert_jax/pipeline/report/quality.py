"""Sections on how good the student is: beside its teacher, per class, in pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.pipeline import figures
from tinybert_jax.pipeline.metric_names import score_of, words
from tinybert_jax.pipeline.report.elements import escaped, html_table, image
from tinybert_jax.pipeline.report.results import (
  agrees_by,
  class_cell,
  measured_rows,
  metric_names,
  models_of,
  score_cell,
  what_agrees,
)
from tinybert_jax.pipeline.report.wording import counted, is_known, scaled, shortened


def sides(metrics: Mapping[str, Any], folder: Path) -> str:
  """Returns the models' scores, sizes and speeds beside each other, with a picture of score against cost."""
  models = models_of(metrics)
  rows = [[words(key), *(score_cell(side, key, metrics) for _, side in models)] for key in metric_names(metrics)]
  for title, cell in (
    ("parameters", lambda side: counted(side.get("parameters"), short=True)),
    ("size, MB", lambda side: scaled(side.get("parameters"), 4e-6, ",.1f")),
    ("GFLOPs", lambda side: scaled(side.get("flops"), 1e-9, ".3g")),
    ("latency, ms", lambda side: scaled(side.get("latency_ms"), 1, ",.2f")),
    ("texts a second", lambda side: scaled(side.get("throughput"), 1, ",.0f")),
  ):
    rows.append([title, *(cell(side) for _, side in models)])
  rows = [row for row in rows if any(row[1:])]
  if not rows:
    return ""
  tokens = metrics.get("cost_tokens")
  notes = [
    "Scores are multiplied by 100." if metric_names(metrics) else "",
    "Size: parameters in float32.",
    f"GFLOPs and latency: one text of {tokens} tokens. Texts a second: in batches, of as many tokens."
    if tokens
    else "",
  ]
  names = [shortened(name, 24).removeprefix("student, ").removesuffix(" baseline") for name, _ in models]
  table = html_table(["", *names], rows) + f'<p class="small">{escaped(" ".join(note for note in notes if note))}</p>'
  return f'<div class="beside"><div class="main">{table}</div>{_cost_picture(metrics, folder)}</div>'


def _cost_picture(metrics: Mapping[str, Any], folder: Path) -> str:
  main = metrics.get("main_metric", "score")
  sides = (metrics.get("teacher", {}), metrics["student"])
  if any(score_of(side, main) is None for side in sides):
    return ""
  if not any(all(side.get(cost) for side in sides) for cost in ("parameters", "latency_ms")):
    return ""
  figures.score_against_cost(folder / "score_against_cost.png", metrics)
  return image(folder / "score_against_cost.png", "Score against parameters and latency")


def per_class(metrics: Mapping[str, Any]) -> str:
  """Returns the scores of both models on each class."""
  sides = metrics.get("per_class")
  if not sides:
    return ""
  teacher, student = sides.get("teacher", {}), sides["student"]
  keys = list(dict.fromkeys(key for side in teacher.values() for key in side if key != "support"))
  if all(values.get("threshold") == 0.5 for side in (teacher, student) for values in side.values()):
    keys = [key for key in keys if key != "threshold"]
  note = "Multiplied by 100, but for the threshold." if "threshold" in keys else "Multiplied by 100."
  # Side by side they need 40 letters' width and more, so that a phone shows F1 alone.
  tables = _class_table("wide", keys, teacher, student) + _class_table("narrow", ["f1"], teacher, student)
  return f'{tables}<p class="small">{note}</p>'


def _class_table(where: str, keys: Sequence[str], teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str:
  """Returns a table of the classes, with the scores `keys` of both models; `where` is its class in the style."""
  span = f'colspan="{len(keys)}"'
  head = (
    '<tr><th rowspan="2">class</th><th rowspan="2">rows</th>'
    f'<th {span} class="teacher">teacher</th><th {span} class="student">student</th>'
    f'<th rowspan="2">F1 change</th></tr><tr>{2 * "".join(f"<th>{escaped(words(key))}</th>" for key in keys)}</tr>'
  )
  body = ""
  for label, side in teacher.items():
    other = student.get(label, {})
    cells = [class_cell(values.get(key), key) for values in (side, other) for key in keys]
    change = 100 * (other["f1"] - side["f1"]) if is_known(side.get("f1")) and is_known(other.get("f1")) else None
    worse = ' class="worse"' if change is not None and change <= -10 else ""
    cells.append("" if change is None else f"{change:+.1f}".replace("-", "−").replace("+0.0", "0.0"))
    numbers = "".join(f"<td>{cell}</td>" for cell in cells[:-1]) + f"<td{worse}>{cells[-1]}</td>"
    body += (
      f"<tr><td dir='auto'>{escaped(shortened(label, 40))}</td><td>{counted(side.get('support'))}</td>{numbers}</tr>"
    )
  tall = " tall" if len(teacher) > 15 else ""
  return f'<div class="scroll {where}{tall}"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def confusion(metrics: Mapping[str, Any], folder: Path) -> str:
  """Returns the confusion matrices as pictures."""
  if not metrics.get("confusion"):
    return ""
  shown, total = len(figures.confused_classes(metrics)), len(metrics["confusion"]["labels"])
  note = f"The {shown} of {total} classes on which the two models err most. " if shown < total else ""
  note += "True labels go down, answers across. The colour is the share of a label's rows."
  images = ""
  for model in ("teacher", "student"):  # one picture each, so that a phone can put them below each other
    path = folder / f"confusion_{model}.png"
    figures.confusion(path, metrics, (model,))
    images += image(path, f"Confusion matrix of the {model}", least=min(460, 20 * shown + 100))
  return f'<p class="small">{note}</p><div class="grid">{images}</div>'


def values(metrics: Mapping[str, Any], folder: Path) -> str:
  """Returns pictures of a regression's predicted values."""
  predictions = metrics.get("predictions") or {}
  if metrics["kind"] != "regression" or not predictions.get("teacher") or not predictions.get("student"):
    return ""
  images = ""
  for model in ("teacher", "student") if predictions.get("label") else ("student",):
    path = folder / f"values_{model}.png"
    figures.predicted_values(path, metrics, (model,))
    images += image(path, f"Predicted values of the {model}")
  return f'<div class="grid">{images}</div>'


def retrieval(metrics: Mapping[str, Any]) -> str:
  """Returns how teacher and student rank passages for queries."""
  found = metrics.get("retrieval")
  if not found:
    return ""
  sides = {name: values for name, values in found.items() if isinstance(values, Mapping)}
  keys = list(dict.fromkeys(key for values in sides.values() for key in values))
  rows = [[words(key), *(scaled(values.get(key), 100, ".1f") for values in sides.values())] for key in keys]
  note = (
    f"{found['passages']:,} passages ranked for each of {found['queries']:,} queries. Scores are multiplied by 100. "
    "“Of teacher” takes the teacher's first ten passages for the right ones."
  )
  return html_table(["", *sides], rows) + f'<p class="small">{escaped(note)}</p>'


def agreement(metrics: Mapping[str, Any]) -> str:
  """Returns in a sentence how far student and teacher answer alike."""
  agreement = metrics.get("agreement")
  if not is_known(agreement):
    return ""
  if agrees_by(metrics) == "correlation":
    text = f"The student's values correlate with the teacher's at {agreement:.3f}."
  elif agrees_by(metrics) == "cosine":
    text = f"The mean cosine of student's and teacher's embeddings of a text is {agreement:.3f}."
  else:
    text = f"Student and teacher give the same answer for {agreement:.1%} of the {what_agrees(metrics)}."
    rows = measured_rows(metrics)
    if rows and metrics["kind"] == "classification":
      text += f" They differ on {round((1 - agreement) * rows):,} of {rows:,} rows."
  return f"<p>{text}</p>"

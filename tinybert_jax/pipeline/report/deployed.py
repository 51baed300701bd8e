"""What the models cost as deployed, beside their cost in JAX: a section of the page, and a sentence."""

from collections.abc import Mapping
from typing import Any

from tinybert_jax.pipeline.report.elements import escaped, html_table
from tinybert_jax.pipeline.report.results import agrees_by, what_agrees
from tinybert_jax.pipeline.report.wording import is_known, scaled

_NAMES = {"teacher": "teacher", "student": "student", "int8": "student, 8-bit integers"}
_UNCHECKED = "What the integers lose was not checked; export --int8 --calibrate does that."


def section(metrics: Mapping[str, Any]) -> str:
  """Returns the costs as a table; a sentence where they were not measured, and nothing of older runs."""
  found = metrics.get("deployed") or {}
  sides = found.get("sides")
  if not sides:
    return f'<p class="small">{escaped(found["note"])}</p>' if found.get("note") else ""
  rows = [
    ["file, MB", *(scaled(side["bytes"], 1e-6, ",.1f") for side in sides.values())],
    ["latency, ms", *(scaled(side["latency_ms"], 1, ",.2f") for side in sides.values())],
  ]
  note = (
    f"{found['engine']} on the CPU, {_cores(found)}: one text of {found['tokens']} tokens. {_loss(metrics)} "
    "The times further up are JAX's."
  )
  return html_table(["", *(_NAMES[name] for name in sides)], rows) + f'<p class="small">{escaped(note)}</p>'


def sentence(metrics: Mapping[str, Any]) -> str:
  """Returns the same in some sentences of plain text; empty for older runs."""
  found = metrics.get("deployed") or {}
  sides = found.get("sides")
  if not sides:
    return found.get("note", "")
  each = [f"{_NAMES[name]} {side['latency_ms']:,.2f} ms, {side['bytes'] / 1e6:,.1f} MB" for name, side in sides.items()]
  return (
    f"As deployed, in {found['engine']} on the CPU, {_cores(found)}, one text of {found['tokens']} tokens: "
    f"{'; '.join(each)}. {_loss(metrics)}"
  )


def _cores(found: Mapping[str, Any]) -> str:
  return f"{found['cores']} core{'s' * (found['cores'] > 1)}"


def _loss(metrics: Mapping[str, Any]) -> str:
  """Returns how far the integers answer as the student does, in a sentence."""
  side = metrics["deployed"]["sides"]["int8"]
  if not is_known(side.get("agreement")):
    return _UNCHECKED
  rows, agreement = f"{side['rows']:,} rows", side["agreement"]
  if agrees_by(metrics) == "share":
    of = rows if what_agrees(metrics) == "rows" else f"{what_agrees(metrics)} of {rows}"
    return f"The integers give the student's answer for {agreement:.1%} of {of}."
  return f"The integers agree with the student at {agreement:.3f} ({agrees_by(metrics)}, {rows})."

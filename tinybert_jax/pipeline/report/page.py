"""The page: its sections in their order, and what frames them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinybert_jax.models.directories import make_directory
from tinybert_jax.pipeline.figures import AttentionMaps, History
from tinybert_jax.pipeline.metric_names import score_name
from tinybert_jax.pipeline.report import deployed, quality, texts, training, usage
from tinybert_jax.pipeline.report.advice import advice
from tinybert_jax.pipeline.report.claims import (
  Standing,
  against_teacher,
  beside_constant,
  share_kept,
  standing,
)
from tinybert_jax.pipeline.report.elements import escaped, facts_list, items_list, section
from tinybert_jax.pipeline.report.results import agrees_by
from tinybert_jax.pipeline.report.style import STYLE
from tinybert_jax.pipeline.report.wording import is_known, listed

PAGE, FIGURES = "report.html", "figures"


def write(
  out: Path,
  metrics: Mapping[str, Any],
  histories: Mapping[str, History],
  attention: AttentionMaps | None = None,
) -> Path:
  """Returns the path of the page `report.html` in `out`; writes it, and its pictures to `out/figures/`.

  The page holds its pictures and loads nothing from elsewhere. What `metrics` lacks is left out.

  Args:
    out: the folder of the run.
    metrics: what `metrics.json` holds. `task`, `kind`, such as "classification" or "regression", `teacher`,
      `student` and `data` must be there.
    histories: rows of the stages' logs, by stage.
    attention: maps of teacher and student on one text.
  """
  folder = out / FIGURES
  make_directory(folder)
  sections = [
    section("Teacher and student", quality.sides(metrics, folder)),
    section("As deployed", deployed.section(metrics)),
    section("Quality per class", quality.per_class(metrics)),
    section("Confusion", quality.confusion(metrics, folder)),
    section("Values", quality.values(metrics, folder)),
    section("Agreement", quality.agreement(metrics)),
    section("Retrieval", quality.retrieval(metrics)),
    section("Training", training.curves(histories, folder)),
    section("Stages", training.stages(metrics)),
    section("Sweep", training.sweep(metrics)),
    section("Attention", training.attention(attention, folder)),
    section("Where they disagree most", texts.disagreements(metrics)),
    section("Use the student", usage.usage(metrics)),
    section("What to try next", items_list(advice(metrics, histories))),
    section("Notes on the data", items_list(_data_notes(metrics))),
    section("How this was made", _made(metrics)),
  ]
  title = f"{metrics['task']}: a distilled student"
  page = _PAGE.format(
    title=escaped(title), style=STYLE, lead=_lead(metrics), headline=_headline(metrics), body="\n".join(sections)
  )
  path = out / PAGE
  path.write_text(page, encoding="utf-8", errors="replace")  # a text may hold half a surrogate pair
  return path


def _lead(metrics: Mapping[str, Any]) -> str:
  data, kind = metrics["data"], metrics["kind"].replace("_", "-")
  size = f" with {len(metrics['labels'])} labels" if metrics.get("labels") and kind != "regression" else ""
  sides = [
    f"of {side['layers']} layer{'s' * (side['layers'] > 1)} and width {side['width']}"
    if side.get("layers") and side.get("width")
    else ""
    for side in (metrics.get("teacher", {}), metrics["student"])
  ]
  teacher = f"A teacher {sides[0]} was" if metrics.get("teacher") else "Given targets were"
  text = f"{teacher} distilled into a student {sides[1]} for the {kind} task “{metrics['task']}”{size}"
  rows = [f"{data[key]:,} {key}" for key in ("labelled", "unlabelled", "augmented") if data.get(key)]
  text += f", from {listed(rows)} rows" if rows else ""
  split = metrics.get("split", "test")
  text += f", and measured on {data[split]:,} {split} rows" if data.get(split) else ""
  return f'<p class="lead">{escaped(re.sub(r" +", " ", text))}.</p>'


def _headline(metrics: Mapping[str, Any]) -> str:
  tiles, place = [], standing(metrics)
  if place is Standing.KEEPS:
    tiles.append((f"{share_kept(metrics):.1%}", f"of the teacher's {score_name(metrics)} kept"))
  if place is Standing.BEATS:
    tiles.append(("better", f"than the teacher: {against_teacher(metrics)}"))
  if is_known(metrics.get("agreement")) and place is not Standing.MEANINGLESS:
    noun = {"share": "agreement"}.get(agrees_by(metrics), agrees_by(metrics))
    shown = "{:.1%}" if noun == "agreement" else "{:.3f}"
    tiles.append((shown.format(metrics["agreement"]), f"{noun} with the teacher"))
  for key, more, less in (("times_smaller", "smaller", "larger"), ("times_faster", "faster", "slower")):
    times = metrics.get(key)
    if is_known(times) and times > 0:
      tiles.append((f"{max(times, 1 / times):.1f}×", more if times >= 1 else less))
  body = "".join(f"<div><b>{value}</b><span>{escaped(label)}</span></div>" for value, label in tiles)
  note = beside_constant(metrics)
  return (f'<div class="tiles">{body}</div>' if body else "") + (f'<p class="note">{escaped(note)}</p>' if note else "")


def _data_notes(metrics: Mapping[str, Any]) -> list[str]:
  data = metrics["data"]
  names = {key: key for key in ("labelled", "unlabelled", "augmented")}
  names |= {"transfer": "to distil over", "dev": "dev", "test": "test"}
  counts = [f"{data[key]:,} {name}" for key, name in names.items() if data.get(key)]
  notes = [f"Rows: {listed(counts)}."] if counts else []
  if data.get("max_length") and is_known(data.get("share_cut")):
    notes.append(f"{data['share_cut']:.1%} of the texts were cut at {data['max_length']} tokens.")
  return [*notes, *data.get("notes", ())]


def _made(metrics: Mapping[str, Any]) -> str:
  command = f"<pre>{escaped(metrics['command'])}</pre>" if metrics.get("command") else ""
  options = dict(metrics.get("options") or {})
  facts = dict(metrics.get("environment") or {})
  if options.get("seed") is not None:
    facts["seed"] = options["seed"]
  if is_known(metrics.get("seconds")):
    facts["whole run"] = f"{metrics['seconds'] / 60:.1f} minutes"
  if (metrics.get("paths") or {}).get("out"):
    facts["folder"] = metrics["paths"]["out"]
  lists = [facts_list(facts)]
  if options:
    lists.append(f"<details><summary>All options</summary>{facts_list(options)}</details>")
  return command + "".join(lists)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{lead}
{headline}
{body}
</body>
</html>
"""

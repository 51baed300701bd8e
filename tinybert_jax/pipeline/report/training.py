"""Sections on the training: curves, stages, sweep, attention."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinybert_jax.pipeline import figures
from tinybert_jax.pipeline.figures import AttentionMaps, History
from tinybert_jax.pipeline.metric_names import words
from tinybert_jax.pipeline.report.elements import escaped, html_table, image, without_empty
from tinybert_jax.pipeline.report.wording import counted, is_known, scaled, shortened


def curves(histories: Mapping[str, History], folder: Path) -> str:
  """Returns a picture of each stage's losses, and of its scores on dev."""
  images = ""
  for name, history in histories.items():
    if any("loss" in row or row.get("score") is not None for row in history):
      path = folder / f"losses_{re.sub(r'[^A-Za-z0-9-]+', '_', name)}.png"
      figures.stage_losses(path, {name: history})
      images += image(path, f"Losses of the stage {name}")
  if not images:
    return ""
  note = (
    "Lines: training loss by term, summed over layers and weighted. Dots: score on dev, right axis; or held-out loss."
  )
  return f'<p class="small">{note}</p><div class="grid">{images}</div>'


def stages(metrics: Mapping[str, Any]) -> str:
  """Returns the table of the stages."""
  rows = [
    [
      words(stage["name"]),
      *(counted(stage.get(key)) for key in ("epochs", "steps", "batch_size")),
      scaled(stage.get("learning_rate"), 1, "g"),
      counted(stage.get("rows")),
      "reused" if stage.get("reused") else scaled(stage.get("seconds"), 1 / 60, ",.1f"),
      scaled(stage.get("score"), 100, ".1f"),
    ]
    for stage in metrics.get("stages") or ()
  ]
  header = ["stage", "epochs", "steps", "batch", "rate", "rows", "minutes", "dev score"]
  return html_table(*without_empty(header, rows), spare=("batch", "rate", "rows")) if rows else ""


def sweep(metrics: Mapping[str, Any]) -> str:
  """Returns the table of a sweep's points, the best marked."""
  runs = metrics.get("sweep")
  if not runs:
    return ""
  keys = [*(key for key in runs[0] if key != "score"), "score"]
  best = max((run for run in runs if is_known(run.get("score"))), key=lambda run: run["score"], default=None)
  rows = []
  for run in runs:
    score = scaled(run.get("score"), 100, ".2f")
    score += " (best)" if run is best else ""
    rows.append(
      [*(f"{run[key]:g}" if is_known(run.get(key)) else shortened(run.get(key, ""), 40) for key in keys[:-1]), score]
    )
  recipe = {"epochs", "steps", "batch_size", "learning_rate"}
  spare = [words(key) for key in keys[:-1] if key not in recipe]
  return html_table([*(words(key) for key in keys[:-1]), "dev score × 100"], rows, spare)


def attention(maps: AttentionMaps | None, folder: Path) -> str:
  """Returns the maps of one text, of the teacher beside the student."""
  if maps is None:
    return ""
  figures.attention_maps(folder / "attention.png", maps)
  note = (
    f"Attention probabilities of one text in head {maps.head}, from each token (down) to each (across); bright is "
    "much. Each row has a layer of the teacher and the student's layer that learns from it."
  )
  return f'<p class="small">{escaped(note)}</p>' + image(
    folder / "attention.png", "Attention maps", least=60 + 13 * len(maps.probabilities) * len(maps.tokens)
  )

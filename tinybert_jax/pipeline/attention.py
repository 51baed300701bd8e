"""The attention of teacher, fresh and distilled student on one text, layer by layer as they were matched."""

from pathlib import Path
from typing import Any

import datasets
import jax
import numpy as np
from jaxtyping import Float

from tinybert_jax.data.batches import row_length
from tinybert_jax.distillation.layer_map import layer_map
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.heads import TaskModel
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import stage_records
from tinybert_jax.pipeline.figures import AttentionMaps
from tinybert_jax.pipeline.measurement import Models

_TOKENS, _MOST_TOKENS = 12, 14  # that a picture shows: enough for a pattern, and few enough to read
_MOST_LAYERS = 4
_LOOKED_AT = 2000  # rows


def attention_maps(folder: Path, models: Models, rows: datasets.Dataset, tokenizer: Tokenizer) -> AttentionMaps | None:
  """Returns the maps on a short text of `rows`, of the head whose attention in the teacher varies most.

  None where the models' heads cannot be compared, or there is nothing to compare.

  Args:
    folder: of the run, whose intermediate stage has the layer map.
    models: teacher and student.
    rows: token rows.
    tokenizer: that they are from.
  """
  if not models.teachers or not len(rows):
    return None
  teacher, student = models.reading or models.teachers[0], models.student
  if teacher.model.config.num_attention_heads != student.model.config.num_attention_heads:
    return None
  pairs = matched_layers(folder, student.model.config, teacher.model.config)
  ours, theirs = zip(*pairs, strict=True)
  batch = short_row(rows)
  shown = {"teacher": _probabilities(teacher.model, teacher.params, batch, theirs)}
  layers = {"teacher": theirs}
  if models.fresh is not None and models.fresh.config.num_hidden_layers == student.model.config.num_hidden_layers:
    fresh = student.model.clone(config=models.fresh.config)
    shown["fresh student"] = _probabilities(fresh, models.fresh.params, batch, ours)
  shown["distilled student"] = _probabilities(student.model, student.params, batch, ours)
  head = most_varied_head(shown["teacher"])
  return AttentionMaps(
    tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist()),
    {name: values[:, head] for name, values in shown.items()},
    layers | {name: ours for name in shown if name != "teacher"},
    head + 1,
  )


def matched_layers(folder: Path, student: EncoderConfig, teacher: EncoderConfig) -> list[tuple[int, int]]:
  """Returns up to four pairs of layers, the student's and the teacher's: of the layer map, else the last ones."""
  layers = stage_records.layer_map(folder)
  if len(layers) != student.num_hidden_layers or max(layers) > teacher.num_hidden_layers:
    try:
      layers = layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
    except ValueError:
      return [(student.num_hidden_layers, teacher.num_hidden_layers)]
  pairs = list(enumerate(layers, start=1))
  chosen = np.linspace(len(pairs) - 1, 0, min(_MOST_LAYERS, len(pairs))).astype(int)  # the last always
  return [pairs[number] for number in sorted(chosen.tolist())]


def short_row(rows: datasets.Dataset) -> dict[str, np.ndarray]:
  """Returns a batch of one row that is short enough to read; where all are long, of the shortest's beginning."""
  lengths = row_length(rows.select(range(min(len(rows), _LOOKED_AT))))
  row = rows[int(np.abs(lengths - _TOKENS).argmin())]
  names = [name for name in ("input_ids", "token_type_ids") if name in rows.column_names]
  return {name: np.asarray([_cut(row[name])], np.int32) for name in names}


def most_varied_head(probabilities: Float[np.ndarray, "layers heads query key"]) -> int:
  """Returns the head where what a token attends to depends most on the token: by mutual information."""
  mean = probabilities.mean(2, keepdims=True)
  ratio = np.log(np.maximum(probabilities, 1e-12)) - np.log(np.maximum(mean, 1e-12))
  return int((probabilities * ratio).sum(-1).mean((0, 2)).argmax())


def _cut(values: list[Any]) -> list[Any]:
  """Returns a row's first values and its last one, which is the end of the text."""
  return values if len(values) <= _MOST_TOKENS else [*values[: _MOST_TOKENS - 1], values[-1]]


def _probabilities(
  model: TaskModel, params: Any, batch: dict[str, np.ndarray], layers: tuple[int, ...]
) -> Float[np.ndarray, "layers heads query key"]:
  wanted = tuple(sorted(set(layers)))

  def probabilities(params: Any, batch: Any) -> list[jax.Array]:
    outputs: Any = model.apply({"params": params}, batch, score_layers=wanted)
    return [jax.nn.softmax(scores[0]) for scores in outputs.attention_scores]

  by_layer = dict(zip(wanted, jax.device_get(jax.jit(probabilities)(params, batch)), strict=True))
  return np.stack([by_layer[layer] for layer in layers])

"""Pictures of runs, as PNG files that stay legible on a phone."""

from tinybert_jax.pipeline.figures.attention import AttentionMaps, attention_maps
from tinybert_jax.pipeline.figures.losses import (
  History,
  general_losses,
  loss_terms,
  masked_losses,
  stage_losses,
)
from tinybert_jax.pipeline.figures.results import (
  GOAL,
  confused_classes,
  confusion,
  predicted_values,
  score_against_cost,
)

__all__ = [
  "GOAL",
  "AttentionMaps",
  "History",
  "attention_maps",
  "confused_classes",
  "confusion",
  "general_losses",
  "loss_terms",
  "masked_losses",
  "predicted_values",
  "score_against_cost",
  "stage_losses",
]

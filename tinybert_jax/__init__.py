"""TinyBERT in JAX: distil a BERT into a small, fast student.

Names are imported when they are first used, so `import tinybert_jax` costs little.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from tinybert_jax.data.batches import tokenize
  from tinybert_jax.distillation.directions import cosine_loss, pooled_loss
  from tinybert_jax.distillation.inherited import fit_projections, inherit
  from tinybert_jax.distillation.layer_map import layer_map
  from tinybert_jax.distillation.losses import (
    WeightedSum,
    attention_loss,
    embedding_loss,
    hidden_loss,
    logit_loss,
    prediction_loss,
  )
  from tinybert_jax.distillation.objectives import (
    fine_tuning,
    initialize_projections,
    intermediate_distillation,
    prediction_distillation,
    total_loss,
  )
  from tinybert_jax.distillation.relations import distribution_loss, relation_loss
  from tinybert_jax.errors import InputError, RunStopped
  from tinybert_jax.models.config import PRESETS, EncoderConfig, load_config
  from tinybert_jax.models.encoder import (
    Encoder,
    MaskedLanguageModel,
    Outputs,
    SequenceClassifier,
    count_parameters,
    initialize,
  )
  from tinybert_jax.models.model_card import ModelCard
  from tinybert_jax.models.pretrained import Pretrained, load_pretrained, load_tokenizer, save_pretrained
  from tinybert_jax.models.sentence_directories import load_sentence_encoder, save_sentence_encoder
  from tinybert_jax.models.sentence_encoder import SentenceEncoder
  from tinybert_jax.pipeline.distil import distil_task
  from tinybert_jax.pipeline.export import export_model
  from tinybert_jax.pipeline.predictions import predict_table
  from tinybert_jax.pipeline.web_page import export_page
  from tinybert_jax.training.evaluate import predict
  from tinybert_jax.training.fit import Recipe, fit
  from tinybert_jax.training.optim import adamw, schedule
  from tinybert_jax.training.steps import (
    TrainState,
    create_state,
    jit_update,
    make_update,
    mesh_update,
    pmap_update,
    random_key,
  )

__version__ = "0.2.0"

_NAMES = {
  "data.batches": ("tokenize",),
  "distillation.directions": ("cosine_loss", "pooled_loss"),
  "distillation.inherited": ("fit_projections", "inherit"),
  "distillation.layer_map": ("layer_map",),
  "distillation.losses": (
    "WeightedSum",
    "attention_loss",
    "embedding_loss",
    "hidden_loss",
    "logit_loss",
    "prediction_loss",
  ),
  "distillation.objectives": (
    "fine_tuning",
    "initialize_projections",
    "intermediate_distillation",
    "prediction_distillation",
    "total_loss",
  ),
  "distillation.relations": ("distribution_loss", "relation_loss"),
  "errors": ("InputError", "RunStopped"),
  "models.config": ("PRESETS", "EncoderConfig", "load_config"),
  "models.encoder": (
    "Encoder",
    "MaskedLanguageModel",
    "Outputs",
    "SequenceClassifier",
    "count_parameters",
    "initialize",
  ),
  "models.model_card": ("ModelCard",),
  "models.pretrained": ("Pretrained", "load_pretrained", "load_tokenizer", "save_pretrained"),
  "models.sentence_directories": ("load_sentence_encoder", "save_sentence_encoder"),
  "models.sentence_encoder": ("SentenceEncoder",),
  "pipeline.distil": ("distil_task",),
  "pipeline.export": ("export_model",),
  "pipeline.predictions": ("predict_table",),
  "pipeline.web_page": ("export_page",),
  "training.evaluate": ("predict",),
  "training.fit": ("Recipe", "fit"),
  "training.optim": ("adamw", "schedule"),
  "training.steps": (
    "TrainState",
    "create_state",
    "jit_update",
    "make_update",
    "mesh_update",
    "pmap_update",
    "random_key",
  ),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
  if name not in _MODULES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted([*globals(), *__all__])

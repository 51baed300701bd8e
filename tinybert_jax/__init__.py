"""TinyBERT in JAX: distil a BERT into a small, fast student."""

from tinybert_jax.config import PRESETS, EncoderConfig, load_config
from tinybert_jax.distill import (
  fine_tuning,
  initialize_projections,
  intermediate_distillation,
  prediction_distillation,
  total_loss,
)
from tinybert_jax.errors import InputError, RunStopped
from tinybert_jax.layer_map import layer_map
from tinybert_jax.losses import WeightedSum, attention_loss, embedding_loss, hidden_loss, logit_loss, prediction_loss
from tinybert_jax.model import (
  Encoder,
  MaskedLanguageModel,
  Outputs,
  SequenceClassifier,
  count_parameters,
  initialize,
)
from tinybert_jax.pretrained import Pretrained, load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.steps import TrainState, create_state, jit_update, make_update, mesh_update, pmap_update

__version__ = "0.1.0"

__all__ = [
  "PRESETS",
  "Encoder",
  "EncoderConfig",
  "InputError",
  "MaskedLanguageModel",
  "Outputs",
  "Pretrained",
  "RunStopped",
  "SequenceClassifier",
  "TrainState",
  "WeightedSum",
  "attention_loss",
  "count_parameters",
  "create_state",
  "embedding_loss",
  "fine_tuning",
  "hidden_loss",
  "initialize",
  "initialize_projections",
  "intermediate_distillation",
  "jit_update",
  "layer_map",
  "load_config",
  "load_pretrained",
  "load_tokenizer",
  "logit_loss",
  "make_update",
  "mesh_update",
  "pmap_update",
  "prediction_distillation",
  "prediction_loss",
  "save_pretrained",
  "total_loss",
]

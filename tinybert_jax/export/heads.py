"""What a model gives, as ONNX nodes behind its encoder: one row a class of models."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.export.embeddings import Inputs
from tinybert_jax.export.graph import Graph, Value
from tinybert_jax.export.layers import activate, layer_norm
from tinybert_jax.export.pooling import add_sentence, mean
from tinybert_jax.export.weights import dense, similarities
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import (
  Encoder,
  MaskedLanguageModel,
  SequenceClassifier,
  SpanClassifier,
  TokenClassifier,
)
from tinybert_jax.models.finished import AnyModel
from tinybert_jax.models.sentence_encoder import SentenceEncoder


@dataclasses.dataclass(frozen=True)
class Head:
  """How a class of models ends.

  Attributes:
    add: adds the model's outputs, from the encoder's last hidden states, B×L×D; or B×1×D, see `reads_first`.
    within: the name of the encoder among the model's modules; "" where the model is the encoder.
    reads_first: whether a model of this configuration reads the last hidden state of the first token alone.
    as_in_jax: makes of the outputs what the Flax module gives as logits.
  """

  add: Callable[[Graph, EncoderConfig, Value, Inputs], None]
  within: str = "encoder"
  reads_first: Callable[[EncoderConfig], bool] = lambda config: False
  as_in_jax: Callable[[Sequence[np.ndarray]], np.ndarray] = lambda outputs: outputs[0]


def head_of(model_class: type[AnyModel]) -> Head:
  """Returns the row of a class of models; InputError for one that has none."""
  if model_class not in _HEADS:
    raise InputError(
      f"a {model_class.__name__} cannot be exported; there are {', '.join(one.__name__ for one in _HEADS)}"
    )
  return _HEADS[model_class]


def _hidden_states(graph: Graph, config: EncoderConfig, hidden: Value, inputs: Inputs) -> None:
  graph.output("last_hidden_state", hidden, ("batch", "length", config.hidden_size))


def _reads_all(config: EncoderConfig) -> bool:
  return getattr(config.settings, "classifier_pooling", "cls") == "mean"


def _classify(graph: Graph, config: EncoderConfig, hidden: Value, inputs: Inputs) -> None:
  pooled = mean(graph, hidden, inputs.mask) if _reads_all(config) else graph.node("Squeeze", hidden, graph.whole(1))
  if config.family.pooler:
    with graph.at("encoder"):
      pooled = graph.node("Tanh", dense(graph, "pooler", pooled))
  else:
    pooled = _below(graph, config, pooled)
  graph.output("logits", dense(graph, "classifier", pooled, whole=True), ("batch", config.num_labels))


def _below(graph: Graph, config: EncoderConfig, x: Value) -> Value:
  """Adds the dense layer below a classifier, where the model has one, and its LayerNorm."""
  if not graph.has("pre_classifier/kernel"):
    return x
  x = activate(graph, config.pooled_activation, dense(graph, "pre_classifier", x))
  return layer_norm(graph, config, "pre_classifier_norm", x) if graph.has("pre_classifier_norm/scale") else x


def _classify_tokens(graph: Graph, config: EncoderConfig, hidden: Value, inputs: Inputs) -> None:
  logits = dense(graph, TokenClassifier.layer, _below(graph, config, hidden), whole=True)
  graph.output("logits", logits, ("batch", "length", config.num_labels))


def _mark_spans(graph: Graph, config: EncoderConfig, hidden: Value, inputs: Inputs) -> None:
  logits = dense(graph, SpanClassifier.layer, _below(graph, config, hidden), whole=True)
  ends = graph.nodes("Split", logits, graph.whole(1, 1), outputs=2, axis=-1)
  for name, value in zip(("start_logits", "end_logits"), ends, strict=True):
    graph.output(name, graph.node("Squeeze", value, graph.whole(-1)), ("batch", "length"))


def _predict_words(graph: Graph, config: EncoderConfig, hidden: Value, inputs: Inputs) -> None:
  changed = activate(graph, config.transform_activation, dense(graph, "transform", hidden))
  changed = layer_norm(graph, config, "transform_norm", changed)
  with graph.at("encoder"), graph.at("embeddings"):
    logits = similarities(graph, "word_embeddings", changed)
  if graph.has("bias"):
    logits = graph.node("Add", logits, graph.parameter("bias"))
  graph.output("logits", logits, ("batch", "length", config.vocab_size))


def _embed_texts(graph: Graph, config: EncoderConfig, hidden: Value, inputs: Inputs) -> None:
  _hidden_states(graph, config, hidden, inputs)  # which sentence-transformers pools by itself
  add_sentence(graph, config, hidden, inputs.mask)


_HEADS: Mapping[type[AnyModel], Head] = {
  Encoder: Head(_hidden_states, within=""),
  SequenceClassifier: Head(_classify, reads_first=lambda config: not _reads_all(config)),
  TokenClassifier: Head(_classify_tokens),
  SpanClassifier: Head(_mark_spans, as_in_jax=lambda outputs: np.stack(outputs, axis=-1)),
  MaskedLanguageModel: Head(_predict_words),
  SentenceEncoder: Head(_embed_texts, as_in_jax=lambda outputs: outputs[1]),
}

"""What a kind of task puts on an encoder: the module, and the directories that it is loaded from and saved in."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Model, SequenceClassifier, SpanClassifier, TokenClassifier, initialize
from tinybert_jax.models.model_card import ModelCard
from tinybert_jax.models.pretrained import Pretrained, load_pretrained, save_pretrained
from tinybert_jax.models.sentence_directories import load_sentence_encoder, save_sentence_encoder
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import MEANS, SentenceHead
from tinybert_jax.models.tokenizer_type import Tokenizer


@runtime_checkable
class TaskModel(Protocol):
  """A Flax module of an encoder with a head, whose call on a batch gives `Outputs` with logits.

  The logits are B×C, numbers of each text; or B×L×C, numbers of each token. The parameters of the encoder are under
  the name `encoder`.
  """

  @property
  def config(self) -> EncoderConfig: ...

  @property
  def dtype(self) -> DTypeLike: ...

  @property
  def apply(self) -> Callable[..., Any]: ...

  @property
  def clone(self) -> Callable[..., Any]: ...


@runtime_checkable
class Head(Protocol):
  """A head: the pipeline knows a kind of task's models by nothing else.

  `ModelHead` serves heads that have a class in transformers. One whose directories hold other files, such as those of
  sentence-transformers, is another class of these three methods.
  """

  def module(self, config: EncoderConfig, dtype: DTypeLike = jnp.float32) -> TaskModel:
    """Returns the module of an encoder of that shape; `dtype` as for `Encoder`."""
    ...

  def load(self, name: str | os.PathLike, *, labels: Sequence[str] | None = None, finished: bool = False) -> Pretrained:
    """Returns the model in a directory, or of a hub id; arguments and errors as for `load_pretrained`."""
    ...

  def save(
    self,
    directory: str | os.PathLike,
    config: EncoderConfig,
    params: Mapping[str, Any],
    *,
    tokenizer: Tokenizer | None = None,
    description: str = "",
    card: ModelCard | None = None,
  ) -> None:
    """Writes a directory that other tools open; arguments and errors as for `save_pretrained`."""
    ...


@dataclasses.dataclass(frozen=True)
class ModelHead:
  """A head that has a class in transformers.

  Attributes:
    model_class: of the Flax module here.
    labels: what the classes are called, whatever a file calls them; None leaves that to the file.
  """

  model_class: type[Model]
  labels: tuple[str, ...] | None = None

  def module(self, config: EncoderConfig, dtype: DTypeLike = jnp.float32) -> TaskModel:
    return self.model_class(config, dtype)

  def load(self, name: str | os.PathLike, *, labels: Sequence[str] | None = None, finished: bool = False) -> Pretrained:
    return load_pretrained(name, self.model_class, labels=self.labels or labels, finished=finished)

  def save(
    self, directory: str | os.PathLike, config: EncoderConfig, params: Mapping[str, Any], **described: Any
  ) -> None:
    save_pretrained(directory, config, params, **described)


@dataclasses.dataclass(frozen=True)
class SentencesHead:
  """The head of sentence encoders, whose directories are those of sentence-transformers.

  Attributes:
    like: what a model does whose configuration does not say, see `EncoderConfig.sentence`.
    width: of the embeddings; a model of another gets a dense layer to it. None leaves each model its own.
  """

  like: SentenceHead = MEANS
  width: int | None = None
  save = staticmethod(save_sentence_encoder)

  def module(self, config: EncoderConfig, dtype: DTypeLike = jnp.float32) -> TaskModel:
    sentence = config.sentence or self.like
    if self.width is not None and sentence.width(config.hidden_size) != self.width:
      sentence = self.like.of_student(config.hidden_size, self.width)
    return SentenceEncoder(dataclasses.replace(config, sentence=sentence), dtype)

  def load(self, name: str | os.PathLike, *, labels: Sequence[str] | None = None, finished: bool = False) -> Pretrained:
    return load_sentence_encoder(name)


SENTENCES = SentencesHead()
SEQUENCES = ModelHead(SequenceClassifier)
TOKENS = ModelHead(TokenClassifier)
SPANS = ModelHead(SpanClassifier, ("start", "end"))


def on_encoder(
  head: Head, config: EncoderConfig, encoder_params: Mapping[str, Any] | None = None, seed: int = 0
) -> Pretrained:
  """Returns a model with a fresh head on the encoder; without its parameters all are drawn.

  Draws are of Glorot's scale, without which narrow students learn slowly; see `encoder.initialize`.
  """
  module = head.module(config)
  params = initialize(module, jax.random.key(seed), kernels="glorot")
  if encoder_params is not None:
    params["encoder"] = {name: encoder_params[name] for name in params["encoder"]}  # a head may have no pooler
  return Pretrained(module.config, params, ())  # a head may complete the configuration

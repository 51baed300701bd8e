"""What a sentence encoder does after its encoder: pooling, dense layers, normalisation; and what it puts before a text.

The names are those of sentence-transformers, whose directories `sentence_directories` reads and writes.
"""

import dataclasses
from typing import Literal, NamedTuple, get_args

from tinybert_jax.errors import InputError
from tinybert_jax.models.activations import ACTIVATIONS

Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


class DenseLayer(NamedTuple):
  """A dense layer on a text's vector.

  Attributes:
    features: numbers that it gives.
    activation: after it, a name of `activations`.
    bias: whether it has one.
  """

  features: int
  activation: str = "linear"
  bias: bool = True


@dataclasses.dataclass(frozen=True)
class SentenceHead:
  """How hidden states become an embedding; hashable, as a part of `EncoderConfig`.

  Attributes:
    pooling: how the last hidden states of a text become one vector; those of several ways stand behind each other.
    layers: what is done to that vector, in this order: dense layers, and the division by its norm.
    max_length: tokens that a text is cut to; None for as many as the encoder has positions for.
    prompts: names, and what is put before a text under that name, such as ("query", "query: ").
    default_prompt: name of the prompt that texts get where nobody names one; None for none.
    includes_prompt: whether pooling reads the tokens of a prompt.
    similarity: name of the function that compares two embeddings; None where a directory names none.
  """

  pooling: tuple[Pooling, ...] = ("mean",)
  layers: tuple[DenseLayer | Literal["normalize"], ...] = ("normalize",)
  max_length: int | None = None
  prompts: tuple[tuple[str, str], ...] = ()
  default_prompt: str | None = None
  includes_prompt: bool = True
  similarity: str | None = "cosine"

  def __post_init__(self):
    if not self.pooling or any(one not in get_args(Pooling) for one in self.pooling):
      raise InputError(f"pooling {list(self.pooling)}: there are {', '.join(get_args(Pooling))}")
    for layer in self.dense:
      if layer.features < 1 or layer.activation not in ACTIVATIONS:
        raise InputError(f"{layer}: a positive number of features and one of {', '.join(ACTIVATIONS)} are needed")

  @property
  def dense(self) -> tuple[DenseLayer, ...]:
    """The dense layers alone."""
    return tuple(layer for layer in self.layers if isinstance(layer, DenseLayer))

  @property
  def normalizes(self) -> bool:
    """Whether embeddings have the norm 1."""
    return self.layers[-1:] == ("normalize",)

  def width(self, hidden_size: int) -> int:
    """Returns the numbers in an embedding."""
    return self.dense[-1].features if self.dense else len(self.pooling) * hidden_size

  def inputs(self, hidden_size: int) -> tuple[int, ...]:
    """Returns the numbers that each dense layer reads."""
    widths = (len(self.pooling) * hidden_size, *(layer.features for layer in self.dense))
    return widths[: len(self.dense)]

  def of_student(self, hidden_size: int, width: int) -> "SentenceHead":
    """Returns the head of a student whose embeddings are compared with those of this one.

    Where a new width needs it, it begins with a dense layer; a head with dense layers takes vectors of any width.

    Args:
      hidden_size: the student's.
      width: of its embeddings.
    """
    if self.width(hidden_size) == width:
      return self
    return dataclasses.replace(self, layers=(DenseLayer(width), *self.layers))

  def prompt(self, name: str | None = None) -> str:
    """Returns what is put before a text: the prompt of that name, by default the default one.

    Raises:
      InputError: no prompt of that name, or one whose tokens pooling would have to leave out.
    """
    name = self.default_prompt if name is None else name
    if name is None:
      return ""
    prompts = dict(self.prompts)
    if name not in prompts:
      raise InputError(f"no prompt {name!r}; there {'are ' + ', '.join(prompts) if prompts else 'is none'}")
    if prompts[name] and not self.includes_prompt:
      raise InputError(f"prompt {name!r}: pooling without a prompt's tokens (include_prompt) is not supported")
    return prompts[name]


MEANS = SentenceHead()  # the mean of the hidden states, of norm 1

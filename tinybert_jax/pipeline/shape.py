"""A student's shape that is as much smaller and faster than its teacher as is asked for, on this machine."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize, parameter_shapes
from tinybert_jax.pipeline.students import shape_in_words
from tinybert_jax.training.evaluate import compare_costs

SMALLER, FASTER = 7.5, 9.4  # the paper's TinyBERT4 against BERT-base
_TURNS = 50
_TO_SPARE = 1.1  # timings vary by as much, and the student is measured again at the end
_LEAST_TOKENS = 8_000  # of a vocabulary that is trimmed for the sake of size; fewer cost words that texts need


class Choice(NamedTuple):
  """A student's shape, why it was chosen, as a sentence, and the most tokens it may have; None for all."""

  config: EncoderConfig
  reason: str
  vocabulary: int | None = None


def choose_shape(
  teacher: EncoderConfig,
  smaller: float,
  faster: float,
  length: int,
  dtype: DTypeLike = jnp.float32,
  like: EncoderConfig | None = None,
  may_trim: bool = False,
) -> Choice:
  """Returns the widest student of the paper's layer ratio, or of fewer layers, that is so much smaller and faster.

  It is of the teacher's family, with its heads, vocabulary and labels, feed-forward layers of the family's usual width
  (four times its own in BERT), and no dropout: so small a student underfits before it overfits. Its layers divide the
  teacher's, for the uniform layer map. Latency is measured in turns on one sequence of `length` tokens, with random
  parameters; the ratio that is asked for has to be passed by a tenth.

  Args:
    teacher: its shape.
    smaller: the least ratio of the teacher's parameters to the student's.
    faster: the least ratio of the teacher's latency to the student's.
    length: of a sequence, in tokens.
    dtype: of the inputs of matrix products.
    like: the teacher's shape with the student's vocabulary, where that is another.
    may_trim: whether the student may have fewer tokens than `like`, 8,000 at least, to be as small as is asked for.
  """
  like = like or teacher
  full = like.vocab_size
  if may_trim:
    like = dataclasses.replace(like, vocab_size=min(full, _LEAST_TOKENS))

  def choice(ratio: float, config: EncoderConfig, but: str = "") -> Choice:
    config = dataclasses.replace(config, vocab_size=min(full, config.vocab_size + _tokens_of_room(config, most)))
    tokens = config.vocab_size if config.vocab_size < full else None
    return Choice(config, _reason(teacher, config, ratio, length, but), tokens)

  layers = teacher.num_hidden_layers
  divisors = [number for number in range(layers, 0, -1) if layers % number == 0 and number <= max(1, layers // 3)]
  most = size(teacher) / smaller
  tried = []
  for number in divisors:
    widths = [width for width in _widths(teacher) if size(_student(like, number, width)) <= most]
    while widths:
      config = _student(like, number, widths[0])
      ratio = _times_faster(teacher, config, length, jnp.dtype(dtype))
      tried.append((ratio, config))
      if ratio >= _TO_SPARE * faster:
        return choice(ratio, config)
      # Time falls less than linearly with the width, so this rarely goes too far.
      widths = [width for width in widths[1:] if width <= widths[0] * max(0.5, min(0.95, ratio / faster / _TO_SPARE))]
  if not tried:
    config = _student(like, divisors[-1], teacher.width_step)
    tried = [(_times_faster(teacher, config, length, jnp.dtype(dtype)), config)]
  ratio, config = max(tried, key=lambda one: one[0])
  but = f"; no shape reaches {smaller:g} and {faster:g}"
  return choice(ratio, config, but)


def size(config: EncoderConfig) -> int:
  """Returns the number of a classifier's parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(parameter_shapes(SequenceClassifier(config))))


def _tokens_of_room(config: EncoderConfig, most: float) -> int:
  """Returns how many more tokens a student of at most `most` parameters has room for."""
  one = size(dataclasses.replace(config, vocab_size=config.vocab_size + 1)) - size(config)
  return max(0, int((most - size(config)) / one))


def _widths(teacher: EncoderConfig) -> list[int]:
  return list(range(teacher.hidden_size, 0, -teacher.width_step))


def _student(teacher: EncoderConfig, layers: int, width: int) -> EncoderConfig:
  config = teacher.resized(layers, width)
  return dataclasses.replace(config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@functools.cache
def _times_faster(teacher: EncoderConfig, student: EncoderConfig, length: int, dtype: np.dtype) -> float:
  models = {
    name: (SequenceClassifier(config, dtype), initialize(SequenceClassifier(config), jax.random.key(0)))
    for name, config in (("teacher", teacher), ("student", student))
  }
  costs = compare_costs(models, length=length, repeats=_TURNS)
  return costs["teacher"].latency_ms / costs["student"].latency_ms


def _reason(teacher: EncoderConfig, student: EncoderConfig, ratio: float, length: int, but: str) -> str:
  return (
    f"{shape_in_words(student)}: {size(teacher) / size(student):.1f} times smaller "
    f"than the teacher, and {ratio:.1f} times faster on one sequence of {length} tokens here{but}"
  )

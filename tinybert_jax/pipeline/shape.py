"""A student's shape that is as much smaller and faster than its teacher as is asked for, on this machine."""

import bisect
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, initialize, parameter_shapes
from tinybert_jax.pipeline.students import shape_in_words
from tinybert_jax.training.evaluate import compare_costs

SMALLER, FASTER = 7.5, 9.4  # the paper's TinyBERT4 against BERT-base
MEASURED_LENGTH = 128  # tokens at most
_TURNS = 50
TO_SPARE = 1.1  # timings vary by as much, and the student is measured again at the end
# Of the family's usual width. In equal time hidden states that are wider keep more: of a MiniLM on STS-B, after one
# short pass of each stage, 2 layers of 204 with 408 had a score of 0.711, of 228 with 228 0.710, of 180 with 720 0.689.
FEED_FORWARD = 0.5
LEAST_TOKENS = 8_000  # of a vocabulary that is trimmed for the sake of size; fewer cost words that texts need


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

  It is of the teacher's family, with its heads, vocabulary and labels, feed-forward layers of half the family's usual
  width (twice its own in BERT), and no dropout: so small a student underfits before it overfits. Its layers divide the
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
    like = dataclasses.replace(like, vocab_size=min(full, LEAST_TOKENS))

  def choice(ratio: float, config: EncoderConfig, but: str = "") -> Choice:
    config = dataclasses.replace(config, vocab_size=min(full, config.vocab_size + tokens_of_room(config, most)))
    tokens = config.vocab_size if config.vocab_size < full else None
    return Choice(config, _reason(teacher, config, ratio, length, but), tokens)

  layers = teacher.num_hidden_layers
  divisors = [number for number in range(layers, 0, -1) if layers % number == 0 and number <= max(1, layers // 3)]
  most = size(teacher) / smaller

  tried = []
  for number in divisors:
    shapes = [student(like, number, width, FEED_FORWARD) for width in widths(teacher)]
    ratio, config = widest(
      small_enough(shapes, most),
      lambda config: times_faster(teacher, config, length, dtype),
      TO_SPARE * faster,
    )
    if config is not None and ratio >= TO_SPARE * faster:
      return choice(ratio, config)
    tried += [] if config is None else [(ratio, config)]
  if not tried:
    config = student(like, divisors[-1], teacher.width_step, FEED_FORWARD)
    tried = [(times_faster(teacher, config, length, dtype), config)]
  ratio, config = max(tried, key=lambda one: one[0])
  return choice(ratio, config, f"; no shape reaches {smaller:g} and {faster:g}")


def widest(
  shapes: Sequence[EncoderConfig], times_faster: Callable[[EncoderConfig], float], wanted: float
) -> tuple[float, EncoderConfig | None]:
  """Returns the first of shapes, ordered from wide to narrow, that is `wanted` times faster, and how much it is.

  Not all are measured. Where none is fast enough, that is the last that was; None of no shapes.
  """
  ratio, config = 0.0, None
  while shapes and ratio < wanted:
    config = shapes[0]
    ratio = times_faster(config)
    # Time falls at most with the square of the width, so this rarely goes too far.
    most = config.hidden_size * max(0.5, min(0.97, math.sqrt(ratio / wanted)))
    shapes = [shape for shape in shapes[1:] if shape.hidden_size <= most]
  return ratio, config


def small_enough(shapes: Sequence[EncoderConfig], most: float) -> Sequence[EncoderConfig]:
  """Returns those of shapes, ordered from wide to narrow, that have at most so many parameters."""
  return shapes[bisect.bisect_left(shapes, True, key=lambda config: size(config) <= most) :]


@functools.cache
def size(config: EncoderConfig) -> int:
  """Returns the number of a classifier's parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(parameter_shapes(SequenceClassifier(config))))


def tokens_of_room(config: EncoderConfig, most: float) -> int:
  """Returns how many more tokens a student of at most `most` parameters has room for."""
  one = size(dataclasses.replace(config, vocab_size=config.vocab_size + 1)) - size(config)
  return max(0, int((most - size(config)) / one))


def widths(teacher: EncoderConfig) -> list[int]:
  """Returns the widths of students, from the teacher's own down."""
  return list(range(teacher.hidden_size, 0, -teacher.width_step))


def student(teacher: EncoderConfig, layers: int, width: int, feed_forward: float = 1.0) -> EncoderConfig:
  """Returns a student's shape, without dropout.

  Its feed-forward layers have a share of the family's usual width, and are no wider than the teacher's.
  """
  config = teacher.resized(layers, width)
  return dataclasses.replace(
    config,
    intermediate_size=max(1, min(int(feed_forward * config.intermediate_size), teacher.intermediate_size)),
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )


def latency_ms(config: EncoderConfig, length: int, dtype: DTypeLike) -> float:
  """Returns the median milliseconds of a classifier of that shape for one sequence."""
  model = SequenceClassifier(config, jnp.dtype(dtype))
  return compare_costs({"model": (model, _random(config))}, length=length, repeats=_TURNS)["model"].latency_ms


def times_faster(teacher: EncoderConfig, student: EncoderConfig, length: int, dtype: DTypeLike) -> float:
  """Returns the ratio of the teacher's latency to the student's; measured once for the same shapes."""
  return _times_faster(teacher, student, length, jnp.dtype(dtype))


@functools.cache
def _times_faster(teacher: EncoderConfig, student: EncoderConfig, length: int, dtype: np.dtype) -> float:
  models = {
    name: (SequenceClassifier(config, dtype), _random(config))
    for name, config in (("teacher", teacher), ("student", student))
  }
  costs = compare_costs(models, length=length, repeats=_TURNS)
  return costs["teacher"].latency_ms / costs["student"].latency_ms


def _random(config: EncoderConfig) -> dict[str, Any]:
  return initialize(SequenceClassifier(config), jax.random.key(0))


def _reason(teacher: EncoderConfig, student: EncoderConfig, ratio: float, length: int, but: str) -> str:
  return (
    f"{shape_in_words(student)}: {size(teacher) / size(student):.1f} times smaller "
    f"than the teacher, and {ratio:.1f} times faster on one sequence of {length} tokens here{but}"
  )

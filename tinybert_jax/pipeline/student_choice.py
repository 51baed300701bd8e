"""The student that the options of a run name, or whose shape they leave to be chosen."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import shape, students
from tinybert_jax.pipeline.distil_settings import StudentOptions
from tinybert_jax.pipeline.plan import planned
from tinybert_jax.training.hosts import say
from tinybert_jax.training.precision import as_inputs


class Student(NamedTuple):
  """A student's shape, its encoder's parameters where it has some, and a sentence on it.

  `vocabulary` is the most tokens it may have to be as small as is asked for; None for all that its shape has.
  """

  config: EncoderConfig
  params: dict[str, Any] | None
  reason: str
  vocabulary: int | None = None


def choose_student(
  options: StudentOptions,
  like: EncoderConfig,
  own: Tokenizer | None,
  length: int,
  *,
  out: Path,
  seed: int,
  dtype: DTypeLike = jnp.float32,
  trimmed: EncoderConfig | None = None,
  may_trim: bool = False,
) -> Student:
  """Returns the student that the options name, or else one of the shape that they ask for.

  Args:
    options: of the run.
    like: the teacher's shape.
    own: the tokenizer of a student that reads other tokens than the teacher.
    length: of a row, in tokens.
    out: folder of the run, which keeps what timings decided.
    seed: of parameters that a student's file lacks.
    dtype: of the inputs of matrix products, in which shapes are measured.
    trimmed: the teacher's shape with the vocabulary that the student gets after this, where that is another.
    may_trim: whether a shape may be chosen that is as small as is asked for with fewer tokens alone.
  """
  if options.student:
    config, params = students.load_student(
      options.student, options.student_layers, options.student_dropout, like, own, seed
    )
    return Student(config, params, students.in_words(options.student, config))
  tokens = None
  if options.student_width or options.student_layers:
    config, reason = _asked_shape(options, like)
  else:
    config, reason, tokens = _measured_shape(options, like, length, out, dtype, trimmed, may_trim)
  rate = options.student_dropout or 0.0
  config = dataclasses.replace(config, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate)
  return Student(config, None, reason, tokens)


def _asked_shape(options: StudentOptions, like: EncoderConfig) -> tuple[EncoderConfig, str]:
  layers = options.student_layers or max(1, like.num_hidden_layers // 3)
  heads, step = like.num_attention_heads, like.width_step
  width = options.student_width or max(1, like.hidden_size // 2 // step) * step
  if width % step:
    pairs = "" if step == heads else ", and of 2 in each, as its positions turn pairs"
    raise InputError(
      f"--student-width {width}: it must be a multiple of the teacher's {heads} attention heads{pairs}, such as "
      f"{max(1, round(width / step)) * step}"
    )
  config = like.resized(layers, width)
  return config, students.shape_in_words(config)


def _measured_shape(
  options: StudentOptions,
  like: EncoderConfig,
  length: int,
  out: Path,
  dtype: DTypeLike,
  trimmed: EncoderConfig | None,
  may_trim: bool,
) -> shape.Choice:
  """Returns the shape that is small and fast enough; the one that an earlier run in `out` chose, as timings vary."""
  is_default = options.smaller is None and options.faster is None
  smaller = options.smaller or (shape.SMALLER if is_default else 1.0)
  faster = options.faster or (shape.FASTER if is_default else 1.0)

  def choose() -> dict[str, Any]:
    say("student  is chosen by measuring shapes on this machine")
    choice = shape.choose_shape(like, smaller, faster, min(shape.MEASURED_LENGTH, length), dtype, trimmed, may_trim)
    names = ("num_hidden_layers", "hidden_size", "intermediate_size")
    found = {name: getattr(choice.config, name) for name in names}
    return {**found, "reason": choice.reason, "vocabulary": choice.vocabulary}

  key = ["shape", repr(like), smaller, faster, length, *as_inputs(dtype).values()]
  found = planned(out, [*key, trimmed and trimmed.vocab_size, may_trim], choose)
  reason, tokens = found.pop("reason"), found.pop("vocabulary")
  return shape.Choice(dataclasses.replace(like, **found, classifier_dropout=None), reason, tokens)

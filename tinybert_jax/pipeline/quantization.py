"""Which way of writing weights as 8-bit integers loses little, found by trying each."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.export.quantization import Quantization
from tinybert_jax.export.session import Session
from tinybert_jax.pipeline.calibration import Calibration

_SAME_SIZE = 1.03  # times; of sizes that differ by less, the one that loses least is kept


class Variant(NamedTuple):
  """A way of writing weights as integers, in words and as `Quantization`."""

  name: str
  quantization: Quantization


@dataclasses.dataclass(frozen=True)
class Tried:
  """What a variant came to.

  Attributes:
    name: of the variant.
    bytes: of its file.
    agreement: with the whole model, see `Calibration.agreement`.
    score: in points; None without labels.
    loss: points that it loses, of the score or, without labels, of the agreement.
  """

  name: str
  bytes: int
  agreement: float
  score: float | None
  loss: float

  def __str__(self) -> str:
    points = "" if self.score is None else f"score {self.score:.2f}, "
    return f"{self.bytes / 1e6:.1f} MB, {points}agreement {self.agreement:.4f}, loses {self.loss:.2f} points"


class Chosen(NamedTuple):
  """The file of the variant that is kept, what it came to, and all that were tried."""

  model: bytes
  kept: Tried
  tried: tuple[Tried, ...]


def variants(layers: int, inputs: Mapping[str, np.ndarray]) -> list[Variant]:
  """Returns what is tried on this processor.

  Args:
    layers: of the model.
    inputs: the largest inputs of products, see `Quantization`.
  """
  reduced = not _multiplies_integers()

  def variant(scales: str, rest: str, *kept: int, balanced: bool = False) -> Variant:
    beginnings = tuple(f"{encoder}layers_{number}/" for number in kept for encoder in ("encoder/", ""))
    quantization = Quantization(scales == "channel", reduced, beginnings, inputs if balanced else None)
    return Variant(f"{'7 bits, ' * reduced}a scale for each {scales}{rest}", quantization)

  return [
    variant("tensor", ""),
    variant("channel", ""),
    variant("channel", ", inputs balanced", balanced=True),
    variant("channel", ", inputs balanced, first layer whole", 0, balanced=True),
    variant("channel", ", inputs balanced, last layer whole", layers - 1, balanced=True),
  ]


def choose(
  build: Callable[[Quantization], bytes],
  whole: bytes,
  calibration: Calibration,
  inputs: Mapping[str, np.ndarray],
  max_loss: float,
  report: Callable[[str], None],
) -> Chosen:
  """Returns the best variant, see `smallest`, after trying all.

  Args:
    build: makes the file of a variant.
    whole: the file in float32.
    calibration: what is measured on.
    inputs: the largest inputs of products, see `Quantization`.
    max_loss: points of the score that may be lost; without labels, of the agreement.
    report: is told what each variant came to.

  Raises:
    InputError: every variant loses more.
  """
  answers = calibration.answers(Session(whole))
  score = calibration.score(answers) if calibration.has_labels else None
  report(f"{'float32':62} {len(whole) / 1e6:.1f} MB" + ("" if score is None else f", score {score:.2f}"))
  tried: dict[Tried, Variant] = {}
  for variant in variants(calibration.config.num_hidden_layers, inputs):
    one = _try(variant, build(variant.quantization), calibration, answers, score)
    report(f"{one.name:62} {one}")
    tried[one] = variant
  kept = smallest(tuple(tried), max_loss)
  return Chosen(build(tried[kept].quantization), kept, tuple(tried))


def smallest(tried: Sequence[Tried], max_loss: float) -> Tried:
  """Returns the smallest that loses no more than it may; of sizes within 3%, the one that loses least, and of
  these the one that agrees most.

  Raises:
    InputError: every one loses more.
  """
  good = [one for one in tried if one.loss <= max_loss]
  if not good:
    least = min(tried, key=lambda one: one.loss)
    raise InputError(
      f"--int8: every way of writing weights as integers loses more than the {max_loss:g} points of --max-loss; the "
      f"least, {least.name}, loses {least.loss:.2f}; nothing is written"
    )
  size = min(one.bytes for one in good)
  return min(
    (one for one in good if one.bytes <= _SAME_SIZE * size), key=lambda one: (one.loss, -one.agreement, one.bytes)
  )


def _try(variant: Variant, model: bytes, calibration: Calibration, whole: Any, score: float | None) -> Tried:
  answers = calibration.answers(Session(model))
  agreement = calibration.agreement(answers, whole)
  if score is None:
    return Tried(variant.name, len(model), agreement, None, 100 * (1 - agreement))
  own = calibration.score(answers)
  return Tried(variant.name, len(model), agreement, own, score - own)


def _multiplies_integers() -> bool:
  """Returns whether this processor adds up products of 8-bit integers in 32 bits, as VNNI and ARM's dotprod do."""
  try:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
  except OSError:
    return True  # elsewhere it is a Mac, or not known
  words: Sequence[str] = text.split()
  return not {"avx2", "sse4_1"} & set(words) or bool({"avx512_vnni", "avx_vnni", "amx_int8"} & set(words))

"""Which teacher layer each student layer learns from: the function g(m) of the paper's Section 3.1."""

from collections.abc import Sequence

import numpy as np

LayerMap = tuple[int, ...]


def uniform(student_layers: int, teacher_layers: int) -> LayerMap:
  """Returns g(m) = m·N/M for m = 1…M: every (N/M)-th teacher layer, the paper's choice."""
  if teacher_layers % student_layers:
    raise ValueError(
      f"a uniform layer map needs teacher layers in a multiple of the student's: {teacher_layers} is no "
      f"multiple of {student_layers}; use 'top', 'bottom' or an explicit list"
    )
  return tuple(m * teacher_layers // student_layers for m in range(1, student_layers + 1))


def top(student_layers: int, teacher_layers: int) -> LayerMap:
  """Returns g(m) = m + N − M: the teacher's last M layers."""
  return tuple(m + teacher_layers - student_layers for m in range(1, student_layers + 1))


def bottom(student_layers: int, teacher_layers: int) -> LayerMap:
  """Returns g(m) = m: the teacher's first M layers."""
  return tuple(range(1, student_layers + 1))


def _is_layer(number: object) -> bool:
  return isinstance(number, int | np.integer) and not isinstance(number, bool) and int(number) >= 1


NAMED = {"uniform": uniform, "top": top, "bottom": bottom}


def layer_map(spec: str | Sequence[int], student_layers: int, teacher_layers: int) -> LayerMap:
  """Returns the teacher layer of each student layer 1…M; layers count from 1, as in the paper.

  Args:
    spec: "uniform", "top", "bottom", or one teacher layer (1…N) for each student layer.
    student_layers: M.
    teacher_layers: N.

  Raises:
    ValueError: the map does not fit the two models.
  """
  for name, number in (("student_layers", student_layers), ("teacher_layers", teacher_layers)):
    if not _is_layer(number):
      raise ValueError(f"{name} {number!r}: it must be a whole number from 1")
  if isinstance(spec, str):
    if spec not in NAMED:
      raise ValueError(f"unknown layer map {spec!r}; there are {', '.join(NAMED)}, or a list of teacher layers")
    if student_layers > teacher_layers:
      raise ValueError(
        f"the {spec} layer map needs a teacher of at least {student_layers} layers, not {teacher_layers}"
      )
    return NAMED[spec](student_layers, teacher_layers)
  if len(spec) != student_layers:
    raise ValueError(f"layer map {list(spec)} names {len(spec)} teacher layers for {student_layers} student layers")
  wrong = [layer for layer in spec if not _is_layer(layer) or layer > teacher_layers]
  if wrong:
    raise ValueError(f"layer map {list(spec)} names {wrong}, and the teacher's layers are 1 to {teacher_layers}")
  return tuple(spec)

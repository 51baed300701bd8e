"""A step of general distillation in the best PyTorch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from experiments.benchmark.best_torch.model import Encoder, Student
from experiments.benchmark.best_torch.training import make_trainer

Step = Callable[[Tensor], Tensor]


def intermediate_loss(
  student: Student, teacher: Encoder, layers: Sequence[int], dtype: torch.dtype, ids: Tensor
) -> Tensor:
  """Returns the loss of embedding and Transformer layers, Equations 7 to 9, on full sequences.

  Args:
    student: in float32.
    teacher: in `dtype`.
    layers: the teacher's layer for each of the student's.
    dtype: of the matrix products.
    ids: B×L.
  """
  with torch.no_grad():
    their_hidden, their_scores = teacher(ids, layers)
  with torch.autocast(ids.device.type, dtype, enabled=dtype != torch.float32):
    our_hidden, our_scores = student(ids)
  ours = [*our_hidden, *our_scores]
  theirs = [*(their_hidden[n] for n in (0, *layers)), *their_scores]
  return sum(functional.mse_loss(x.float(), y.float()) for x, y in zip(ours, theirs, strict=True))


def make_step(
  student: Student, teacher: Encoder, layers: Sequence[int], dtype: torch.dtype, *, compiled: bool, example: Tensor
) -> tuple[Step, str]:
  """Returns the training step of ids B×L, which gives the loss, and how it runs: compiled or eager.

  Args:
    student: in float32, on the device; it is set to train mode.
    teacher: likewise; it is set to `dtype` and to evaluation.
    layers: the teacher's layer for each of the student's.
    dtype: of the matrix products.
    compiled: whether torch.compile is tried; where it fails, as without a C++ compiler on a CPU, the step is eager.
    example: ids of the shape that will come, which are compiled for.
  """
  teacher.to(dtype).eval()

  def loss_of(ids: Tensor) -> Tensor:
    return intermediate_loss(student, teacher, layers, dtype, ids)

  return make_trainer(student, loss_of, [[example]], compiled=compiled)

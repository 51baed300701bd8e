"""Both stages of task distillation in the best PyTorch, on padded rows; its losses are masked as ours."""

from collections.abc import Sequence

import torch
from torch import Tensor

from experiments.benchmark.best_torch.model import Classifier, Encoder, Student


def intermediate_loss(
  student: Student, teacher: Encoder, layers: Sequence[int], dtype: torch.dtype, ids: Tensor, mask: Tensor
) -> Tensor:
  """Returns the loss of embedding and Transformer layers, Equations 7 to 9, over tokens and pairs of tokens.

  Args:
    student: in float32.
    teacher: in `dtype`.
    layers: the teacher's layer for each of the student's.
    dtype: of the matrix products.
    ids: B×L.
    mask: B×L, True for a token; all False in a row that only fills the batch up.
  """
  with torch.no_grad():
    their_hidden, their_scores = teacher(ids, layers, mask)
  with torch.autocast(ids.device.type, dtype, enabled=dtype != torch.float32):
    our_hidden, our_scores = student(ids, mask)
  token = mask.float()
  tokens, pairs = token[..., None], (token[:, None, :, None] * token[:, None, None, :])
  ours, theirs = our_hidden, [their_hidden[n] for n in (0, *layers)]
  hidden = sum(_masked_error(x, y, tokens) for x, y in zip(ours, theirs, strict=True))
  return hidden + sum(_masked_error(x, y, pairs) for x, y in zip(our_scores, their_scores, strict=True))


def prediction_loss(
  student: Classifier, dtype: torch.dtype, ids: Tensor, mask: Tensor, weight: Tensor, targets: Tensor
) -> Tensor:
  """Returns the cross-entropy against the teacher's logits, Equation 10.

  Args:
    student: in float32.
    dtype: of the matrix products.
    ids: B×L.
    mask: B×L, True for a token.
    weight: of each row, B.
    targets: the teacher's logits, B×C.
  """
  with torch.autocast(ids.device.type, dtype, enabled=dtype != torch.float32):
    logits = student(ids, mask)
  error = -(torch.softmax(targets, dim=-1) * torch.log_softmax(logits, dim=-1)).sum(-1)
  return (error * weight).sum() / weight.sum()


def _masked_error(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
  """Returns the squared error, mean over what the mask keeps and all that it is broadcast over."""
  repeated = x.numel() // mask.numel()
  return ((x.float() - y.float()).square() * mask).sum() / (mask.sum() * repeated)

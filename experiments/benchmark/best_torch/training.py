"""How the best PyTorch trains and compiles."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def compile_or_not(
  function: Callable[..., Tensor],
  examples: Sequence[Sequence[Tensor]],
  *,
  compiled: bool,
  backward: bool,
) -> tuple[Callable[..., Tensor], str]:
  """Returns the function, compiled where that works, and how it runs: compiled or eager.

  Args:
    function: of tensors.
    examples: arguments of each shape that will come, which are compiled for.
    compiled: whether torch.compile is tried; where it fails, as without a C++ compiler on a CPU, all is eager.
    backward: whether the result's gradient will be taken, and is compiled too.
  """
  if not compiled:
    return function, "eager"
  torch._dynamo.config.recompile_limit = 64  # beyond eight shapes it would go on eager, in silence
  fast = torch.compile(function, dynamic=False)
  try:
    for example in examples:
      result = fast(*example)
      if backward:
        result.backward()
  except Exception as error:  # the compiler's, or of one of the programs and libraries that it calls
    return function, f"eager, as torch.compile failed: {type(error).__name__}"
  return fast, "compiled"


def make_trainer(
  student: nn.Module, loss_of: Callable[..., Tensor], examples: Sequence[Sequence[Tensor]], *, compiled: bool
) -> tuple[Callable[..., Tensor], str]:
  """Returns the training step, which gives the loss, and how it runs: compiled or eager.

  Args:
    student: in float32, on the device; it is set to train mode.
    loss_of: of tensors.
    examples: its arguments in each shape that will come.
    compiled: see `compile_or_not`.
  """
  student.train()
  decayed, undecayed = [], []
  for name, parameter in student.named_parameters():
    (undecayed if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
  groups = [{"params": decayed, "weight_decay": 0.01}, {"params": undecayed, "weight_decay": 0.0}]
  optimizer = torch.optim.AdamW(groups, lr=5e-5, eps=1e-6, fused=True)
  loss_of, how = compile_or_not(loss_of, examples, compiled=compiled, backward=True)

  def step(*arguments: Tensor) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(*arguments)
    loss.backward()
    nn.utils.clip_grad_norm_(student.parameters(), 1.0, foreach=True)
    optimizer.step()
    return loss.detach()

  step(*examples[0])
  return step, how

"""A step of general distillation in the best PyTorch we can write: ours must win by what JAX gives, not by what the
original leaves undone.

No dropout and no gradient graph in the teacher, scores of the mapped layers alone and fused attention in the others,
query, key and value in one product, no mask (sequences are full), a fused optimizer, `torch.compile`; with bfloat16 the
teacher is all in bfloat16, and the student under autocast. Shapes: B batch, L length, D width, H heads, K head size.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from experiments import original
from tinybert_jax.models.config import EncoderConfig

Step = Callable[[Tensor], Tensor]


class Layer(nn.Module):
  """One layer; gives its scores B×H×L×L only where they are asked for."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    width = config.hidden_size
    self.heads, self.attention_dropout = config.num_attention_heads, config.attention_probs_dropout_prob
    self.query_key_value = nn.Linear(width, 3 * width)
    self.attended = original.Residual(config, width)
    self.intermediate = nn.Linear(width, config.intermediate_size)
    self.output = original.Residual(config, config.intermediate_size)

  def forward(self, x: Tensor, with_scores: bool) -> tuple[Tensor, Tensor | None]:
    q, k, v = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
    dropout = self.attention_dropout if self.training else 0.0
    if with_scores:
      scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
      context = functional.dropout(torch.softmax(scores, dim=-1), dropout) @ v
    else:
      scores, context = None, functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    x = self.attended(context.transpose(1, 2).flatten(2), x)
    return self.output(functional.gelu(self.intermediate(x)), x), scores


class Encoder(nn.Module):
  """BERT without a pooler."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.embeddings = original.Embeddings(config)
    self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

  def forward(self, ids: Tensor, score_layers: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the M+1 hidden states B×L×D, and the scores of `score_layers`, counted from 1."""
    hidden_states, scores = [self.embeddings(ids, torch.zeros_like(ids))], []
    for m, layer in enumerate(self.layers, start=1):
      x, layer_scores = layer(hidden_states[-1], m in score_layers)
      hidden_states.append(x)
      if layer_scores is not None:
        scores.append(layer_scores)
    return hidden_states, scores


class Student(nn.Module):
  """An encoder with its projections to the teacher's width: one for the embeddings, one for the layers."""

  def __init__(self, config: EncoderConfig, teacher_width: int):
    super().__init__()
    self.encoder = Encoder(config)
    self.embedding = nn.Linear(config.hidden_size, teacher_width, bias=False)
    self.hidden = nn.Linear(config.hidden_size, teacher_width, bias=False)

  def forward(self, ids: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the hidden states in the teacher's width, and the scores of all layers."""
    (embedded, *hidden_states), scores = self.encoder(ids, range(1, len(self.encoder.layers) + 1))
    return [self.embedding(embedded), *(self.hidden(x) for x in hidden_states)], scores


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
  student.train()
  decayed, undecayed = [], []
  for name, parameter in student.named_parameters():
    (undecayed if name.endswith("bias") or "LayerNorm" in name else decayed).append(parameter)
  groups = [{"params": decayed, "weight_decay": 0.01}, {"params": undecayed, "weight_decay": 0.0}]
  optimizer = torch.optim.AdamW(groups, lr=5e-5, eps=1e-6, fused=True)

  def loss_of(ids: Tensor) -> Tensor:
    return intermediate_loss(student, teacher, layers, dtype, ids)

  how = "eager"
  if compiled:
    fast = torch.compile(loss_of, dynamic=False)
    try:
      fast(example).backward()
      loss_of, how = fast, "compiled"
    except Exception as error:  # the compiler's, or of one of the programs and libraries that it calls
      how = f"eager, as torch.compile failed: {type(error).__name__}"

  def step(ids: Tensor) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(ids)
    loss.backward()
    nn.utils.clip_grad_norm_(student.parameters(), 1.0, foreach=True)
    optimizer.step()
    return loss.detach()

  step(example)
  return step, how

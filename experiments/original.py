"""Distillation and augmentation as the original TinyBERT program does them, in eager PyTorch: what `benchmark` measures
against.

Written anew from that program's behaviour; tests hold its losses and gradients to numbers from the program itself.
Modules carry the names of PyTorch checkpoints. Shapes: B batch, L length, D width, H heads, C classes.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinybert_jax.augmentation.copies import REPLACED
from tinybert_jax.augmentation.masked_words import CANDIDATES
from tinybert_jax.augmentation.words import STOP_WORDS
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.tokenizer_type import Tokenizer

MASKED = -100.0  # scores at or below it are the mask's doing, and both sides' are set to 0


class Outputs(NamedTuple):
  """What the classifier gives: logits B×C, each layer's masked scores B×H×L×L, and the M+1 hidden states B×L×D."""

  logits: Tensor
  scores: list[Tensor]
  hidden_states: list[Tensor]


class LayerNorm(nn.Module):
  """As the program has it unless NVIDIA's apex is installed, which it does not ask for: by single operations."""

  def __init__(self, width: int, eps: float):
    super().__init__()
    self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
    self.eps = eps

  def forward(self, x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).pow(2).mean(-1, keepdim=True)
    return self.weight * ((x - mean) / torch.sqrt(variance + self.eps)) + self.bias


class Embeddings(nn.Module):
  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=0)
    self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
    self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
    self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps)
    self.dropout = nn.Dropout(config.hidden_dropout_prob)

  def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
    positions = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0).expand_as(input_ids)
    x = self.word_embeddings(input_ids) + self.position_embeddings(positions)
    return self.dropout(self.LayerNorm(x + self.token_type_embeddings(token_type_ids)))


class SelfAttention(nn.Module):
  """Every layer gives its scores, mask added, wanted or not."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.heads, self.head_size = config.num_attention_heads, config.head_size
    self.query = nn.Linear(config.hidden_size, config.hidden_size)
    self.key = nn.Linear(config.hidden_size, config.hidden_size)
    self.value = nn.Linear(config.hidden_size, config.hidden_size)
    self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

  def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    q, k, v = (
      dense(x).view(*x.shape[:2], self.heads, self.head_size).permute(0, 2, 1, 3)
      for dense in (self.query, self.key, self.value)
    )
    scores = torch.matmul(q, k.transpose(-1, -2)) / self.head_size**0.5
    scores = scores + mask
    context = torch.matmul(self.dropout(torch.softmax(scores, dim=-1)), v)
    return context.permute(0, 2, 1, 3).contiguous().view(x.shape), scores


class Residual(nn.Module):
  """Dense, dropout, and LayerNorm of the sum with the layer's input."""

  def __init__(self, config: EncoderConfig, width: int):
    super().__init__()
    self.dense = nn.Linear(width, config.hidden_size)
    self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps)
    self.dropout = nn.Dropout(config.hidden_dropout_prob)

  def forward(self, x: Tensor, residual: Tensor) -> Tensor:
    return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Layer(nn.Module):
  def __init__(self, config: EncoderConfig):
    super().__init__()
    attended = Residual(config, config.hidden_size)
    self.attention = nn.ModuleDict({"self": SelfAttention(config), "output": attended})
    self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
    self.output = Residual(config, config.intermediate_size)

  def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    context, scores = self.attention["self"](x, mask)
    x = self.attention["output"](context, x)
    inner = self.intermediate["dense"](x)
    inner = inner * 0.5 * (1.0 + torch.erf(inner / 2**0.5))
    return self.output(inner, x), scores


class Classifier(nn.Module):
  """BERT with pooler and classifier; a student gives its hidden states through `fit_dense`, in the teacher's width.

  The original's general distillation has no classifier: what one adds, a product of B×D by D×C, is not seen in a time,
  and intermediate losses give it no gradient.
  """

  def __init__(self, config: EncoderConfig, fit_size: int):
    super().__init__()
    self.bert = nn.ModuleDict(
      {
        "embeddings": Embeddings(config),
        "encoder": nn.ModuleDict({"layer": nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))}),
        "pooler": nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.hidden_size)}),
      }
    )
    self.classifier = nn.Linear(config.hidden_size, config.num_labels)
    self.fit_dense = nn.Linear(config.hidden_size, fit_size)
    self.apply(lambda module: _initialize(module, config.initializer_range))

  def forward(
    self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, *, is_student: bool = False
  ) -> Outputs:
    mask = (1.0 - attention_mask[:, None, None, :].float()) * -10000.0
    x = self.bert["embeddings"](input_ids, token_type_ids)
    hidden_states, scores = [x], []
    for layer in self.bert["encoder"]["layer"]:
      x, layer_scores = layer(x, mask)
      hidden_states.append(x)
      scores.append(layer_scores)
    pooled = torch.tanh(self.bert["pooler"]["dense"](x[:, 0]))
    logits = self.classifier(torch.relu(pooled))
    if is_student:
      hidden_states = [self.fit_dense(h) for h in hidden_states]
    return Outputs(logits, scores, hidden_states)


class BertAdam:
  """Adam without bias correction, a parameter at a time: clipped by its own norm, decoupled decay, linear schedule."""

  def __init__(self, model: nn.Module, learning_rate: float, steps: int, warmup: float = 0.1, decay: float = 0.01):
    self.learning_rate, self.steps, self.warmup, self.step_number = learning_rate, steps, warmup, 0
    undecayed = ("bias", "LayerNorm.weight")
    self.parameters = [(p, 0.0 if name.endswith(undecayed) else decay) for name, p in model.named_parameters()]
    self.moments = [None for _ in self.parameters]

  def zero_grad(self) -> None:
    for parameter, _ in self.parameters:
      parameter.grad = None

  @torch.no_grad()
  def step(self) -> None:
    progress = self.step_number / self.steps
    scale = progress / self.warmup if progress < self.warmup else max((progress - 1) / (self.warmup - 1), 0.0)
    for i, (parameter, decay) in enumerate(self.parameters):
      if parameter.grad is None:
        continue
      if self.moments[i] is None:
        self.moments[i] = (torch.zeros_like(parameter), torch.zeros_like(parameter))
      first, second = self.moments[i]
      nn.utils.clip_grad_norm_(parameter, 1.0)
      first.mul_(0.9).add_(parameter.grad, alpha=0.1)
      second.mul_(0.999).addcmul_(parameter.grad, parameter.grad, value=0.001)
      update = first / (second.sqrt() + 1e-6)
      if decay:
        update += decay * parameter
      parameter.add_(-(self.learning_rate * scale * update))
    self.step_number += 1


def intermediate_loss(student: Outputs, teacher: Outputs) -> Tensor:
  return attention_loss(student, teacher) + hidden_loss(student, teacher)


def attention_loss(student: Outputs, teacher: Outputs) -> Tensor:
  """Returns the mean squared error of the scores, summed over the student's layers; padded rows count in the means."""
  every = len(teacher.scores) // len(student.scores)
  return sum(
    nn.functional.mse_loss(_unmasked(ours), _unmasked(theirs))
    for ours, theirs in zip(student.scores, teacher.scores[every - 1 :: every], strict=True)
  )


def hidden_loss(student: Outputs, teacher: Outputs) -> Tensor:
  """Returns the mean squared error of the hidden states, summed over embedding and layers; padding counts."""
  every = len(teacher.scores) // len(student.scores)
  return sum(
    nn.functional.mse_loss(ours, theirs)
    for ours, theirs in zip(student.hidden_states, teacher.hidden_states[::every], strict=True)
  )


def prediction_loss(student: Outputs, teacher: Outputs) -> Tensor:
  """Returns the soft cross-entropy, a mean over batch × classes."""
  targets = torch.softmax(teacher.logits, dim=-1)
  return (-targets * torch.log_softmax(student.logits, dim=-1)).mean()


def train(
  student: Classifier,
  teacher: Classifier,
  loss_fn: Callable[[Outputs, Outputs], Tensor],
  optimizer: BertAdam,
  batches: Iterable[Sequence[Tensor]],
  *,
  teacher_graph: bool = False,
) -> float:
  """Returns the summed loss of one pass. Both models are in train mode, and the teacher runs in every batch.

  Args:
    student: to train.
    teacher: to learn from.
    loss_fn: of the student's and the teacher's outputs.
    optimizer: of the student.
    batches: as from `data_loader`.
    teacher_graph: whether the teacher's forward pass keeps what a gradient would need, though none is taken: so it does
      in general distillation, and not in task distillation.
  """
  student.train()
  teacher.train()
  device = student.fit_dense.weight.device
  summed = 0.0
  for batch in batches:
    batch = [part.to(device) for part in batch]
    with torch.set_grad_enabled(teacher_graph):
      theirs = _detached(teacher(*batch))
    loss = loss_fn(student(*batch, is_student=True), theirs)
    summed += loss.item()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
  return summed


def data_loader(sequences: Sequence[Sequence[int]], batch_size: int, max_length: int) -> torch.utils.data.DataLoader:
  """Returns shuffled batches of ids, mask and segments, all padded to `max_length`; a last partial one is dropped."""
  ids = torch.zeros(len(sequences), max_length, dtype=torch.long)
  mask = torch.zeros_like(ids)
  for row, sequence in enumerate(sequences):
    ids[row, : len(sequence)] = torch.tensor(sequence)
    mask[row, : len(sequence)] = 1
  data = torch.utils.data.TensorDataset(ids, mask, torch.zeros_like(ids))
  return torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True, drop_last=True)


@torch.no_grad()
def masked_candidates(model: nn.Module, tokenizer: Tokenizer, sentence: str, number: int) -> dict[int, list]:
  """Returns the candidates for each word of one piece, by the number of its token.

  The model, a masked language model of `transformers`, reads one sentence with one mask at a time, the unmasked one as
  second segment, and gives logits for every position, of which one is sorted whole.
  """
  pieces = tokenizer.tokenize(sentence)
  plain = tokenizer.convert_tokens_to_ids(pieces)
  segments = torch.tensor([[0] * (len(plain) + 2) + [1] * (len(plain) + 1)], device=model.device)
  candidates = {}
  for i, piece in enumerate(pieces):
    continues = i + 1 < len(pieces) and pieces[i + 1].startswith("##")
    if continues or not piece.isalpha() or piece in STOP_WORDS:
      continue
    masked = [*plain[:i], tokenizer.mask_token_id, *plain[i + 1 :]]
    ids = [tokenizer.cls_token_id, *masked, tokenizer.sep_token_id, *plain, tokenizer.sep_token_id]
    logits = model(torch.tensor([ids], device=model.device), token_type_ids=segments).logits
    best = torch.argsort(logits[0, 1 + i], descending=True)[:number].tolist()
    candidates[i] = [token for token in tokenizer.convert_ids_to_tokens(best) if not token.startswith("##")]
  return candidates


def augment(model: nn.Module, tokenizer: Tokenizer, sentence: str, copies: int) -> list[str]:
  """Returns a sentence's words and its copies with words replaced, as text."""
  candidates = masked_candidates(model, tokenizer, sentence, CANDIDATES)
  words, drawn = tokenizer.tokenize(sentence), [sentence]
  for _ in range(copies):
    new = list(words)
    for i, choices in candidates.items():
      choice = random.choice(choices or [words[i]])
      if random.random() < REPLACED:
        new[i] = choice
    if " ".join(new) not in drawn:
      drawn.append(" ".join(new))
  return drawn


def _detached(outputs: Outputs) -> Outputs:
  return Outputs(
    outputs.logits.detach(), [x.detach() for x in outputs.scores], [x.detach() for x in outputs.hidden_states]
  )


def _unmasked(scores: Tensor) -> Tensor:
  return torch.where(scores <= MASKED, torch.zeros_like(scores), scores)


def _initialize(module: nn.Module, scale: float) -> None:
  if isinstance(module, nn.Linear | nn.Embedding):
    module.weight.data.normal_(0.0, scale)
  if isinstance(module, nn.Linear):
    module.bias.data.zero_()

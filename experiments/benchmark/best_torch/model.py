"""BERT in the best PyTorch: encoder, student, classifier and masked language model.

Shapes: B batch, L length, D width, H heads, K head size, Q tokens that the last layer is computed for.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinybert_jax.models.config import EncoderConfig


class Embeddings(nn.Module):
  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
    self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
    self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
    self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
    self.dropout = nn.Dropout(config.hidden_dropout_prob)

  def forward(self, ids: Tensor) -> Tensor:
    """Returns the embeddings B×L×D of texts of one segment."""
    always = self.position_embeddings.weight[: ids.shape[1]] + self.token_type_embeddings.weight[0]
    return self.dropout(self.LayerNorm(self.word_embeddings(ids) + always))


class Residual(nn.Module):
  """Dense, dropout, and LayerNorm of the sum with the layer's input."""

  def __init__(self, config: EncoderConfig, width: int):
    super().__init__()
    self.dense = nn.Linear(width, config.hidden_size)
    self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
    self.dropout = nn.Dropout(config.hidden_dropout_prob)

  def forward(self, x: Tensor, residual: Tensor) -> Tensor:
    return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Layer(nn.Module):
  """One layer; gives its scores B×H×L×L only where they are asked for."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    width = config.hidden_size
    self.heads, self.attention_dropout = config.num_attention_heads, config.attention_probs_dropout_prob
    self.query_key_value = nn.Linear(width, 3 * width)
    self.attended = Residual(config, width)
    self.intermediate = nn.Linear(width, config.intermediate_size)
    self.output = Residual(config, config.intermediate_size)

  def forward(
    self, x: Tensor, mask: Tensor | None, with_scores: bool, at: Tensor | None = None
  ) -> tuple[Tensor, Tensor | None]:
    """Returns the output and scores.

    Args:
      x: B×L×D.
      mask: B×1×1×L, True for what is attended to; None for all.
      with_scores: whether scores are wanted.
      at: the positions B×Q that are computed; None for all.
    """
    if at is None:
      q, k, v = self._in_heads(self.query_key_value(x), 3)
    else:
      width, merged = x.shape[-1], self.query_key_value
      k, v = self._in_heads(functional.linear(x, merged.weight[width:], merged.bias[width:]), 2)
      x = x.gather(1, at[..., None].expand(*at.shape, width))
      (q,) = self._in_heads(functional.linear(x, merged.weight[:width], merged.bias[:width]), 1)
    dropout = self.attention_dropout if self.training else 0.0
    if with_scores:
      scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
      masked = scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
      context = functional.dropout(torch.softmax(masked, dim=-1), dropout) @ v
    else:
      scores, context = None, functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    x = self.attended(context.transpose(1, 2).flatten(2), x)
    return self.output(functional.gelu(self.intermediate(x)), x), scores

  def _in_heads(self, merged: Tensor, number: int) -> Sequence[Tensor]:
    """Returns `number` tensors B×H×L×K."""
    return merged.unflatten(-1, (number, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()


class Encoder(nn.Module):
  """BERT without a pooler."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.embeddings = Embeddings(config)
    self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

  def forward(
    self, ids: Tensor, score_layers: Sequence[int], mask: Tensor | None = None, at: Tensor | None = None
  ) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the M+1 hidden states B×L×D, and the scores of `score_layers`, counted from 1.

    Args:
      ids: B×L.
      score_layers: whose scores are wanted.
      mask: B×L, True for a token; None where there is no padding. A row of padding attends to its first position.
      at: the positions B×Q that the last layer is computed for; None for all.
    """
    if mask is not None:
      mask = mask.clone()
      mask[:, 0] = True
      mask = mask[:, None, None, :]
    hidden_states, scores = [self.embeddings(ids)], []
    for m, layer in enumerate(self.layers, start=1):
      is_last = m == len(self.layers)
      x, layer_scores = layer(hidden_states[-1], mask, m in score_layers, at if is_last else None)
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

  def forward(self, ids: Tensor, mask: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the hidden states in the teacher's width, and the scores of all layers."""
    (embedded, *hidden_states), scores = self.encoder(ids, range(1, len(self.encoder.layers) + 1), mask)
    return [self.embedding(embedded), *(self.hidden(x) for x in hidden_states)], scores


class Classifier(nn.Module):
  """An encoder with pooler and classifier, the last layer for the first token alone."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.encoder = Encoder(config)
    self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
    rate = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    self.dropout = nn.Dropout(rate)
    self.classifier = nn.Linear(config.hidden_size, config.num_labels)

  def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns logits B×C in float32."""
    first = torch.zeros_like(ids[:, :1])
    hidden_states, _ = self.encoder(ids, (), mask, first)
    return self.classifier(self.dropout(torch.tanh(self.pooler(hidden_states[-1][:, 0])))).float()


class MaskedLanguageModel(nn.Module):
  """An encoder with BERT's masked-LM head, for one position of each row."""

  def __init__(self, config: EncoderConfig):
    super().__init__()
    self.encoder = Encoder(config)
    self.transform = nn.Linear(config.hidden_size, config.hidden_size)
    self.transform_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
    self.bias = nn.Parameter(torch.zeros(config.vocab_size))

  def forward(self, ids: Tensor, mask: Tensor, position: Tensor) -> Tensor:
    """Returns the logits B×V in float32 at each row's position, B."""
    hidden_states, _ = self.encoder(ids, (), mask, position[:, None])
    x = self.transform_norm(functional.gelu(self.transform(hidden_states[-1][:, 0])))
    return functional.linear(x, self.encoder.embeddings.word_embeddings.weight).float() + self.bias.float()

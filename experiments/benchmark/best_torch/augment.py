"""Candidates for masked words in the best PyTorch: batches of a few lengths, logits at the masks."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from experiments.benchmark.best_torch.model import MaskedLanguageModel
from experiments.benchmark.best_torch.training import compile_or_not
from tinybert_jax.augmentation.masked_words import CANDIDATES
from tinybert_jax.augmentation.words import SCRIPTS, Text, as_candidates, script_of
from tinybert_jax.data.batches import bucket_lengths
from tinybert_jax.models.tokenizer_type import Tokenizer, tokens_by_id


class TorchMaskedWords:
  """What `MaskedWords` does, without a second look at near ties; it takes the place of one in an `Augmenter`."""

  def __init__(
    self,
    model: MaskedLanguageModel,
    tokenizer: Tokenizer,
    texts: Sequence[Text],
    *,
    dtype: torch.dtype,
    device: str,
    compiled: bool,
    batch_size: int,
    number: int = CANDIDATES,
  ):
    """Args:
    model: on the device; it is set to `dtype` and to evaluation.
    tokenizer: the model's.
    texts: whose lengths, in a few buckets, are compiled for.
    dtype: of weights and activations.
    device: cpu or cuda.
    compiled: whether torch.compile is tried.
    batch_size: masked sentences in a batch.
    number: of candidates.
    """
    self.tokenizer, self.batch_size, self.number, self.device = tokenizer, batch_size, number, device
    self._tokens = tokens_by_id(tokenizer)
    special = set(tokenizer.all_special_ids)
    vocabulary = model.bias.shape[0]
    scripts = torch.zeros(vocabulary, dtype=torch.long)
    for i, token in enumerate(self._tokens):
      scripts[i] = 0 if i in special else _script(token or "")
    self._scripts = scripts.to(device)
    self._model = model.to(dtype).eval()
    self._lengths = bucket_lengths([2 + len(text.input_ids) for text in texts], number=6)
    examples = [self._tensors([([0], 0, 0, 1)], length) for length in self._lengths]
    with torch.inference_mode():
      self._most_probable: Callable[..., Tensor]
      self._most_probable, self.how = compile_or_not(self._top, examples, compiled=compiled, backward=False)

  def __call__(self, texts: Sequence[Text], done: Callable[[float], None]) -> list[dict[int, tuple[str, ...]]]:
    """Returns the candidates of each text's words of one piece, by the number of the word, the most probable first."""
    result: list[dict[int, tuple[str, ...]]] = [{} for _ in texts]
    asked = [(t, w) for t, text in enumerate(texts) for w, word in enumerate(text.words) if word.is_one_piece]
    asked.sort(key=lambda of: len(texts[of[0]].input_ids))
    with torch.inference_mode():
      for start in range(0, len(asked), self.batch_size):
        part = asked[start : start + self.batch_size]
        rows = [self._row(texts[t], w) for t, w in part]
        longest = len(rows[-1][0])
        batch = self._tensors(rows, next(length for length in self._lengths if length >= longest))
        best = self._most_probable(*batch)[: len(part)].cpu().tolist()
        for (t, w), ids in zip(part, best, strict=True):
          words = (self._tokens[i] or "" for i in ids if i >= 0)
          result[t][w] = as_candidates(texts[t].spelled(texts[t].words[w]), words)
    done(1.0)
    return result

  def _row(self, text: Text, w: int) -> tuple[list[int], int, int, int]:
    """Returns a masked sentence's ids, its position of the mask, and the word's own id and script."""
    word, tokenizer = text.words[w], self.tokenizer
    ids = [tokenizer.cls_token_id, *text.input_ids, tokenizer.sep_token_id]
    position = 1 + word.first_token
    own, ids[position] = ids[position], tokenizer.mask_token_id
    return ids, position, own, _script(text.spelled(word))

  def _tensors(self, rows: Sequence[tuple[list[int], int, int, int]], length: int) -> list[Tensor]:
    """Returns ids and mask B×L; position, own id and script B."""
    ids = np.zeros((self.batch_size, length), np.int64)
    mask = np.zeros((self.batch_size, length), bool)
    others = np.zeros((3, self.batch_size), np.int64)
    for i, (row, *values) in enumerate(rows):
      ids[i, : len(row)] = row
      mask[i, : len(row)] = True
      others[:, i] = values
    return [torch.from_numpy(array).to(self.device) for array in (ids, mask, *others)]

  def _top(self, ids: Tensor, mask: Tensor, position: Tensor, own: Tensor, script: Tensor) -> Tensor:
    """Returns the ids of the most probable words, -1 where there are fewer."""
    logits = self._model(ids, mask, position)
    is_own = torch.arange(logits.shape[-1], device=logits.device) == own[:, None]
    may_be = (self._scripts == script[:, None]) & ~is_own
    values, best = logits.masked_fill(~may_be, -torch.inf).topk(min(self.number, logits.shape[-1] - 1), dim=-1)
    return torch.where(values.isfinite(), best, -1)


def _script(word: str) -> int:
  script = script_of(word)
  return 0 if script is None else 1 + SCRIPTS.index(script)

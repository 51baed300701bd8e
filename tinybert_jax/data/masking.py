"""Batches for training a masked language model, masked anew in every epoch."""

import datasets
import grain
import numpy as np
from jaxtyping import Bool, Int

from tinybert_jax.choices import MASKED
from tinybert_jax.data.batches import BatchSource, NumpyBatch, read_ahead
from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import Tokenizer, tokens_by_id
from tinybert_jax.models.word_pieces import WordPieces


class MaskedBatches:
  """The batches of a source with tokens masked as BERT's pretraining does: of those chosen, 80% become the mask, 10%
  another token, and 10% stay.

  A batch has besides `masked_positions` (B×Q), `masked_ids` (what stood there), and `masked_weight` (1, and 0 where a
  row has fewer). Of n tokens in a row, special ones aside, max(1, round(n · share)) are chosen, or with whole words
  at most so many. A batch depends on the source's seed and its number alone.
  """

  def __init__(
    self,
    source: BatchSource,
    tokenizer: Tokenizer,
    *,
    share: float = MASKED,
    whole_words: bool = False,
  ):
    """Args:
    source: of batches of tokens.
    tokenizer: whose tokens these are.
    share: of the tokens that are chosen.
    whole_words: choose all pieces of a word or none; words are those of the tokenizer. They are taken in random
      order, and those that would exceed the number are passed over, as in BERT's own program. A row of longer words
      alone has none chosen.
    """
    self.source, self.share, self.whole_words = source, share, whole_words
    if tokenizer.mask_token_id is None:
      raise InputError("the tokenizer has no mask token, and tokens are to be masked")
    if not 0 < share < 1:
      raise InputError(f"share {share}: the tokens that are masked must be a share above 0 and below 1")
    tokens = tokens_by_id(tokenizer)
    self._pieces = WordPieces(tokenizer)
    self._special = np.zeros(len(tokens), bool)
    self._special[tokenizer.all_special_ids] = True
    self._ordinary = np.flatnonzero(~self._special & np.array([token is not None for token in tokens]))
    self._mask_id = tokenizer.mask_token_id

  @property
  def rows(self) -> datasets.Dataset:
    return self.source.rows

  @property
  def steps_per_epoch(self) -> int:
    return self.source.steps_per_epoch

  def __len__(self) -> int:
    return len(self.source)

  def __iter__(self) -> grain.DatasetIterator[NumpyBatch]:
    """Returns an iterator as `BatchSource` does."""
    return read_ahead(self)

  def first_steps(self) -> dict[int, int]:
    """See `BatchSource.first_steps`."""
    return self.source.first_steps()

  def __getitem__(self, step: int) -> NumpyBatch:
    batch = self.source[step]
    rng = np.random.default_rng((self.source.seed, 1, step))  # the order of the rows is drawn from (seed, epoch)
    ids = batch["input_ids"]
    most = self._number(ids.shape[1] - 2)
    chosen = {
      "masked_positions": np.zeros((len(ids), most), np.int32),
      "masked_ids": np.zeros((len(ids), most), np.int32),
      "masked_weight": np.zeros((len(ids), most), np.float32),
    }
    for row in range(len(ids)):
      positions = self._choose(ids[row], batch["attention_mask"][row].astype(bool), rng)
      number = len(positions)
      chosen["masked_positions"][row, :number] = positions
      chosen["masked_ids"][row, :number] = ids[row, positions]
      chosen["masked_weight"][row, :number] = batch["example_weight"][row]
      kind = rng.random(number)
      others = rng.choice(self._ordinary, number)
      ids[row, positions] = np.where(kind < 0.8, self._mask_id, np.where(kind < 0.9, others, ids[row, positions]))
    return batch | chosen

  def _number(self, tokens: int) -> int:
    return max(1, round(tokens * self.share))

  def _choose(self, ids: Int[np.ndarray, " L"], valid: Bool[np.ndarray, " L"], rng: np.random.Generator) -> np.ndarray:
    """Returns the positions of a row to be masked, in their order."""
    positions = np.flatnonzero(valid & ~self._special[ids])
    if not len(positions):
      return positions
    number = self._number(len(positions))
    if not self.whole_words:
      return np.sort(rng.permutation(positions)[:number])
    word_of = self._pieces.word_numbers(ids[positions])
    chosen = np.zeros(0, positions.dtype)
    for word in rng.permutation(np.unique(word_of)):
      pieces = positions[word_of == word]
      if len(chosen) + len(pieces) <= number:
        chosen = np.append(chosen, pieces)
      if len(chosen) == number:
        break
    return np.sort(chosen)

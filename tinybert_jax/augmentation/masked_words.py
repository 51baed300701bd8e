"""Candidates for words by a masked language model, many masked sentences at a time, on all devices."""

import collections
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tinybert_jax.augmentation.words import SCRIPTS, Text, Word, as_candidates, script_of
from tinybert_jax.choices import CANDIDATES, Context
from tinybert_jax.data.batches import pad_batch
from tinybert_jax.distillation.objectives import Params
from tinybert_jax.errors import InputError
from tinybert_jax.models import products
from tinybert_jax.models.encoder import Batch, MaskedLanguageModel, apply_head, rounded_once
from tinybert_jax.models.parameters import with_rounded_decoder
from tinybert_jax.models.token_layout import find_layout
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import check_fits
from tinybert_jax.models.word_pieces import WordPieces
from tinybert_jax.training import steps

Done = Callable[[float], None]

# The lengths that a batch may be padded to, that of its longest sentence or the next.
_LENGTHS = (*range(6, 24), *range(24, 40, 2), *range(40, 64, 4), *range(64, 128, 8), *range(128, 513, 32))
# Logits of the last candidate and the first that is none, relatively nearer than this: rounding could exchange them.
# Other batches changed their distance by up to 1e-5 (MiniLM, 4,000 words on a CPU), and with rounded products by up to
# 7e-4 (587 words).
_NEAR_TIE, _NEAR_TIE_ROUNDED = 5e-5, 2e-3
_BATCH_SIZE, _CPU_BATCH_SIZE = 1024, 24  # masked sentences
_AGAIN_SIZE, _AGAIN_MULTIPLE = 8, 16  # rows of a batch of near ties, and what its length is a multiple of; not on a CPU
_SHORTEST = 8  # tokens that the model reads: [CLS], [SEP] and a few words, or twice two
_UNDER_WAY = 16  # batches on the device or on the way there; more would cost memory and gain nothing


class MaskedWords:
  """The most probable words of a masked language model for words of one piece, each masked in its sentence.

  Candidates are words of the word's script, and not the word itself; pieces that continue a word, special tokens,
  numbers and punctuation are none. Where a tokenizer marks words after a space (`Ġcat`, `▁cat`), candidates for a word
  after a space have that mark, and others do not. Candidates do not depend on the batch that a sentence is in: where
  two are so near at the end of the list that rounding decides, a program counts whose shape the sentence's own length
  decides, and which treats all rows alike. On a CPU, unless told otherwise, there are no other programs, and batches
  are of one length; elsewhere the sentence is computed again.
  """

  def __init__(
    self,
    model: MaskedLanguageModel,
    params: Params,
    tokenizer: Tokenizer,
    *,
    number: int = CANDIDATES,
    context: Context = "masked",
    max_length: int = 128,
    batch_size: int | None = None,
  ):
    """Args:
      model: the module.
      params: its parameters.
      tokenizer: of the model.
      number: of candidates, K.
      context: what the model reads: the "masked" sentence alone, as in the paper, or a "pair" of it and the unmasked
        one, as in the original program.
      max_length: tokens that it reads; of a longer sentence, those around the masked word.
      batch_size: masked sentences in a batch, over all devices; by default 24 on a CPU, else 1024.

    Raises:
      InputError: sizes that do not go together, or a tokenizer without a mask token or of another vocabulary.
    """
    if tokenizer.mask_token_id is None:
      raise InputError("the masked language model's tokenizer has no mask token")
    if number < 1:
      raise InputError(f"number {number}: at least one candidate a word is needed")
    if batch_size is not None and batch_size < 1:
      raise InputError(f"batch_size {batch_size}: at least one masked sentence is needed")
    if context not in get_args(Context):
      raise InputError(f"context {context!r}: it must be one of {', '.join(get_args(Context))}")
    check_fits("the masked language model", tokenizer, model.config.vocab_size)
    if max_length < _SHORTEST:
      raise InputError(f"max_length {max_length}: at least {_SHORTEST} tokens are needed")
    if max_length > model.config.longest:
      raise InputError(
        f"sentences of {max_length} tokens: the masked language model has positions for {model.config.longest} only"
      )
    self.model, self.params, self.tokenizer = model, params, tokenizer
    self.number = min(number, model.config.vocab_size - 1)
    self.context, self.max_length = context, max_length
    self._lengths = [*(length for length in _LENGTHS if length < max_length), max_length]
    self._pad_id = model.config.pad_token_id
    self._layout, pieces = find_layout(tokenizer), WordPieces(tokenizer)
    self._tokens, self._is_marked = pieces.words, pieces.is_marked
    self._kind_V = np.zeros(model.config.vocab_size, np.int32)  # 0 for what is no word, else its script and mark
    self._kind_V[: len(self._tokens)] = [
      self._kind(word, marked) for word, marked in zip(self._tokens, self._is_marked, strict=True)
    ]
    frozen = with_rounded_decoder(model, rounded_once(model, params))
    devices = jax.local_devices()
    self._is_cpu = devices[0].platform == "cpu"
    batch_size = batch_size or (_CPU_BATCH_SIZE if self._is_cpu else _BATCH_SIZE)
    self._batch_size = -(-batch_size // len(devices)) * len(devices)
    self._needs_no_other = self._is_cpu and len(devices) == 1 and self._batch_size == _CPU_BATCH_SIZE
    if len(devices) == 1:
      self._place = jax.device_put
      self._params = self._params_on_one = jax.device_put((frozen, self._kind_V))
    else:
      mesh = steps.data_mesh(devices)
      self._place = functools.partial(jax.device_put, device=steps.batch_sharding(mesh))
      self._params = jax.device_put((frozen, self._kind_V), steps.replicated(mesh))
      self._params_on_one = jax.device_put((frozen, self._kind_V), devices[0])

  def __call__(self, texts: Sequence[Text], done: Done = lambda share: None) -> list[dict[int, tuple[str, ...]]]:
    """Returns the candidates of each text's words of one piece, by the number of the word, the most probable first.

    `done` is told each share of the work that is done, of 1 in all.
    """
    asked = [(t, w) for t, text in enumerate(texts) for w, word in enumerate(text.words) if word.is_one_piece]
    result: list[dict[int, tuple[str, ...]]] = [{} for _ in texts]
    if not asked:
      done(1.0)
      return result

    near_ties: list[tuple[tuple[int, int], dict]] = []

    def finish(part: list[tuple[int, int]], rows: list[dict], outputs: tuple[Array, Array]) -> None:
      for (t, w), row, logits, ids in zip(part, rows, *jax.device_get(outputs), strict=False):
        if not self._needs_no_other and self._is_near_tie(*logits[-2:]):
          near_ties.append(((t, w), row))
        else:
          result[t][w] = self._words(texts[t], texts[t].words[w], logits[:-1], ids[:-1])
      done(len(part) / len(asked))

    # Several batches are sent off before the first result is fetched, so the device never waits for the host.
    under_way: collections.deque[tuple[list, list[dict], tuple[Array, Array]]] = collections.deque()
    for part in self._parts(asked, texts):
      rows = [self._masked_row(texts[t], texts[t].words[w]) for t, w in part]
      batch = self._place(_batch(rows, self._padded(len(rows[0]["input_ids"])), self._batch_size, self._pad_id))
      under_way.append((part, rows, _most_probable(self.model, self.number + 1, *self._params, batch)))
      if len(under_way) == _UNDER_WAY:
        finish(*under_way.popleft())
    for each in under_way:
      finish(*each)
    for (t, w), logits, ids in self._again(near_ties):
      result[t][w] = self._words(texts[t], texts[t].words[w], logits[:-1], ids[:-1])
    return result

  def _parts(self, asked: Sequence[tuple[int, int]], texts: Sequence[Text]) -> Iterator[list[tuple[int, int]]]:
    """Yields the masked sentences of each batch, the longest first; of one padded length where no other may count."""

    def length(of: tuple[int, int]) -> int:
      number = 1 if self.context == "masked" else 2
      tokens = min(len(texts[of[0]].input_ids), self._room)
      return number * tokens + self._layout.special_tokens(number)

    # Of similar lengths in any case, and what does not fill a batch is short.
    asked = sorted(asked, key=lambda of: -length(of))
    groups = itertools.groupby(asked, lambda of: self._padded(length(of)) if self._needs_no_other else 0)
    for _, group in groups:
      of_length = list(group)
      for start in range(0, len(of_length), self._batch_size):
        yield of_length[start : start + self._batch_size]

  def _is_near_tie(self, last: float | np.floating, next_one: float | np.floating) -> bool:
    size: Any = abs(last)
    least = _NEAR_TIE_ROUNDED if products.is_rounded(self.model.dtype) else _NEAR_TIE
    return bool(np.isfinite(next_one) and last - next_one < least * max(1.0, size))

  @property
  def _room(self) -> int:
    """The tokens of a sentence that the model reads."""
    texts = 1 if self.context == "masked" else 2
    return (self.max_length - self._layout.special_tokens(texts)) // texts

  def _masked_row(self, text: Text, word: Word) -> dict:
    """Returns the tokens that the model reads for a word of a text."""
    tokenizer, room, masked = self.tokenizer, self._room, word.first_token
    start = min(max(0, masked - room // 2), max(0, len(text.input_ids) - room))
    plain = text.input_ids[start : start + room]
    ids = list(plain)
    ids[masked - start] = tokenizer.mask_token_id
    ids, segments = self._layout.row(ids, plain if self.context == "pair" else None)
    return {
      "input_ids": ids,
      "token_type_ids": segments if self.model.config.type_vocab_size > 1 else [0] * len(ids),
      "position": len(self._layout.before) + masked - start,
      "own": text.input_ids[masked],
      "kind": self._kind(text.spelled(word), self._is_marked[text.input_ids[masked]]),
    }

  def _kind(self, word: str, is_marked: bool | np.bool) -> int:
    script = script_of(word)
    return 0 if script is None else 1 + SCRIPTS.index(script) + len(SCRIPTS) * bool(is_marked)

  def _again(
    self, near_ties: Sequence[tuple[tuple[int, int], dict]]
  ) -> Iterator[tuple[tuple[int, int], Float[np.ndarray, " K"], Int[np.ndarray, " K"]]]:
    """Yields the results of rows in programs whose shapes the rows' lengths alone decide."""

    def length_of(near_tie: tuple[tuple[int, int], dict]) -> int:
      tokens = len(near_tie[1]["input_ids"])
      if self._is_cpu:
        return self._padded(tokens)
      return min(-(-tokens // _AGAIN_MULTIPLE) * _AGAIN_MULTIPLE, self.model.config.longest)  # few programs

    size = _CPU_BATCH_SIZE if self._is_cpu else _AGAIN_SIZE
    for length, of_length in itertools.groupby(sorted(near_ties, key=length_of), length_of):
      group = list(of_length)
      for start in range(0, len(group), size):
        places, rows = zip(*group[start : start + size], strict=True)
        batch = _batch(rows, length, size, self._pad_id)
        outputs = jax.device_get(_most_probable(self.model, self.number + 1, *self._params_on_one, batch))
        yield from zip(places, *outputs, strict=False)

  def _padded(self, tokens: int) -> int:
    return next(length for length in self._lengths if length >= tokens)

  def _words(self, text: Text, word: Word, logits: np.ndarray, ids: np.ndarray) -> tuple[str, ...]:
    if np.isnan(logits).any():
      raise InputError(f"the masked language model gives no numbers (NaN) for {text.text[:80]!r}")
    words = (self._tokens[i] for i, logit in zip(ids, logits, strict=True) if np.isfinite(logit))
    return as_candidates(text.spelled(word), words)


def _batch(rows: Sequence[dict], length: int, batch_size: int, pad_id: int) -> dict[str, np.ndarray]:
  """Returns rows as a padded batch, with each one's `position` of the masked token, its `own` id, and its `kind`."""
  tokens = {name: [row[name] for row in rows] for name in ("input_ids", "token_type_ids")}
  batch = pad_batch(tokens, length, batch_size, pad_id)
  for name in ("position", "own", "kind"):
    batch[name] = np.zeros(batch_size, np.int32)
    batch[name][: len(rows)] = [row[name] for row in rows]
  return batch


@functools.partial(jax.jit, static_argnums=(0, 1))
def _most_probable(
  model: MaskedLanguageModel, number: int, params: Params, kind_V: Int[Array, " V"], batch: Batch
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
  """Returns the highest logits at each row's position among the tokens of its kind but its own, and their ids."""
  with jax.default_matmul_precision("highest"):  # less would make near ties of many more candidates
    logits_BxV = apply_head(model, params, batch, positions=batch["position"][:, None])[:, 0]
  may_be = (kind_V == batch["kind"][:, None]) & (jnp.arange(kind_V.size) != batch["own"][:, None])
  logits_BxK, ids_BxK = jax.lax.top_k(jnp.where(may_be, logits_BxV, -jnp.inf), number)
  return logits_BxK, ids_BxK

"""Data augmentation: a text again with some of its words replaced (Algorithm 1 of arXiv:1909.10351).

Words of one piece get the masked language model's most probable words for their place, words of several pieces their
nearest neighbours among word vectors. `Augmenter` finds these candidates for many texts at once on all devices;
`draw_copies` draws the new texts.
"""

import functools
import itertools
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerBase

from tinybert_jax import steps
from tinybert_jax.data.batches import pad_batch
from tinybert_jax.distill import Params
from tinybert_jax.errors import InputError
from tinybert_jax.model import Batch, MaskedLanguageModel
from tinybert_jax.word_vectors import WordVectors, nearest_words

REPLACED = 0.4  # the paper's p_t
CANDIDATES = 15  # the paper's K
Context = Literal["masked", "pair"]

# The lengths that a batch may be padded to, that of its longest sentence or the next.
_LENGTHS = (*range(6, 24), *range(24, 40, 2), *range(40, 64, 4), *range(64, 128, 8), *range(128, 513, 32))
# Logits of the last candidate and the first that is none, relatively nearer than this: rounding could exchange them.
_NEAR_TIE = 5e-5
_ALONE_MULTIPLE = 16

# English words that carry grammar more than meaning, with the parts that tokenizers leave of "don't" and its like.
STOP_WORDS = frozenset(
  """
  a about above after again against ain all am an and any are aren as at be because been before being below between both
  but by can cannot could couldn d did didn do does doesn doing don down during each few for from further had hadn has
  hasn have haven having he her here hers herself him himself his how i if in into is isn it its itself just ll m ma may
  me might mightn more most must mustn my myself needn no nor not now o of off on once only or other our ours ourselves
  out over own re s same shall shan she should shouldn so some such t than that the their theirs them themselves then
  there these they this those through to too under until up upon ve very was wasn we were weren what when where which
  while who whom whose why will with won would wouldn y you your yours yourself yourselves
  """.split()  # noqa: SIM905, lines of words read better
)


class Word(NamedTuple):
  """A word that may be replaced: characters `start` to `end` of its text, and its tokens likewise."""

  start: int
  end: int
  first_token: int
  last_token: int

  @property
  def is_one_piece(self) -> bool:
    return self.first_token == self.last_token


class Text(NamedTuple):
  """A text, its tokens without special ones, and its words that may be replaced."""

  text: str
  input_ids: list[int]
  words: tuple[Word, ...]


Done = Callable[[float], None]
Candidates = tuple[tuple[str, ...], ...]  # of each word of a text, the best first


def find_words(tokenizer: PreTrainedTokenizerBase | None, texts: Sequence[str]) -> list[Text]:
  """Returns the words of each text that may be replaced.

  These are the words that the tokenizer splits texts into, less stop words, words with other characters than letters,
  words that touch a letter or digit (as all do in scripts without spaces), and words that the tokenizer does not know.

  Args:
    tokenizer: None splits into words as BERT's tokenizers do, and gives no tokens.
    texts: any.
  """
  if not texts:
    return []
  if tokenizer is None:
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return [_choose_words(text, [], [Word(*span, 0, 0) for _, span in split(text)]) for text in texts]
  encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)
  found = []
  for text, ids, encoding in zip(texts, encoded["input_ids"], encoded.encodings, strict=True):
    words = []
    for _, pieces in itertools.groupby(range(len(ids)), encoding.word_ids.__getitem__):
      first, *rest = pieces
      last = rest[-1] if rest else first
      if tokenizer.unk_token_id not in ids[first : last + 1]:
        words.append(Word(encoding.offsets[first][0], encoding.offsets[last][1], first, last))
    found.append(_choose_words(text, ids, words))
  return found


def _choose_words(text: str, ids: list[int], words: Sequence[Word]) -> Text:
  def may_be_replaced(word: Word) -> bool:
    before, after = text[word.start - 1 : word.start] if word.start else "", text[word.end : word.end + 1]
    # After a word may stand an accent that the tokenizer drops.
    touches = before.isalnum() or after.isalnum() or unicodedata.category(after or " ").startswith("M")
    spelled = text[word.start : word.end]
    return spelled.isalpha() and not touches and spelled.lower() not in STOP_WORDS

  return Text(text, ids, tuple(word for word in words if may_be_replaced(word)))


def match_case(word: str, candidate: str) -> str:
  """Returns `candidate` in capitals where `word` is, and with a capital where `word` has one; else as it is."""
  if len(word) > 1 and word.isupper():
    return candidate.upper()
  return candidate[:1].upper() + candidate[1:] if word[:1].isupper() else candidate


class MaskedWords:
  """The most probable words of a masked language model for words of one piece, each masked in its sentence.

  Pieces that continue a word (`##…`), special tokens and the word itself are no candidates. Candidates do not depend on
  the batch that a sentence is in: where two are so near at the end of the list that rounding decides, the sentence is
  computed again by itself.
  """

  def __init__(
    self,
    model: MaskedLanguageModel,
    params: Params,
    tokenizer: PreTrainedTokenizerBase,
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
      batch_size: masked sentences in a batch, over all devices; by default 32 on a CPU, else 1024.

    Raises:
      InputError: sizes that do not go together, or a tokenizer without a mask token or of another vocabulary.
    """
    if tokenizer.mask_token_id is None:
      raise InputError("the masked language model's tokenizer has no mask token")
    if len(tokenizer) > model.config.vocab_size:
      raise InputError(
        f"the masked language model's tokenizer has {len(tokenizer)} tokens, and the model only "
        f"{model.config.vocab_size}; they are not of the same model"
      )
    if max_length > model.config.max_position_embeddings:
      raise InputError(
        f"sentences of {max_length} tokens: the masked language model has positions for "
        f"{model.config.max_position_embeddings} only"
      )
    self.model, self.params, self.tokenizer = model, params, tokenizer
    self.number = min(number, model.config.vocab_size - 1)
    self.context, self.max_length = context, max_length
    self._lengths = [*(length for length in _LENGTHS if length < max_length), max_length]
    self._tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    self._allowed_V = np.zeros(model.config.vocab_size, bool)
    self._allowed_V[: len(tokenizer)] = [
      i not in special and not token.startswith("##") and not (token.startswith("[") and token.endswith("]"))
      for i, token in enumerate(self._tokens)
    ]
    devices = jax.local_devices()
    batch_size = batch_size or (32 if devices[0].platform == "cpu" else 1024)
    self._batch_size = -(-batch_size // len(devices)) * len(devices)
    if len(devices) == 1:
      self._place = jax.device_put
      self._params = self._params_alone = jax.device_put((params, self._allowed_V))
    else:
      mesh = steps.data_mesh(devices)
      self._place = functools.partial(jax.device_put, device=steps.batch_sharding(mesh))
      self._params = jax.device_put((params, self._allowed_V), steps.replicated(mesh))
      self._params_alone = jax.device_put((params, self._allowed_V), devices[0])

  def __call__(self, texts: Sequence[Text], done: Done = lambda share: None) -> list[dict[int, tuple[str, ...]]]:
    """Returns the candidates of each text's words of one piece, by the number of the word, the most probable first.

    `done` is told each share of the work that is done, of 1 in all.
    """
    asked = [(t, w) for t, text in enumerate(texts) for w, word in enumerate(text.words) if word.is_one_piece]
    result = [{} for _ in texts]
    if not asked:
      done(1.0)
      return result
    rows = [self._masked_row(texts[t], texts[t].words[w].first_token) for t, w in asked]
    # From the longest down, so that batches are of similar lengths and what does not fill one is short.
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]["input_ids"]))
    # All batches are sent off before the first result is fetched, so the device never waits for the host.
    parts = []
    for start in range(0, len(rows), self._batch_size):
      indices = order[start : start + self._batch_size]
      longest = len(rows[indices[0]]["input_ids"])
      length = next(length for length in self._lengths if length >= longest)
      batch = self._place(_batch([rows[i] for i in indices], length, self._batch_size))
      parts.append((indices, _most_probable(self.model, self.number + 1, *self._params, batch)))
    for indices, outputs in parts:
      logits, ids = jax.device_get(outputs)
      for i, its_logits, its_ids in zip(indices, logits, ids, strict=False):
        if _is_near_tie(*its_logits[-2:]):
          its_logits, its_ids = self._alone(rows[i])
        t, w = asked[i]
        result[t][w] = self._words(texts[t], texts[t].words[w], its_logits[:-1], its_ids[:-1])
      done(len(indices) / len(rows))
    return result

  def _masked_row(self, text: Text, masked: int) -> dict:
    """Returns the tokens that the model reads for the token `masked` of a text."""
    tokenizer = self.tokenizer
    room = self.max_length - 2 if self.context == "masked" else (self.max_length - 3) // 2
    start = min(max(0, masked - room // 2), max(0, len(text.input_ids) - room))
    plain = text.input_ids[start : start + room]
    ids = list(plain)
    ids[masked - start] = tokenizer.mask_token_id
    ids = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
    segments = [0] * len(ids)
    if self.context == "pair":
      ids += [*plain, tokenizer.sep_token_id]
      segments += [1] * (len(plain) + 1)
    return {
      "input_ids": ids, "token_type_ids": segments, "position": 1 + masked - start, "own": text.input_ids[masked]
    }  # fmt: skip

  def _alone(self, row: dict) -> tuple[Float[np.ndarray, "K"], Int[np.ndarray, "K"]]:
    """Returns the result for one sentence, in a program of a shape that only the sentence's length decides."""
    positions = self.model.config.max_position_embeddings
    length = min(-(-len(row["input_ids"]) // _ALONE_MULTIPLE) * _ALONE_MULTIPLE, positions)
    batch = _batch([row], length, 1)
    logits, ids = jax.device_get(_most_probable(self.model, self.number + 1, *self._params_alone, batch))
    return logits[0], ids[0]

  def _words(self, text: Text, word: Word, logits: np.ndarray, ids: np.ndarray) -> tuple[str, ...]:
    words = (self._tokens[i] for i, logit in zip(ids, logits, strict=True) if np.isfinite(logit))
    return _as_candidates(_spelled(text, word), words)


class Augmenter:
  """Candidates for the words of texts, by a masked language model, by word vectors, or by both as in the paper."""

  def __init__(
    self,
    tokenizer: PreTrainedTokenizerBase | None,
    masked: MaskedWords | None,
    vectors: WordVectors | None,
    *,
    number: int = CANDIDATES,
  ):
    """Args:
      tokenizer: the masked language model's own; None without one.
      masked: for words of one piece; None leaves all words to the vectors.
      vectors: for words of several pieces; None leaves those words as they are.
      number: of candidates by vectors, K.

    Raises:
      InputError: neither is given.
    """
    if masked is None and vectors is None:
      raise InputError("data augmentation needs a masked language model or word vectors, and there is neither")
    self.tokenizer, self.masked, self.vectors, self.number = tokenizer, masked, vectors, number
    self._nearest: dict[str, tuple[str, ...]] = {}

  def __call__(self, texts: Sequence[str], done: Done = lambda share: None) -> list[tuple[Text, Candidates]]:
    """Returns each text with its words and their candidates, the best first; equal texts are computed once.

    `done` is told each share of the work that is done, of 1 in all.
    """
    found = find_words(self.tokenizer, list(dict.fromkeys(texts)))
    by_mask = self.masked(found, done) if self.masked else [{} for _ in found]
    if self.vectors:
      wanted = {
        _spelled(text, word).lower()
        for text, has in zip(found, by_mask, strict=True)
        for w, word in enumerate(text.words)
        if w not in has
      }
      new = sorted(wanted - self._nearest.keys())
      self._nearest |= dict.fromkeys(new, ()) | nearest_words(self.vectors, new, self.number)
    by_text = {}
    for text, has in zip(found, by_mask, strict=True):
      spelled = [_spelled(text, word) for word in text.words]
      near = [_as_candidates(word, self._nearest.get(word.lower(), ())) for word in spelled]
      by_text[text.text] = text, tuple(has.get(w, words) for w, words in enumerate(near))
    if not self.masked:
      done(1.0)
    return [by_text[text] for text in texts]


def draw_copies(
  text: Text, candidates: Candidates, number: int, rng: np.random.Generator, replaced: float = REPLACED
) -> list[str]:
  """Returns `number` texts in which each word that has candidates is replaced with the probability `replaced`.

  Two numbers are drawn for each copy and word, in that order, from 0 (inclusive) to 1: the word is replaced where the
  first is at most `replaced`, by the candidate, in alphabetical order, at which the second points. Everything between
  the words stays.
  """
  drawn = rng.random((number, len(text.words), 2))
  choices = [sorted(words) for words in candidates]
  copies = []
  for by_word in drawn.tolist():
    parts, end = [], 0
    for word, words, (chance, choice) in zip(text.words, choices, by_word, strict=True):
      if words and chance <= replaced:
        parts += [text.text[end : word.start], words[int(choice * len(words))]]
        end = word.end
    copies.append("".join([*parts, text.text[end:]]))
  return copies


def row_generator(seed: int, row: int, side: int) -> np.random.Generator:
  """Returns the random numbers of one text: of a data set's row, its first (0) or second text (1)."""
  return np.random.default_rng((seed, row, side))


def _spelled(text: Text, word: Word) -> str:
  return text.text[word.start : word.end]


def _as_candidates(word: str, candidates) -> tuple[str, ...]:
  """Returns the candidates in the word's case, without the word itself and without repetition."""
  cased = dict.fromkeys(match_case(word, candidate) for candidate in candidates)
  return tuple(candidate for candidate in cased if candidate.lower() != word.lower())


def _is_near_tie(last: float, next_one: float) -> bool:
  return bool(np.isfinite(next_one)) and last - next_one < _NEAR_TIE * max(1.0, abs(last))


def _batch(rows: Sequence[dict], length: int, batch_size: int) -> dict[str, np.ndarray]:
  """Returns rows as a padded batch, with the `position` of each one's masked token and its `own` id."""
  batch = pad_batch({name: [row[name] for row in rows] for name in ("input_ids", "token_type_ids")}, length, batch_size)
  for name in ("position", "own"):
    batch[name] = np.zeros(batch_size, np.int32)
    batch[name][: len(rows)] = [row[name] for row in rows]
  return batch


@functools.partial(jax.jit, static_argnums=(0, 1))
def _most_probable(
  model: MaskedLanguageModel, number: int, params: Params, allowed_V: Bool[Array, "V"], batch: Batch
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
  """Returns the highest logits at each row's position among the allowed tokens but its own, and their ids."""
  with jax.default_matmul_precision("highest"):  # less would make near ties of many more candidates
    logits_BxV = model.apply({"params": params}, batch, positions=batch["position"][:, None]).logits[:, 0]
  may_be = allowed_V & (jnp.arange(allowed_V.size) != batch["own"][:, None])
  return jax.lax.top_k(jnp.where(may_be, logits_BxV, -jnp.inf), number)

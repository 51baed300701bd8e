"""Data augmentation: a text again with some of its words replaced (Algorithm 1 of arXiv:1909.10351).

Words of one piece get the masked language model's most probable words for their place, words of several pieces their
nearest neighbours among word vectors. `Augmenter` finds these candidates for many texts at once; `draw_copies` draws
the new texts.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tinybert_jax.augmentation.masked_words import CANDIDATES, Done
from tinybert_jax.augmentation.word_vectors import WordVectors, nearest_words, of_words
from tinybert_jax.augmentation.words import Text, as_candidates, find_words
from tinybert_jax.choices import REPLACED
from tinybert_jax.errors import InputError
from tinybert_jax.models.tokenizer_type import Tokenizer

Candidates = tuple[tuple[str, ...], ...]  # of each word of a text, the best first
FindCandidates = Callable[[Sequence[Text], Done], list[dict[int, tuple[str, ...]]]]  # as `MaskedWords` does


class Augmenter:
  """Candidates for the words of texts, by a masked language model, by word vectors, or by both as in the paper."""

  def __init__(
    self,
    tokenizer: Tokenizer | None,
    masked: FindCandidates | None,
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
    if masked is not None and tokenizer is None:
      raise InputError("a masked language model needs its tokenizer, and there is none")
    if number < 1:
      raise InputError(f"number {number}: at least one candidate a word is needed")
    self.tokenizer, self.masked, self.number = tokenizer, masked, number
    self.vectors = of_words(vectors) if vectors else None
    self._nearest: dict[str, tuple[str, ...]] = {}

  def __call__(self, texts: Sequence[str], done: Done = lambda share: None) -> list[tuple[Text, Candidates]]:
    """Returns each text with its words and their candidates, the best first; equal texts are computed once.

    `done` is told each share of the work that is done, of 1 in all.
    """
    found = find_words(self.tokenizer, list(dict.fromkeys(texts)))
    by_mask = self.masked(found, done) if self.masked else [{} for _ in found]
    if self.vectors:
      wanted = {
        text.spelled(word).lower()
        for text, has in zip(found, by_mask, strict=True)
        for w, word in enumerate(text.words)
        if w not in has
      }
      new = sorted(wanted - self._nearest.keys())
      self._nearest |= dict.fromkeys(new, ()) | nearest_words(self.vectors, new, self.number)
    by_text = {}
    for text, has in zip(found, by_mask, strict=True):
      spelled = [text.spelled(word) for word in text.words]
      near = [as_candidates(word, self._nearest.get(word.lower(), ())) for word in spelled]
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
  if number < 0 or not 0 <= replaced <= 1:
    raise InputError(f"{number} copies with words replaced with probability {replaced}: it must be from 0 to 1")
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
  if min(seed, row, side) < 0:
    raise InputError(f"seed {seed}, row {row}, side {side}: none may be below 0")
  return np.random.default_rng((seed, row, side))

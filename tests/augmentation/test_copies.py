import functools
import re

import jax
import numpy as np
import pytest
import scipy.stats
from small_mlm import VOCABULARY, make_masked, make_model, make_tokenizer, make_vectors, write_sentences

from tinybert_jax.augmentation.copies import Augmenter, draw_copies, row_generator
from tinybert_jax.augmentation.words import STOP_WORDS, Text, Word
from tinybert_jax.errors import InputError

K = 5


@functools.cache
def plain_model():
  """Returns a function of one unpadded sentence that gives its logits."""
  model, params = make_model()
  apply = jax.jit(lambda batch: model.apply({"params": params}, batch).logits[0])

  def logits(ids, segments):
    batch = {"input_ids": ids, "token_type_ids": segments, "attention_mask": [1] * len(ids)}
    return apply({name: np.pad(values, (0, 64 - len(ids)))[None] for name, values in batch.items()})[: len(ids)]

  return logits


def algorithm_1(text, number, numbers, *, context, vectors, p=0.4):
  """Algorithm 1 in plain Python: one sentence, one word, one mask at a time.

  `numbers` are the uniform random numbers, a pair for each copy and replaceable word.
  """
  tokenizer = make_tokenizer()
  parts = re.split(r"(\W+)", text)  # words at even places
  plain = tokenizer(text, add_special_tokens=False)["input_ids"]
  candidates, place = {}, 0
  for i, part in enumerate(parts):
    pieces = tokenizer.tokenize(part)
    first, place = place, place + len(pieces)
    if not part.isalpha() or part.lower() in STOP_WORDS or "[UNK]" in pieces:
      continue
    if len(pieces) > 1:
      if part.lower() not in vectors.words:
        candidates[i] = []
        continue
      own = vectors.words.index(part.lower())
      order = np.argsort(-(vectors.vectors @ vectors.vectors[own]), kind="stable")
      found = [vectors.words[j] for j in order if j != own][:K]
    else:
      masked = list(plain)
      masked[first] = tokenizer.mask_token_id
      ids = [tokenizer.cls_token_id, *masked, tokenizer.sep_token_id]
      segments = [0] * len(ids)
      if context == "pair":
        ids += [*plain, tokenizer.sep_token_id]
        segments += [1] * (len(plain) + 1)
      logits = plain_model()(ids, segments)[1 + first]
      found = []
      for j in np.argsort(-logits):
        if j < len(VOCABULARY) and j != plain[first] and VOCABULARY[j].isalpha():
          found.append(VOCABULARY[j])
      found = found[:K]
    if len(part) > 1 and part.isupper():
      found = [word.upper() for word in found]
    elif part[0].isupper():
      found = [word[0].upper() + word[1:] for word in found]
    candidates[i] = sorted(found)
  copies = []
  for copy in range(number):
    new = list(parts)
    for w, (i, words) in enumerate(candidates.items()):
      chance, choice = numbers[copy][w]
      if words and chance <= p:
        new[i] = words[int(choice * len(words))]
    copies.append("".join(new))
  return copies


@pytest.mark.parametrize("context", ["masked", "pair"])
def test_the_same_words_as_the_algorithm_in_plain_python(context):
  texts, vectors = write_sentences(), make_vectors()
  augmenter = Augmenter(make_tokenizer(), make_masked(context=context, max_length=64), vectors, number=K)
  changed = 0
  for row, (text, candidates) in enumerate(augmenter(texts)):
    numbers = row_generator(7, row, 0).random((4, len(text.words), 2))
    copies = draw_copies(text, candidates, 4, row_generator(7, row, 0))
    assert copies == algorithm_1(texts[row], 4, numbers, context=context, vectors=vectors)
    changed += sum(copy != texts[row] for copy in copies)
  assert changed > 50


def test_progress_adds_up():
  for augmenter in (Augmenter(make_tokenizer(), make_masked(), None), Augmenter(None, None, make_vectors())):
    for texts in (write_sentences(12), ["..."]):
      shares = []
      augmenter(texts, shares.append)
      assert sum(shares) == pytest.approx(1)


def test_replacements_have_the_stated_rate_and_candidates_are_drawn_alike():
  words = tuple(Word(2 * i, 2 * i + 1, i, i) for i in range(10))
  text = Text("x " * 10, [0] * 10, words)
  choices = tuple("abcdefgh")
  counts, replaced, number = dict.fromkeys(choices, 0), 0, 200
  for row in range(200):
    for copy in draw_copies(text, (choices,) * 10, number, row_generator(0, row, 0)):
      new = [word for word in copy.split() if word != "x"]
      replaced += len(new)
      for word in new:
        counts[word] += 1
  total = 200 * number * 10
  assert scipy.stats.binomtest(replaced, total, 0.4).pvalue > 1e-3
  assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_rows_and_sides_have_random_numbers_of_their_own():
  drawn = {tuple(row_generator(*key).random(4)) for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]}
  assert len(drawn) == 4
  assert draw_copies(Text("fox", [1], (Word(0, 3, 0, 0),)), (("dog",),), 2, row_generator(0, 0, 0), 1.0) == ["dog"] * 2
  assert draw_copies(Text("fox", [1], (Word(0, 3, 0, 0),)), (("dog",),), 2, row_generator(0, 0, 0), 0.0) == ["fox"] * 2


HOSTILE = [
  "", " ", "fox", "fox " * 600, "😀 fox 😀dog", "中文没有空格 fox", "<b>fox</b> &amp; dog", "fox\tdog\ncat\r\nbird",
  "fox\x00dog \x07cat\x1b[0m", "fo\u200bx dog", "cafe\u0301 fox\u0301 dog", "\u202efox dog\u202c", "FOX Dog cAT",
  "fox" * 300, "....", "\ud7ff\ufffd fox", "ﬁsh ½ ǆ fox", "[MASK] fox [SEP] dog [CLS]",
]  # fmt: skip


def test_hostile_text_keeps_all_but_its_words():
  augmenter = Augmenter(make_tokenizer(), make_masked(), make_vectors(), number=K)
  for row, (text, candidates) in enumerate(augmenter(HOSTILE)):
    assert text.text == HOSTILE[row]
    rest, end = "", 0  # a pattern of what is between the words that may be replaced
    for word, words in zip(text.words, candidates, strict=True):
      spelled = [text.spelled(word), *words]
      rest += re.escape(text.text[end : word.start]) + f"({'|'.join(map(re.escape, spelled))})"
      end = word.end
    rest += re.escape(text.text[end:])
    for copy in draw_copies(text, candidates, 3, row_generator(0, row, 0), 1.0):
      assert re.fullmatch(rest, copy)
      assert copy != text.text or not any(candidates)
  assert [len(text.words) for text, _ in augmenter(HOSTILE)][:4] == [0, 0, 1, 600]


def test_word_vectors_alone_serve_every_word():
  vectors = make_vectors()
  _, candidates = Augmenter(None, None, vectors, number=3)(["Hello zebra, quickness sparrow"])[0]
  assert [len(words) for words in candidates] == [3, 3, 3, 0]
  assert all(word[0].isupper() for word in candidates[0])
  with pytest.raises(InputError, match="needs a masked language model or word vectors"):
    Augmenter(make_tokenizer(), None, None)

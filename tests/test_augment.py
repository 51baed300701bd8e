import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from small_mlm import CONFIG, VOCABULARY, make_model, make_tokenizer, make_vectors, write_text

from tinybert_jax import augment
from tinybert_jax.augment import (
  STOP_WORDS,
  Augmenter,
  MaskedWords,
  Text,
  Word,
  draw_copies,
  find_words,
  match_case,
  row_generator,
)
from tinybert_jax.errors import InputError
from tinybert_jax.model import initialize

K = 5


def make_masked(**options):
  return MaskedWords(*make_model(), make_tokenizer(), **({"number": K, "max_length": 48} | options))


def sentences(number=24, seed=0, longest=8):
  rng = np.random.default_rng(seed)
  return [write_text(rng, int(words)) for words in rng.integers(1, longest + 1, number)]


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
        if j < len(VOCABULARY) and j != plain[first] and VOCABULARY[j][:2] != "##" and VOCABULARY[j][0] != "[":
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
  texts, vectors = sentences(), make_vectors()
  augmenter = Augmenter(make_tokenizer(), make_masked(context=context, max_length=64), vectors, number=K)
  changed = 0
  for row, (text, candidates) in enumerate(augmenter(texts)):
    numbers = row_generator(7, row, 0).random((4, len(text.words), 2))
    copies = draw_copies(text, candidates, 4, row_generator(7, row, 0))
    assert copies == algorithm_1(texts[row], 4, numbers, context=context, vectors=vectors)
    changed += sum(copy != texts[row] for copy in copies)
  assert changed > 50


def test_candidates_do_not_depend_on_batch_devices_or_company(monkeypatch):
  texts = sentences(8)
  expected = [candidates for _, candidates in Augmenter(make_tokenizer(), make_masked(), None)(texts)]
  for batch_size in (8, 200):
    others = Augmenter(make_tokenizer(), make_masked(batch_size=batch_size), None)(texts)
    assert [candidates for _, candidates in others] == expected
  one = jax.local_devices()[:1]
  monkeypatch.setattr(jax, "local_devices", lambda: one)
  alone = Augmenter(make_tokenizer(), make_masked(batch_size=3), None)
  assert [candidates for _, candidates in alone(texts)] == expected
  assert [alone([text])[0][1] for text in texts[:3]] == expected[:3]


def test_a_near_tie_is_decided_by_the_sentence_alone(monkeypatch):
  texts = find_words(make_tokenizer(), sentences(8))
  expected = make_masked()(texts)
  monkeypatch.setattr(augment, "_NEAR_TIE", np.inf)
  masked, calls = make_masked(), []
  alone = masked._alone
  monkeypatch.setattr(masked, "_alone", lambda row: calls.append(row) or alone(row))
  assert masked(texts) == expected
  assert len(calls) == sum(len(of_text) for of_text in expected) > 10


def test_long_sentences_are_read_around_the_masked_word():
  tokenizer = make_tokenizer()
  text = " ".join(["fox dog bird"] * 200)
  found = find_words(tokenizer, [text])[0]
  assert len(found.words) == 600
  for context, room in (("masked", 46), ("pair", 22)):
    masked = make_masked(context=context)
    for at in (0, 300, 599):
      row = masked._masked_row(found, at)
      assert len(row["input_ids"]) <= 48
      assert row["input_ids"][row["position"]] == tokenizer.mask_token_id
      assert row["input_ids"].count(tokenizer.mask_token_id) == 1
      assert row["own"] == found.input_ids[at]
      start = min(max(0, at - room // 2), 600 - room)
      read = row["input_ids"][1 : 1 + room]
      read[at - start] = row["own"]
      assert read == found.input_ids[start : start + room]
  assert all(len(words) == K for words in make_masked()([found])[0].values())


def test_no_pieces_special_tokens_or_the_word_itself():
  texts = find_words(make_tokenizer(), sentences())
  wide = make_masked(number=1000)(texts)  # all that are allowed
  allowed = {token for token in VOCABULARY if token[:2] != "##" and token[0] != "["}
  for text, of_text in zip(texts, wide, strict=True):
    for w, words in of_text.items():
      spelled = text.text[text.words[w].start : text.words[w].end].lower()
      assert {word.lower() for word in words} == allowed - {spelled}


def test_which_words_may_be_replaced():
  text = "The quick fox's 2nd cat, dogs  HELLO brown-dog zebra a1 fox2 café 猫 a the."
  found = find_words(make_tokenizer(), [text])[0]
  spelled = [text[word.start : word.end] for word in found.words]
  assert spelled == ["quick", "fox", "cat", "dogs", "HELLO", "brown", "dog"]
  assert [word.is_one_piece for word in found.words] == [True, True, True, False, True, True, True]
  # Without a tokenizer nothing is unknown.
  plain = find_words(None, [text])[0]
  assert [text[word.start : word.end] for word in plain.words] == [*spelled, "zebra", "café", "猫"]


def test_progress_adds_up():
  for augmenter in (Augmenter(make_tokenizer(), make_masked(), None), Augmenter(None, None, make_vectors())):
    for texts in (sentences(12), ["..."]):
      shares = []
      augmenter(texts, shares.append)
      assert sum(shares) == pytest.approx(1)


def test_stop_words_are_lower_case_words():
  assert all(word.isalpha() and word.islower() for word in STOP_WORDS)
  assert {"the", "and", "not", "it"} <= STOP_WORDS


@pytest.mark.parametrize(
  ("word", "candidate", "cased"),
  [("fox", "dog", "dog"), ("Fox", "dog", "Dog"), ("FOX", "dog", "DOG"), ("A", "dog", "Dog"), ("fox", "Paris", "Paris"),
   ("Élan", "über", "Über")],
)  # fmt: skip
def test_the_case_is_kept(word, candidate, cased):
  assert match_case(word, candidate) == cased


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
    rest = re.sub(r"[a-zA-Z]+", "w", text.text)
    for copy in draw_copies(text, candidates, 3, row_generator(0, row, 0), 1.0):
      assert re.sub(r"[a-zA-Z.,!'1-]+", "w", copy) == re.sub(r"[a-zA-Z.,!'1-]+", "w", rest)
  assert [len(text.words) for text, _ in augmenter(HOSTILE)][:4] == [0, 0, 1, 600]


def test_word_vectors_alone_serve_every_word():
  vectors = make_vectors()
  _, candidates = Augmenter(None, None, vectors, number=3)(["Hello zebra, quickness sparrow"])[0]
  assert [len(words) for words in candidates] == [3, 3, 3, 0]
  assert all(word[0].isupper() for word in candidates[0])
  with pytest.raises(InputError, match="needs a masked language model or word vectors"):
    Augmenter(make_tokenizer(), None, None)


def test_what_does_not_go_together_is_refused():
  model, params = make_model()
  tokenizer = make_tokenizer()
  with pytest.raises(InputError, match="has positions for 64 only"):
    MaskedWords(model, params, tokenizer, max_length=65)
  tokenizer.add_tokens([f"new{i}" for i in range(4)])
  with pytest.raises(InputError, match=f"has {len(VOCABULARY) + 4} tokens, and the model only {CONFIG.vocab_size}"):
    MaskedWords(model, params, tokenizer, max_length=16)
  no_mask = make_tokenizer()
  no_mask.mask_token = None
  with pytest.raises(InputError, match="no mask token"):
    MaskedWords(model, params, no_mask, max_length=16)


def test_logits_at_positions_are_those_of_the_whole_model():
  model, _ = make_model()
  params = initialize(model, jax.random.key(3), kernels="glorot")
  batch = {
    "input_ids": jax.random.randint(jax.random.key(4), (3, 9), 0, CONFIG.vocab_size),
    "attention_mask": (jnp.arange(9) < jnp.array([[9], [6], [4]])).astype(jnp.int32),
  }
  positions = jnp.array([[1, 5], [0, 3], [2, 2]])
  whole = model.apply({"params": params}, batch).logits
  part = model.apply({"params": params}, batch, positions=positions).logits
  assert part.shape == (3, 2, CONFIG.vocab_size)
  np.testing.assert_allclose(part, jnp.take_along_axis(whole, positions[..., None], axis=1), atol=1e-5)

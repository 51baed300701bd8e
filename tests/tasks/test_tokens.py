"""Tags of words: windows of long texts, losses that padding does not change, answers."""

import datasets
import jax
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pieces import make_pieces
from small_tokenizer import word_tokenizer

from tinybert_jax.data.batches import BatchSource, row_length, with_teacher_targets
from tinybert_jax.data.ragged import Ragged
from tinybert_jax.errors import InputError
from tinybert_jax.tasks.tokens import Tokens
from tinybert_jax.tasks.word_windows import pieces_of, windows_of

TOKENIZER = word_tokenizer()
TASK = Tokens("names", ("O", "B-PER", "I-PER"), stride=2)
TEXTS = [
  ["hello", "world", "hello"],
  ["world"],
  ["hello", "\u200b", "it's", "world", "hello", "world", "world", "hello"],
]
LABELS = [[0, 1, 0], [1], [0, 1, 2, 2, 0, 0, 1, 2]]


def rows(**columns):
  return datasets.Dataset.from_dict({"words": TEXTS, "label": LABELS} | columns)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.integers(1, 9), st.integers(0, 6))
def test_each_word_counts_in_one_window_where_most_is_around_it(sizes, room, stride):
  words = np.repeat(np.arange(len(sizes)), sizes).tolist()
  windows = windows_of(words, room, min(stride, room // 2))
  assert [word for window in windows for word in range(*window.own)] == list(range(len(sizes)))
  starts = np.cumsum([0, *sizes])
  for window in windows:
    assert window.last - window.first <= room and window.first in starts
    for word in range(*window.own):
      assert window.first <= starts[word] < window.last
      # No other window that holds the word has more on the side that has less.
      around = min(starts[word] - window.first, window.last - starts[word + 1])
      for other in windows:
        if other.first <= starts[word] and starts[word + 1] <= other.last:
          assert around >= min(starts[word] - other.first, other.last - starts[word + 1])


def test_pieces_are_those_of_the_running_text_and_no_word_is_without():
  (pieces,) = pieces_of(TOKENIZER, [TEXTS[2]])
  assert sorted(set(pieces.words)) == list(range(8))
  encoded = TOKENIZER(" ".join(TEXTS[2]), add_special_tokens=False, return_offsets_mapping=True)
  assert pieces.ids == encoded["input_ids"]
  assert list(zip(pieces.starts, pieces.ends, strict=True)) == encoded["offset_mapping"]
  (pieces,) = pieces_of(TOKENIZER, [["hello", "", "world"]])
  assert pieces == ([5, TOKENIZER.unk_token_id, 6], [0, 1, 2], [0, 6, 7], [5, 6, 12])


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "xlm-roberta"])
def test_pieces_of_other_tokenizers_are_those_of_the_running_text(kind):
  tokenizer, words = make_pieces(kind), ["the", "café", "don't", "(foxes)", "a", "zz"]
  (pieces,) = pieces_of(tokenizer, [words])
  text = " ".join(words)
  encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
  assert pieces.ids == encoded["input_ids"] and sorted(set(pieces.words)) == list(range(6))
  for start, end, word, (first, last) in zip(
    pieces.starts, pieces.ends, pieces.words, encoded["offset_mapping"], strict=True
  ):
    assert text[start:end].strip() == text[first:last].strip()
    begin = len(" ".join(words[:word])) + (word > 0)
    assert begin <= start <= end <= begin + len(words[word])


@pytest.mark.parametrize("max_length", [3, 6, 64])
def test_rows_of_any_length_join_to_the_same_words(max_length):
  made = TASK.tokenize(TOKENIZER, rows(), max_length)
  assert row_length(made).max() <= max_length and all(ids[0] == 2 and ids[-1] == 3 for ids in made["input_ids"])
  truth = TASK.truth(made)
  assert [truth[text].tolist() for text in range(3)] == LABELS
  sure = Ragged(10.0 * np.eye(3, dtype=np.float32)[np.concatenate(made["token_labels"])], row_length(made))
  outputs = TASK.joined(sure, made)
  assert outputs.words == TEXTS and TASK.score(outputs, truth)["f1"] == TASK.score(outputs, truth)["accuracy"] == 1
  assert TASK.answers(outputs)[2]["answer"] == ["\u200b it's world (PER)", "world hello (PER)"]
  assert TASK.written({"words": TEXTS[0], "label": LABELS[0]}) == ["world (PER)"]
  other = TASK.joined(Ragged(np.zeros_like(sure.values), sure.lengths), made)  # says O of every word
  assert TASK.agreement(outputs, other) == 5 / 12
  assert (TASK.disagreement(outputs, other) > 0).tolist() == [True, True, True]
  assert TASK.disagreement(outputs, outputs).tolist() == [0, 0, 0]
  majority = TASK.details({"student": outputs}, truth)["majority"]
  assert majority["label"] == "O" and majority["f1"] == 0 and majority["accuracy"] == 5 / 12
  assert TASK.tags(outputs[[2, 0]])[1] == ["O", "B-PER", "O"]


def test_unlabelled_texts_and_running_text():
  made = TASK.tokenize(TOKENIZER, rows().remove_columns("label"), 64)
  assert TASK.truth(made) is None and "token_labels" not in made.column_names
  raw = datasets.Dataset.from_dict({"text": [" hello  world\thello"]})
  made = TASK.tokenize(TOKENIZER, raw, 64)
  sure = 10 * np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 0]]
  found = TASK.columns(Ragged(sure, np.array([5])), made)
  assert found["prediction"].to_pylist() == [["B-PER", "I-PER", "O"]]
  (entity,) = found["entities"].to_pylist()[0]
  assert entity == {
    "entity_group": "PER",
    "score": pytest.approx(1, abs=1e-3),
    "word": "hello  world",
    "start": 1,
    "end": 13,
  }


def test_the_losses_are_means_over_words_and_padding_changes_nothing():
  made = TASK.tokenize(TOKENIZER, rows(), 64)
  rng = np.random.default_rng(0)
  logits, targets = (
    Ragged(rng.normal(size=(int(row_length(made).sum()), 3)).astype(np.float32), row_length(made)) for _ in range(2)
  )
  flat = {name: np.concatenate(made[name]) for name in ("token_weights", "token_labels")}
  first = flat["token_weights"] == 1
  assert first.sum() == 12
  log = scipy.special.log_softmax(logits.values[first].astype(np.float64), -1)
  hard = -log[np.arange(12), flat["token_labels"][first]].mean()
  soft = -(scipy.special.softmax(targets.values[first].astype(np.float64) / 2, -1) * scipy.special.log_softmax(
    logits.values[first].astype(np.float64) / 2, -1)).sum(-1).mean()  # fmt: skip
  data = with_teacher_targets(made, targets)

  def both(padded, batch):
    return TASK.label_loss(padded, batch).mean(), TASK.target_loss(padded, batch["teacher_targets"], batch, 2.0).mean()

  for size, length in ((3, 12), (5, 16)):
    batch = BatchSource(data, batch_size=size, lengths=(length,), shuffle=False)[0]
    padded = np.full((size, length, 3), 7.0, np.float32)  # what stands at padding must not matter
    for place, tokens in enumerate(batch["attention_mask"].sum(-1)[:3]):
      padded[place, :tokens] = logits[row_length(made).tolist().index(tokens)]
    (ours, theirs), gradient = jax.jit(lambda x, b: (both(x, b), jax.grad(lambda y: sum(both(y, b)))(x)))(padded, batch)
    np.testing.assert_allclose([ours, theirs], [hard, soft], rtol=1e-5)
    assert not np.asarray(gradient)[np.asarray(batch["token_weights"]) == 0].any()


def test_tags_without_entities_are_scored_by_word():
  task = Tokens("words", ("NOUN", "VERB"))
  made = task.tokenize(TOKENIZER, rows(label=[[0, 1, 0], [1], [0] * 8]), 64)
  sure = Ragged(np.eye(2, dtype=np.float32)[np.concatenate(made["token_labels"])], row_length(made))
  outputs, truth = task.joined(sure, made), task.truth(made)
  assert task.score(outputs, truth) == {"accuracy": 1.0, "macro_f1": 1.0} and task.ranked_by == ("accuracy",)
  assert task.answers(outputs)[1]["answer"] == ["world (VERB)"]
  assert list(task.columns(sure, made)) == ["prediction"]
  assert task.details({"student": outputs}, truth)["majority"]["label"] == "NOUN"


def test_several_teachers_and_no_room():
  values = [np.log(np.array([[0.2, 0.5, 0.3]], np.float32)), np.log(np.array([[0.6, 0.1, 0.3]], np.float32))]
  mean = TASK.combine_targets([Ragged(one, np.array([1])) for one in values], (1.0, 1.0))
  np.testing.assert_allclose(np.exp(mean.values), [[0.4, 0.3, 0.3]], rtol=1e-5)
  with pytest.raises(InputError, match="max_length 2 leaves no room"):
    TASK.tokenize(TOKENIZER, rows(), 2)

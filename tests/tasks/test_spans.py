"""Spans: marks found by offsets, losses that padding does not change, the choice over windows, no answer."""

import dataclasses

import datasets
import jax
import numpy as np
import pytest
import scipy.special
from small_pieces import make_pieces
from small_tokenizer import word_tokenizer

from tinybert_jax.data.batches import BatchSource, row_length, with_teacher_targets
from tinybert_jax.data.ragged import Ragged, ragged
from tinybert_jax.errors import InputError
from tinybert_jax.tasks.spans import Spans

TOKENIZER = word_tokenizer()
CONTEXT = " hello world. hello-world (hello world) world hello, hello"
ASKED = [
  ("hello world", CONTEXT, ["hello-world"], [14]),
  ("world", CONTEXT, ["world hello", "hello"], [40, 47]),
  ("hello hello hello hello", "world", ["world"], [0]),
]
TASK = Spans("asked", stride=3, longest_question=2, longest_answer=4)


def rows(asked=ASKED, labels=True):
  columns = {"text": [one[0] for one in asked], "pair": [one[1] for one in asked]}
  if labels:
    columns["label"] = [{"text": one[2], "start": one[3]} for one in asked]
  return datasets.Dataset.from_dict(columns)


def sure_of(made):
  """Returns logits that are sure of the marks of token rows."""
  marks = np.stack([np.concatenate(made[name]) for name in ("token_starts", "token_ends")], -1)
  return Ragged(9 * marks.astype(np.float32), row_length(made))


@pytest.mark.parametrize(
  ("kind", "max_length"), [("words", 9), ("words", 13), ("words", 64), ("roberta", 40), ("xlm-roberta", 40)]
)
def test_marks_are_the_answers_and_windows_cover_the_text(kind, max_length):
  tokenizer = TOKENIZER if kind == "words" else make_pieces(kind)
  task = dataclasses.replace(TASK, longest_answer=20)
  made = task.tokenize(tokenizer, rows(), max_length)
  assert row_length(made).max() <= max_length
  outputs, truth = task.joined(sure_of(made), made), task.truth(made)
  assert truth == [one[2] for one in ASKED]
  for answer, (_, context, texts, starts) in zip(outputs.answers, ASKED, strict=True):
    # The answer, widened to whole words of the tokenizer, which may have punctuation.
    assert texts[0] in answer.text and context[answer.start : answer.end] == answer.text
    assert answer.start <= starts[0] < answer.end
  assert TASK.score(outputs, truth)["f1"] > 0.6
  if kind == "words":
    assert [answer.text for answer in outputs.answers] == [one[2][0] for one in ASKED]
    assert TASK.score(outputs, truth) == {"f1": 1, "exact_match": 1}
  # A text's pieces, window by window, are those of the text alone.
  first = np.flatnonzero(np.asarray(made["number"][:]) == 0)
  size = max_length - (row_length(made)[first[0]] - len(made["starts"][int(first[0])]))
  step = size - min(3, size // 2)
  pieces = [ids[begin : begin + len(starts)] for ids, begin, starts in zip(
    made["input_ids"][: len(first)], made["begin"], made["starts"], strict=False)]  # fmt: skip
  together = [piece for place, one in enumerate(pieces) for piece in (one if place == len(pieces) - 1 else one[:step])]
  assert together == tokenizer(CONTEXT, add_special_tokens=False)["input_ids"]


def test_a_question_is_cut_and_a_window_without_its_answer_marks_cls():
  made = TASK.tokenize(TOKENIZER, rows(), 9)
  assert all(ids[0] == 2 and ids.count(3) == 2 and ids.index(3) <= 3 for ids in made["input_ids"])
  starts = np.asarray([np.argmax(marks) for marks in made["token_starts"]])
  assert (starts == 0).any() and all(sum(marks) == 1 for marks in made["token_starts"])
  with pytest.raises(InputError, match="max_length 4 leaves no room for a question and a text"):
    TASK.tokenize(TOKENIZER, rows(), 4)
  unlabelled = TASK.tokenize(TOKENIZER, rows(labels=False), 64)
  assert TASK.truth(unlabelled) is None and not set(TASK.label_columns) & set(unlabelled.column_names)


def test_the_best_span_is_that_of_all_pairs():
  """Against all spans of all windows, one by one."""
  made = TASK.tokenize(TOKENIZER, rows(), 11)
  rng = np.random.default_rng(0)
  logits = ragged([rng.normal(size=(length, 2)).astype(np.float32) for length in row_length(made)])
  for number, answer in enumerate(TASK.joined(logits, made).answers):
    spans, nulls = {}, []
    for place in np.flatnonzero(np.asarray(made["number"][:]) == number):
      row, own = made[int(place)], logits[int(place)].astype(np.float64)
      begin, length = row["begin"], len(row["starts"])
      kept = own[[0, *range(begin, begin + length)]]
      probability = scipy.special.softmax(kept, 0)
      nulls.append((kept[0].sum(), probability[0].prod()))
      for i in range(length):
        for j in range(i, min(length, i + 4)):
          score = own[begin + i, 0] + own[begin + j, 1]
          spans[score] = row["starts"][i], row["ends"][j], probability[i + 1, 0] * probability[j + 1, 1]
    start, end, probability = spans[max(spans)]
    assert (answer.start, answer.end) == (start, end) and answer.text == ASKED[number][1][start:end]
    np.testing.assert_allclose(answer.score, max(spans), rtol=1e-6)
    np.testing.assert_allclose([answer.probability, answer.null], [probability, min(nulls)[0]], rtol=1e-5)
    np.testing.assert_allclose(answer.null_probability, min(one for _, one in nulls), rtol=1e-5)
  found = TASK.columns(logits, made)
  assert found["prediction"].to_pylist() == [answer.text for answer in TASK.joined(logits, made).answers]


def test_the_losses_are_those_of_both_marks_and_padding_changes_nothing():
  made = TASK.tokenize(TOKENIZER, rows(), 13)
  rng = np.random.default_rng(0)
  logits, targets = (
    ragged([rng.normal(size=(length, 2)).astype(np.float32) for length in row_length(made)]) for _ in range(2)
  )
  hard, soft = [], []
  for place in range(len(made)):
    marks = np.stack([made[place]["token_starts"], made[place]["token_ends"]], -1)
    hard.append(-(marks * scipy.special.log_softmax(logits[place].astype(np.float64), 0)).sum(0).mean())
    log = scipy.special.log_softmax(logits[place].astype(np.float64) / 2, 0)
    soft.append(-(scipy.special.softmax(targets[place].astype(np.float64) / 2, 0) * log).sum(0).mean())
  data = with_teacher_targets(made, targets)

  def both(padded, batch):
    return TASK.label_loss(padded, batch).mean(), TASK.target_loss(padded, batch["teacher_targets"], batch, 2.0).mean()

  run = jax.jit(lambda x, b: (both(x, b), jax.grad(lambda y: sum(both(y, b)))(x)))
  for size, length in ((len(made), 13), (len(made) + 2, 16)):
    source = BatchSource(data, batch_size=size, lengths=(length,), shuffle=False)
    padded = np.full((size, length, 2), 7.0, np.float32)
    for place, row in enumerate(source.indices(0)):
      padded[place, : logits.lengths[row]] = logits[int(row)]
    (ours, theirs), gradient = run(padded, source[0])
    np.testing.assert_allclose([ours, theirs], [np.mean(hard), np.mean(soft)], rtol=1e-5)
    assert not np.asarray(gradient)[source[0]["attention_mask"] == 0].any()


def test_no_answer_where_cls_is_above_the_best_span():
  asked = [*ASKED[:2], ("hello", "world", [], [])]
  task = Spans("asked", has_null=True)
  made = task.tokenize(TOKENIZER, rows(asked), 64)
  sure = sure_of(made)
  outputs, truth = task.joined(sure, made), task.truth(made)
  assert truth[2] == [] and task.texts(outputs)[2] == ""
  assert task.score(outputs, truth) == dict.fromkeys(
    ("f1", "exact_match", "answerable_f1", "answerable_exact_match", "unanswerable_f1", "unanswerable_exact_match"), 1.0
  )
  details = task.details({"student": outputs}, truth)
  assert details["majority"]["f1"] == pytest.approx(1 / 3) and details["majority"]["label"] == "no answer"
  assert details["per_class"]["student"]["without an answer"] == {"exact_match": 1.0, "f1": 1.0, "support": 1}
  assert details["null_threshold"]["student"]["best_f1"] == 1
  strict = Spans("asked", has_null=True, null_threshold=100.0)  # which never says that there is none
  assert strict.texts(outputs)[2] == "world" and strict.score(outputs, truth)["unanswerable_f1"] == 0
  assert task.agreement(outputs, outputs) == 1 and strict.answers(outputs)[2]["answer"] == "world"
  assert task.answers(outputs)[2]["answer"] == "no answer" == task.written({"label": {"text": []}})
  # All answers are right, and all margins are those of a model that is sure of the opposite: only a threshold helps.
  wrong = task.joined(Ragged(sure.values + 30 * (np.arange(len(sure.values)) == 0)[:, None], sure.lengths), made)
  assert task.texts(wrong)[0] == "" and task.score(wrong, truth)["f1"] == pytest.approx(2 / 3)

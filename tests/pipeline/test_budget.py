"""Passes that fit into the time of a run."""

import pytest

from tinybert_jax.pipeline import plan
from tinybert_jax.pipeline.budget import Batches, Passes, Speed, fit_passes, minutes

SPEED, MOST = Speed(teacher=0.2, student=0.02), Passes(3, 20, 10)


def test_with_time_enough_the_passes_are_the_most():
  assert fit_passes(SPEED, 1e4, Batches(100, 500), MOST) == MOST


@pytest.mark.parametrize("limit", [10, 20, 40])
def test_little_time_is_kept_but_for_one_pass_of_each(limit):
  batches = Batches(100, 500)
  passes = fit_passes(SPEED, limit, batches, MOST)
  assert all(1 <= passed <= most for passed, most in zip(passes, MOST, strict=True))
  # By hand: a pass of the teacher is 100 batches of 3.5 forward passes, and so on.
  seconds = passes.teacher * 70 + passes.intermediate * 500 * 0.27 + passes.prediction * 500 * 0.07 + 500 * 0.2
  assert minutes(SPEED, passes, batches) == pytest.approx(seconds / 60)
  assert seconds <= 60 * limit


def test_a_sweep_and_the_labels_alone_take_their_time():
  usual, longer = Batches(100, 500), Batches(100, 500, points=6, labels_alone=True)
  assert fit_passes(SPEED, 60, longer, MOST).prediction < fit_passes(SPEED, 60, usual, MOST).prediction
  # By hand: a pass of the student is 500 batches of 3.5 forward passes; five more of prediction, and one of each alone.
  more = minutes(SPEED, MOST, longer) - minutes(SPEED, MOST, usual)
  assert more == pytest.approx(500 * 0.07 * (5 * MOST.prediction + MOST.prediction + MOST.intermediate) / 60)


def test_no_time_leaves_one_pass_of_each():
  assert fit_passes(SPEED, 1e-6, Batches(100, 500), MOST) == (1, 1, 1)
  assert fit_passes(SPEED, 1e-6, Batches(0, 500), MOST) == (0, 1, 1)


def test_passes_that_are_given_stay_and_leave_their_time_to_the_others():
  batches = Batches(100, 500)
  few = fit_passes(SPEED, 30, batches, MOST, (1, None, None))
  many = fit_passes(SPEED, 30, batches, MOST, (3, None, 9))
  assert few.teacher == 1 and many[::2] == (3, 9) and few.intermediate >= many.intermediate
  assert fit_passes(SPEED, 1e-6, batches, MOST, (5, 6, 7)) == (5, 6, 7)


def test_what_timings_decide_is_decided_once(tmp_path):
  calls = []

  def choose():
    calls.append(1)
    return {"width": len(calls)}

  assert [plan.planned(tmp_path / "out", ["shape", 7.5], choose) for _ in range(2)] == [{"width": 1}] * 2
  assert plan.planned(tmp_path / "out", ["shape", 2.0], choose) == {"width": 2}
  (tmp_path / "out" / "plan.json").write_text("{")  # cut off
  assert plan.planned(tmp_path / "out", ["shape", 7.5], choose) == {"width": 3}

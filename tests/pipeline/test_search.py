"""The search for a student's shape: what is tried in a budget, who goes on, and that a run goes on where it stopped."""

import json

import pytest
from small_distil import SHORT, greetings, refused, write, write_teacher

from tinybert_jax.cli import search as program
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.pipeline import distil, search, shape
from tinybert_jax.pipeline.distil_settings import Settings
from tinybert_jax.pipeline.search_settings import SearchOptions
from tinybert_jax.settings import from_flat

TEACHER = EncoderConfig(
  vocab_size=600, hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=192,
  max_position_embeddings=32,
)  # fmt: skip


def cost(config):
  """As many products as a layer has, times the layers: what makes the shapes' speed here."""
  width, wide = config.hidden_size, config.intermediate_size
  return config.num_hidden_layers * (4 * width**2 + 2 * width * wide)


@pytest.fixture
def speed(monkeypatch):
  monkeypatch.setattr(shape, "_times_faster", lambda teacher, student, *_: cost(teacher) / cost(student))
  monkeypatch.setattr(shape, "latency_ms", lambda *_: 10.0)
  monkeypatch.setattr(shape, "LEAST_TOKENS", 50)


@pytest.mark.usefixtures("speed")
def test_the_widest_shapes_in_the_budget_are_tried_and_cheaper_ones():
  found = search.in_budget(TEACHER, None, smaller=6.0, faster=8.0, length=16, dtype="float32")
  assert {one.layers for one in found} == {1, 2} and len({one.name for one in found}) == len(found)
  for one in found:
    assert one.times_faster >= 8.0 and one.parameters <= shape.size(TEACHER) / 6
    assert one.feed_forward in (one.width, 2 * one.width, 4 * one.width)
  # Feed-forward layers that are narrower leave room for wider hidden states.
  one_layer = {one.feed_forward // one.width: one.width for one in found if one.layers == 1 and one.times_faster < 16}
  assert one_layer[1] > one_layer[2] > one_layer[4]
  assert max(one.times_faster for one in found) >= 32  # a quarter of the time
  assert any(50 < one.vocabulary < 600 for one in found)


@pytest.mark.usefixtures("speed")
def test_tokens_that_are_asked_for_stay():
  found = search.in_budget(TEACHER, 100, smaller=3.0, faster=8.0, length=16, dtype="float32")
  assert {one.vocabulary for one in found} == {100}


def options(tmp_path, **flat):
  chosen = {
    "teacher": write_teacher(tmp_path / "teacher"),
    "train": write(tmp_path / "train.csv", greetings(24)),
    "out": tmp_path / "out",
    "smaller": 1.1,
    "faster": 1.5,
  }
  return from_flat(Settings, {**SHORT, **chosen, **flat})


@pytest.mark.usefixtures("speed")
def test_the_better_half_goes_on_and_a_stopped_search_too(tmp_path, monkeypatch, capsys):
  scores = {}
  tried = []

  def score(short, task):
    name = short.out.name.removeprefix("round-")
    tried.append((name, short.training.prediction_epochs, short.data.max_train_examples))
    if len(tried) == 4 and not scores:
      raise KeyboardInterrupt
    return scores.setdefault(name, int(name.split("x")[1]) / 100)  # the widest is the best

  monkeypatch.setattr(search, "_score", score)
  finished = {"main_metric": "accuracy", "teacher": {"accuracy": 0.9}, "student": {"accuracy": 0.8}, "split": "dev"}
  monkeypatch.setattr(distil, "run", lambda settings, **_: finished)
  settings, how = options(tmp_path, smaller=1.0), SearchOptions(rounds=3, search_rows=20)
  found = search.run(settings, how)
  first, rounds = list(tried), [len(row["scores"]) for row in found["shapes"]]
  shapes = len(found["shapes"])
  assert shapes == 4 and sorted(rounds) == [1, 1, 2, 2]
  assert [passes for _, passes, _ in tried] == 4 * [1] + 2 * [2] and {rows for *_, rows in tried} == {20}
  assert found["best"] == max(scores, key=scores.get)
  assert json.loads((tmp_path / "out" / search.RESULTS).read_text()) == found
  assert (tmp_path / "out" / search.PICTURE).stat().st_size > 10_000
  lines = search.table(found).splitlines()
  assert len(lines) == 1 + shapes and lines[1].startswith(found["best"]) and "round 2" in lines[0]
  assert search.run(settings, how) == found and tried == first  # nothing is tried again


@pytest.mark.parametrize(
  ("given", "problem"),
  [
    (["--pretrained", "x"], "search needs one --teacher that is fine-tuned already"),
    (["--teacher", "a", "--student", "tinybert-4l-312d"], "search finds the student's shape"),
    (["--teacher", "a", "--latency-ms", "2", "--faster", "4"], "--latency-ms and --faster both say how fast"),
    (["--teacher", "a", "--stages", "teacher"], "search distils in both stages"),
    (["--teacher", "a", "--rounds", "0"], "--rounds 0"),
    (["--teacher", "a", "--latency-ms", "-1"], "--latency-ms -1"),
  ],
)
def test_options_that_contradict_each_other(given, problem, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert problem in refused(capsys, *given, "--train", "t.csv", program=program)
  assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("speed")
def test_a_budget_in_which_no_student_is(tmp_path):
  with pytest.raises(InputError, match=r"no student of this teacher \(10.00 ms .* is so small and so fast"):
    search.run(options(tmp_path, faster=1e6), SearchOptions())


@pytest.mark.drill
@pytest.mark.usefixtures("speed")
def test_a_search_ends_with_the_best_student(tmp_path, monkeypatch):
  monkeypatch.setattr(search, "_TRIED", ((1.0, 1.0), (0.5, 1.0)))
  settings = options(tmp_path, smaller=1.0, minutes=0.1)
  found = search.run(settings, SearchOptions(rounds=1, search_rows=12))
  assert all(0 <= score <= 1 for row in found["shapes"] for score in row["scores"])
  student = json.loads((settings.out / search.BEST / "student" / "config.json").read_text())
  assert found["best"] == f"1x{student['hidden_size']}x{student['intermediate_size']}"
  assert found["best_score"] is not None and not list(settings.out.glob("round-*"))
  assert search.run(settings, SearchOptions(rounds=1, search_rows=12)) == found

"""`tinybert-jax distil --kind ranking`: what its data and options must be."""

import json

import numpy as np
import pytest
from small_distil import refused, write_teacher

from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import ranking_data
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.tasks.ranking import Ranking


def write_queries(path, number, scores=None):
  row = {"passages": ["hello world", "world"]} | ({} if scores is None else {"scores": scores})
  path.write_text("".join(json.dumps({"query": f"hello {n}", **row}) + "\n" for n in range(number)))
  return str(path)


def test_queries_are_split_whole_and_their_scores_are_the_teachers_where_no_model_is(tmp_path):
  table = write_queries(tmp_path / "q.jsonl", 10, [3.0, 1.0])
  sources = Sources(unlabelled=(table,), test=(table,))
  data = ranking_data.load(sources, Ranking("q"), has_teacher=False, seed=0)
  assert data.transfer["group"][:] == [n for n in data.transfer["group"][::2] for _ in range(2)]
  assert len(data.transfer) == 18 and set(data.dev["group"][:]).isdisjoint(data.transfer["group"][:])
  np.testing.assert_array_equal(data.targets, np.tile([[3.0], [1.0]], (9, 1)))
  np.testing.assert_array_equal(data.dev_targets, [[3.0], [1.0]])
  assert data.test["label"][:4] == [3.0, 1.0, 3.0, 1.0] and "label" not in data.transfer.column_names
  taught = ranking_data.load(sources, Ranking("q"), has_teacher=True, seed=0)
  assert taught.targets is None and taught.dev_targets is None


@pytest.mark.parametrize(
  "scores, said",
  [
    ([-1.0, 2.0], "the score -1; they say how relevant"),
    ([1.0, 1.0], "no query has passages of different scores"),
    ([0.0, 0.0], "no query has passages of different scores"),
  ],
)
def test_scores_by_which_no_order_is_better_are_refused(tmp_path, scores, said):
  table = write_queries(tmp_path / "q.jsonl", 3)
  sources = Sources(unlabelled=(table,), dev=(write_queries(tmp_path / "d.jsonl", 2, scores),))
  with pytest.raises(InputError, match=said):
    ranking_data.load(sources, Ranking("q"), has_teacher=True, seed=0)


def test_queries_of_one_passage_are_learnt_from_and_do_not_choose(tmp_path):
  one = {"query": "alone", "passages": ["hello"]}
  path = tmp_path / "q.jsonl"
  path.write_text("".join(json.dumps({**one, "query": f"alone {n}"}) + "\n" for n in range(6)))
  sources = Sources(unlabelled=(str(path),))
  with pytest.raises(InputError, match="every query has one passage, so there is no order to choose by; give --dev"):
    ranking_data.load(sources, Ranking("q"), has_teacher=True, seed=0)
  path.write_text(path.read_text() + json.dumps({"query": "both", "passages": ["hello", "world"]}) + "\n")
  data = ranking_data.load(sources, Ranking("q"), has_teacher=True, seed=0)
  assert data.dev["text"][:] == ["both", "both"] and len(data.transfer) == 6


@pytest.mark.parametrize(
  "options, said",
  [
    ("--train q.jsonl --teacher one", "give queries with passages as --unlabelled alone"),
    ("--unlabelled q.jsonl", "needs a --teacher, or"),
    ("--unlabelled q.jsonl --teacher two", "a classifier of 2 classes"),
    ("--unlabelled q.jsonl --student one", "no scores; give --teacher"),
    ("--unlabelled q.jsonl --teacher one --test q.jsonl", "how relevant each passage is"),
    ("--unlabelled q.jsonl --teacher one --ranking-loss-weights 1", "1 weights for 2 losses"),
    ("--unlabelled t.csv --teacher one", "the columns query and passages"),
  ],
)
def test_what_does_not_go_with_rankings_gets_one_sentence(tmp_path, monkeypatch, capsys, options, said):
  monkeypatch.chdir(tmp_path)
  write_teacher(tmp_path / "one", labels=("score",))
  write_teacher(tmp_path / "two")
  write_queries(tmp_path / "q.jsonl", 3)
  (tmp_path / "t.csv").write_text("text,score\nhello,1\nworld,2\n")
  shape = [] if "--student" in options else ["--student-layers", 1, "--student-width", 12]
  assert said in refused(capsys, "--kind", "ranking", *shape, *options.split())

"""Queries with passages from files, and files that are none."""

import json

import numpy as np
import pytest

from tinybert_jax.data.ranked import read_ranked
from tinybert_jax.errors import InputError


def lines(path, *rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return [path]


def test_queries_with_passages_and_triples(tmp_path):
  scored = read_ranked(
    lines(
      tmp_path / "a.jsonl",
      {"query": "q", "passages": ["a", "b"], "scores": [2, 0.5]},
      {"query": "r", "passages": ["c"], "scores": [1]},
    )
  )
  assert (scored.queries, scored.passages) == (["q", "r"], [["a", "b"], ["c"]])
  np.testing.assert_array_equal(np.concatenate(scored.scores), [2, 0.5, 1])
  triples = read_ranked(lines(tmp_path / "b.jsonl", {"query": "q", "positive": "a", "negative": ["b", "c"]}))
  assert triples.passages == [["a", "b", "c"]] and triples.scores[0].tolist() == [1, 0, 0]
  assert read_ranked(lines(tmp_path / "c.jsonl", {"query": "q", "passages": ["a", "b"]})).scores is None


def test_rows_of_one_query_are_put_together_and_a_passage_counts_once(tmp_path):
  triples = [("q", "a", ["b", "c"]), ("r", "d", ["a"]), ("q", "c", ["a", "e"])]
  found = read_ranked(lines(tmp_path / "a.jsonl", *({"query": q, "positive": p, "negative": n} for q, p, n in triples)))
  assert (found.queries, found.passages) == (["q", "r"], [["a", "b", "c", "e"], ["d", "a"]])
  assert [scores.tolist() for scores in found.scores] == [[1, 0, 1, 0], [1, 0]]
  assert "1 of 3 rows" in found.notes[-2] and "2 passages" in found.notes[-1]


@pytest.mark.parametrize(
  "row, said",
  [
    ({"question": "q", "passages": ["a"]}, "it has question, passages"),
    ({"query": "q", "passages": []}, "row 1: passages: []"),
    ({"query": " ", "passages": ["a"]}, "row 1: query: an empty text"),
    ({"query": "q", "passages": ["a", "b"], "scores": [1]}, "row 1: 1 scores for 2 passages"),
    ({"query": "q", "passages": ["a"], "scores": ["high"]}, "row 1: scores are ['high']"),
  ],
)
def test_rows_that_are_none_get_one_sentence(tmp_path, row, said):
  with pytest.raises(InputError) as error:
    read_ranked(lines(tmp_path / "a.jsonl", row))
  assert said in str(error.value)

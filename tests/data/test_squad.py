"""SQuAD's layouts, and marks that do not fit."""

import json

import datasets
import pytest

from tinybert_jax.data.squad import read_questions
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import own_spans
from tinybert_jax.pipeline.dev_split import split_dev
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_tables import Known

TEXT = "Ada met Eve. Eve met Ada in Rome."


def asked(number, answers, **more):
  marked = [{"text": text, "answer_start": start} for text, start in answers]
  return {"id": f"q{number}", "question": f"who {number}?", "answers": marked, **more}


def write(path, *questions, articles=1):
  paragraphs = [{"context": TEXT, "qas": list(questions)}]
  data = [{"title": f"t{number}", "paragraphs": paragraphs} for number in range(articles)]
  path.write_text(json.dumps({"version": "v2.0", "data": data}))
  return str(path)


def test_both_versions_and_the_hubs_rows_give_the_same_questions(tmp_path):
  path = write(
    tmp_path / "a.json", asked(1, [("Ada", 0), ("Ada met", 0)]), asked(2, [], is_impossible=True, plausible_answers=[])
  )
  notes = []
  one, two = read_questions([path], notes)
  assert one == ("q1", "who 1?", TEXT, ("Ada", "Ada met"), (0, 0), "t0") and two.answers == () and notes == []
  rows = [
    {"id": each.id, "title": each.article, "context": each.context, "question": each.question,
     "answers": {"text": list(each.answers), "answer_start": list(each.starts)}}
    for each in (one, two)
  ]  # fmt: skip
  datasets.Dataset.from_list(rows).to_parquet(tmp_path / "b.parquet")
  (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  for name in ("b.parquet", "c.jsonl"):
    assert read_questions([str(tmp_path / name)], []) == [one, two]
  made = own_spans.read_train(Sources(train=(path,)), Known("spans", None), [])
  assert made.names == ("start", "end", "none") and made.rows.rows[0]["label"] == {
    "text": ["Ada", "Ada met"], "start": [0, 0]
  }  # fmt: skip


def test_wrong_marks_are_put_right_where_that_can_be_and_counted(tmp_path):
  path = write(tmp_path / "a.json", asked(1, [("Rome", 3)]), asked(2, [("Eve", 9)]), asked(3, [("Eve", 8)]))
  notes = []
  found = read_questions([path], notes)
  assert [one.starts for one in found] == [(28,), (-1,), (8,)]
  assert "1 answers are not where their marks say, and are in their text once: put right" in notes[0]
  assert "1 answers are not where their marks say, and are in their text several times" in notes[1]
  notes = []
  made = own_spans.read_train(Sources(train=(path,)), Known("spans", None), notes)
  assert len(made.rows.rows) == 2 and made.names == ("start", "end") and "1 questions without a place" in notes[-1]


def test_dev_is_of_other_articles(tmp_path):
  path = write(tmp_path / "a.json", *(asked(number, [("Ada", 0)]) for number in range(4)), articles=5)
  made = own_spans.read_train(Sources(train=(path,)), Known("spans", None), [])
  split = split_dev(made.rows, 0.3, 0, stratify=False)
  groups = [set(side.rows["group"][:]) for side in (split.dev, split.rest)]
  assert not groups[0] & groups[1] and [len(side.rows) for side in (split.dev, split.rest)] == [8, 12]
  with pytest.raises(InputError, match="all rows are of one group"):
    split_dev(made.rows.select(range(4)), 0.3, 0, stratify=False)


@pytest.mark.parametrize(
  ("question", "problem"),
  [
    (asked(1, [("Bob", 0)]), "question q1: the answer 'Bob' does not stand in its text"),
    (asked(1, [(" ", 0)]), "question q1: an empty answer; a question without one has an empty list"),
    (asked(1, [("Ada", "x")]), "question q1: its answers are"),
    (asked(1, [("Ada", 0)]) | {"question": " "}, "question q1: ' ' as question, and a text is needed"),
    ({"question": "who?", "answers": []}, "not SQuAD's layout .* missing or wrong is 'id'"),
  ],
)
def test_what_is_wrong_is_told_with_its_question(tmp_path, question, problem):
  with pytest.raises(InputError, match=problem):
    read_questions([write(tmp_path / "a.json", question)], [])


def test_other_files_are_told(tmp_path):
  (tmp_path / "a.jsonl").write_text('{"question": "who?"}\n')
  with pytest.raises(InputError, match="no column context; it has question"):
    read_questions([str(tmp_path / "a.jsonl")], [])
  (tmp_path / "b.json").write_text("{")
  with pytest.raises(InputError, match=r"b\.json: cannot be read as JSON"):
    read_questions([str(tmp_path / "b.json")], [])
  path = write(tmp_path / "c.json", asked(1, []), asked(2, []))
  with pytest.raises(InputError, match="no question has an answer"):
    own_spans.read_train(Sources(train=(path,)), Known("spans", None), [])

"""`tinybert-jax predict` on tables and files that it cannot use, and on a disk that is full."""

import json
import os

import pyarrow.parquet as pq
import pytest
from small_distil import greetings, refused, texts, write, write_teacher

from tinybert_jax import InputError, predict_table
from tinybert_jax.cli import predict
from tinybert_jax.pipeline import predictions


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  return write_teacher(tmp_path_factory.mktemp("models") / "teacher")


def test_files_that_cannot_be_written(model, tmp_path, capsys, monkeypatch):
  data = write(tmp_path / "data.csv", greetings(3))
  before = (tmp_path / "data.csv").read_bytes()

  def of(out):
    return refused(capsys, "--model", model, "--data", data, "--out", out, program=predict)

  assert "the name must end in .csv, .tsv, .jsonl, .parquet" in of(tmp_path / "out.xlsx")
  assert "data.csv: the table that is read; give another file" in of(data)
  assert "a file, and a folder is needed" in of(f"{data}/out.csv")
  (tmp_path / "folder.csv").mkdir()
  assert "a folder, and a file is to be written" in of(tmp_path / "folder.csv")
  assert (tmp_path / "data.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_full_disk_leaves_what_was_there(model, tmp_path, capsys, name):
  out = tmp_path / name
  out.write_text("before")
  data = write(tmp_path / "data.csv", greetings(20))
  os.symlink("/dev/full", tmp_path / f".{name}.new")
  said = refused(capsys, "--model", model, "--data", data, "--out", out, program=predict)
  assert "No space left on device" in said
  assert out.read_text() == "before" and {path.name for path in tmp_path.iterdir()} == {"data.csv", name}


def test_models_that_are_not_finished_or_ambiguous(model, tmp_path, capsys):
  data = write(tmp_path / "data.csv", greetings(3))
  twice = write_teacher(tmp_path / "twice", ("a", "a"))
  said = refused(capsys, "--model", twice, "--data", data, "--out", tmp_path / "out.csv", program=predict)
  assert "calls two classes 'a'; correct id2label in its config.json" in said
  numbers = write_teacher(tmp_path / "numbers", ("a", "b", "c"), problem_type="regression")
  with pytest.raises(InputError, match="a regression of 3 numbers a text"):
    predict_table(numbers, data, tmp_path / "out.csv")


def test_tables_that_change_on_the_way(model, tmp_path, monkeypatch):
  monkeypatch.setattr(predictions, "_PIECE", 4)
  rows = [{"text": text, "note": None if number < 4 else "late"} for number, text in enumerate(texts(8))]
  table = tmp_path / "data.jsonl"
  table.write_text("\n".join(map(json.dumps, rows)))
  predict_table(model, table, tmp_path / "out.parquet")
  assert pq.read_table(tmp_path / "out.parquet")["note"].to_pylist() == [None] * 4 + ["late"] * 4
  table.write_text("\n".join(map(json.dumps, [*rows, {"text": "hello", "note": "x", "more": 1}])))
  with pytest.raises(InputError, match="the column more comes or goes on the way; write"):
    predict_table(model, table, tmp_path / "out.csv")
  assert predict_table(model, table, tmp_path / "out.jsonl").rows == 9
  table.write_text("\n".join(map(json.dumps, [*rows, {"text": ["hello"], "note": "x"}])))
  with pytest.raises(InputError, match="row 9 or after: the column text holds list"):
    predict_table(model, table, tmp_path / "out.jsonl")
  assert not (tmp_path / "out.csv").exists()


def test_pairs_for_a_model_of_one_segment(tmp_path):
  one = write_teacher(tmp_path / "one", type_vocab_size=1)
  rows = [(text, text[::-1]) for text in texts(4)]
  data = write(tmp_path / "data.csv", [*rows, ("hello world", "")], ("premise", "hypothesis"))
  done = predict_table(one, data, tmp_path / "out.jsonl")
  found = [json.loads(line)["prediction"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
  assert set(found[:4]) <= {"greets", "not"} and found[4] is None
  assert any("1 rows without a text or its pair" in note for note in done.notes)


@pytest.mark.parametrize(
  ("name", "content", "problem"),
  [
    ("a.csv", b"", "a.csv: empty; at least one row is needed"),
    ("a.csv", b"text,label\n", "a.csv: a header (text, label) and no rows"),
    ("a.csv", b"text,text\nhello,world\n", "a.csv: two columns are called 'text'"),
    ("a.csv", b"text,label\n1.5,a\n", "a.csv: the column text holds numbers"),
    ("a.json", b'[{"text": NaN}]', "a.json: the column text holds numbers"),
    ("a.csv", b"text,label\nhello\0,a\n", "a.csv, line 2: a NUL byte"),
    ("a.csv", b"text,label\nh\xe9llo,a\n", "a.csv, line 2: byte 0xe9 is not UTF-8 text"),
    ("a.jsonl", b'{"text": ["hello"]}', "a.jsonl, row 1: the column text holds lists"),
    ("a.csv.gz", b"text", "a.csv.gz: damaged or cut off"),
    ("folder", None, "folder: a directory without tables"),
  ],
)
def test_tables_that_cannot_be_read(model, tmp_path, monkeypatch, name, content, problem):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "folder").mkdir()
  if content is not None:
    (tmp_path / name).write_bytes(content)
  with pytest.raises(InputError) as refusal:
    predict_table(model, name, "out.csv")
  assert problem in str(refusal.value) and not (tmp_path / "out.csv").exists()


def test_rows_without_anything_to_be_seen_have_no_prediction(model, tmp_path):
  (tmp_path / "a.csv").write_text(
    "\ufefftext,n\r\nhello world,1\r\u200b\u3000,2\nworld,3\n", encoding="utf-8", newline=""
  )
  done = predict_table(model, tmp_path / "a.csv", tmp_path / "out.jsonl")
  found = [json.loads(line)["prediction"] is None for line in (tmp_path / "out.jsonl").read_text().splitlines()]
  assert found == [False, True, False] and "1 rows without a text have no prediction" in done.notes
  assert not any("cut" in note for note in done.notes)
  cut = predict_table(model, tmp_path / "a.csv", tmp_path / "out.jsonl", max_length=3)
  assert any("2 rows fill all 3 tokens that are read; what is longer is cut" in note for note in cut.notes)

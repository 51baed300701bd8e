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

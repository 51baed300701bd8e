"""The official files with their traps, the hub's rows, and what is said of bad ones."""

import datasets
import numpy as np
import pytest
from glue_files import LAYOUTS, write_diagnostic, write_task

from tinybert_jax.errors import InputError
from tinybert_jax.tasks import glue_files as glue
from tinybert_jax.tasks.glue import DIAGNOSTIC, TASKS, find_task
from tinybert_jax.tasks.metrics import METRICS


def text_of(path):
  return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_read_with_all_its_splits(tmp_path, name):
  task = TASKS[name]
  folder = write_task(tmp_path, name)
  assert set(task.files.values()) == {path.name for path in folder.iterdir()}
  for split in task.files:
    rows, skipped = glue.load_rows(task, split, tmp_path)
    assert skipped == 0
    assert len(rows) == (40 if split == "train" else 20)
    expected = {"index", "text"} | ({"pair"} if len(task.texts) == 2 else set())
    assert set(rows.column_names) == expected | (set() if split.startswith("test") else {"label"})
    for row in rows:
      if "label" in row:
        begins = row["text"].startswith("hello") + (name == "MNLI" and row["pair"].startswith("hello"))
        label = row["label"] if task.is_regression else task.written[row["label"]]
        names = {"MNLI": ("contradiction", "entailment", "neutral"), "STS-B": (0.0, 5.0)}
        two = ("not_entailment", "entailment") if name in ("QNLI", "RTE") else ("0", "1")
        assert label == names.get(name, two)[begins]
  assert rows["index"][:3] == ["0", "1", "2"]


def test_the_tables_entries_hang_together():
  for task in TASKS.values():
    assert task.is_regression or len(task.written) == len(task.labels)
    assert set(task.metrics) <= set(METRICS)
    assert task.max_length == (64 if len(task.texts) == 1 else 128)
  epochs = {name: task.intermediate_epochs for name, task in TASKS.items()}
  assert (epochs["CoLA"], epochs["MNLI"], epochs["QQP"], epochs["QNLI"], epochs["MRPC"]) == (50, 10, 10, 10, 20)


@pytest.mark.parametrize(
  ("spelling", "name"),
  [("sst2", "SST-2"), ("SST-2", "SST-2"), ("sts-b", "STS-B"), ("stsb", "STS-B"), ("STS_B", "STS-B"), ("QqP", "QQP")],
)
def test_usual_spellings(spelling, name):
  assert find_task(spelling).name == name


def test_unknown_tasks_and_the_diagnostic():
  with pytest.raises(InputError, match="squad: no such task; there are CoLA, SST-2"):
    find_task("squad")
  with pytest.raises(InputError, match="the task mnli predicts it"):
    find_task("ax")


def test_quotes_line_separators_and_carriage_returns_are_no_ends_of_cells(tmp_path):
  lines = ["sentence\tlabel", 'he said "a\t1', "one\u2028two\x85three\t0", "'\t1"]
  (tmp_path / "dev.tsv").write_bytes("\r\n".join(lines).encode() + b"\r\n")
  rows = glue.read_tsv(TASKS["SST-2"], "dev", tmp_path / "dev.tsv").rows
  assert rows["text"][:] == ['he said "a', "one\u2028two\x85three", "'"]
  assert rows["label"][:] == [1, 0, 1]


@pytest.mark.parametrize(
  "content",
  [
    b"sentence\tlabel\rhello\t1\rworld\t0\r",
    "sentence\tlabel\n \u3000\nhello\t1\n\r\nworld\t0".encode("utf-8-sig"),
    "sentence\tlabel\nhello\t1\nworld\t0\n".encode("utf-16"),
  ],
)
def test_any_line_ends_byte_order_marks_and_blank_lines(tmp_path, content):
  (tmp_path / "dev.tsv").write_bytes(content)
  rows = glue.read_tsv(TASKS["SST-2"], "dev", tmp_path / "dev.tsv").rows
  assert (rows["text"][:], rows["label"][:]) == (["hello", "world"], [1, 0])


def test_incomplete_rows_of_qqp_are_counted(tmp_path):
  folder = write_task(tmp_path, "QQP")
  with open(folder / "train.tsv", "a", encoding="utf-8") as file:
    file.write("41\t1\t2\thello\n42\t1\t2\thello\tworld\t1\n")
  rows, skipped = glue.load_rows(TASKS["QQP"], "train", tmp_path)
  assert (len(rows), skipped, rows[-1]["text"]) == (41, 1, "hello")


@pytest.mark.parametrize(
  ("task", "change", "problem"),
  [
    ("RTE", lambda text: text + "40\thello\tentailment\n", r"train.tsv, line 42: 3 cells, and 4 are needed \(index"),
    ("RTE", lambda text: text + "40\ta\tb\tmaybe\n", "line 42: the label is 'maybe', and RTE has entailment, not_ent"),
    ("CoLA", lambda text: text.replace("gj04\t1", "gj04\tx", 1), r"train.tsv, line \d+: the label is 'x'.*0, 1"),
    ("STS-B", lambda text: text.replace("\t5.000\n", "\tnan\n", 1), "the score is 'nan', and a number from 0 to 5"),
    ("STS-B", lambda text: text.replace("\t5.000\n", "\t7\n", 1), "the score is '7', and a number from 0 to 5"),
    ("SST-2", lambda text: text.replace("label", "class", 1), "line 1: no column label; the header names sentence, cl"),
    ("MRPC", lambda text: text.split("\n")[0], "train.tsv: no rows"),
    ("WNLI", lambda text: "", "line 1: no column sentence1 .*the header names nothing"),
    ("QQP", lambda text: text.split("\n")[0] + "\n1\t2\n", "no complete rows, 1 incomplete"),
  ],
)
def test_bad_rows_are_named_with_file_and_line(tmp_path, task, change, problem):
  path = write_task(tmp_path, task) / "train.tsv"
  path.write_text(change(text_of(path)), encoding="utf-8")
  with pytest.raises(InputError, match=problem):
    glue.load_rows(TASKS[task], "train", tmp_path)


def test_bytes_that_are_no_text(tmp_path):
  path = write_task(tmp_path, "SST-2") / "dev.tsv"
  path.write_bytes(b"sentence\tlabel\nhello\t1\nh\xe9llo\t1\n")
  with pytest.raises(InputError, match=r"dev.tsv, line 3: not UTF-8 text .* at byte 2"):
    glue.load_rows(TASKS["SST-2"], "dev", tmp_path)


def test_folders_are_found_by_any_spelling_or_given_themselves(tmp_path):
  folder = write_task(tmp_path, "SST-2").rename(tmp_path / "sst2")
  assert glue.find_folder(TASKS["SST-2"], tmp_path) == folder
  assert glue.find_folder(TASKS["SST-2"], folder) == folder
  assert glue.find_folder(TASKS["RTE"], tmp_path) is None
  assert glue.find_folder(TASKS["RTE"], folder) is None  # another task's folder has a train.tsv too
  write_diagnostic(tmp_path)
  assert len(glue.load_rows(DIAGNOSTIC, "test", tmp_path).rows) == 5


def test_missing_folders_and_files(tmp_path):
  with pytest.raises(InputError, match="nowhere: no such directory"):
    glue.load_rows(TASKS["RTE"], "dev", tmp_path / "nowhere")
  with pytest.raises(InputError, match=r"no folder RTE there, and no dev.tsv"):
    glue.load_rows(TASKS["RTE"], "dev", tmp_path)
  (write_task(tmp_path, "RTE") / "dev.tsv").unlink()
  with pytest.raises(InputError, match=r"RTE/dev.tsv: no such file, and RTE needs it"):
    glue.load_rows(TASKS["RTE"], "dev", tmp_path)


def test_rows_of_the_hub(monkeypatch):
  names = ["not_entailment", "entailment"]  # not the table's order
  features = datasets.Features(
    {
      "sentence1": datasets.Value("string"),
      "sentence2": datasets.Value("string"),
      "label": datasets.ClassLabel(names=names),
      "idx": datasets.Value("int32"),
    }
  )
  asked = []

  def load_dataset(*what, split):
    asked.append((*what, split))
    rows = {"sentence1": ["a"], "sentence2": ["b"], "label": [1], "idx": [7]}
    return datasets.Dataset.from_dict(rows, features=features)

  monkeypatch.setattr(datasets, "load_dataset", load_dataset)
  assert glue.load_rows(TASKS["RTE"], "dev", None).rows[0] == {"text": "a", "pair": "b", "index": "7", "label": 0}
  assert "label" not in glue.load_rows(TASKS["RTE"], "test", None).rows.column_names
  assert asked == [("nyu-mll/glue", "rte", "validation"), ("nyu-mll/glue", "rte", "test")]


@pytest.mark.parametrize(
  ("split", "name"),
  [("train", "train"), ("dev", "validation_matched"), ("test_mismatched", "test_mismatched")],
)
def test_names_of_mnlis_splits_on_the_hub(monkeypatch, split, name):
  rows = datasets.Dataset.from_dict(
    {"premise": ["a"], "hypothesis": ["b"], "label": [2], "idx": [0]},
    features=datasets.Features(
      {
        "premise": datasets.Value("string"),
        "hypothesis": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["entailment", "neutral", "contradiction"]),
        "idx": datasets.Value("int32"),
      }
    ),
  )
  asked = []
  monkeypatch.setattr(datasets, "load_dataset", lambda *what, split: asked.append(split) or rows)
  assert glue.load_rows(TASKS["MNLI"], split, None).rows[0]["text"] == "a"
  assert asked == [name]


def test_no_network_and_no_cache(monkeypatch):
  def load_dataset(*what, split):
    raise ConnectionError("no route")

  monkeypatch.setattr(datasets, "load_dataset", load_dataset)
  with pytest.raises(InputError, match=r"nyu-mll/glue \(qqp\): not in the cache.*give a folder of GLUE's official"):
    glue.load_rows(TASKS["QQP"], "train", None)


def test_leaderboard_files(tmp_path):
  logits = np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)
  glue.write_predictions(tmp_path / "RTE.tsv", TASKS["RTE"], ["0", "1"], logits)
  assert text_of(tmp_path / "RTE.tsv") == "index\tprediction\n0\tnot_entailment\n1\tentailment\n"
  glue.write_predictions(tmp_path / "SST-2.tsv", TASKS["SST-2"], ["0", "1"], logits)
  assert text_of(tmp_path / "SST-2.tsv") == "index\tprediction\n0\t1\n1\t0\n"
  notes = glue.write_predictions(tmp_path / "STS-B.tsv", TASKS["STS-B"], ["0", "1"], np.array([[5.2], [1.23456]]))
  assert text_of(tmp_path / "STS-B.tsv") == "index\tprediction\n0\t5.000\n1\t1.235\n"
  assert notes == ["STS-B.tsv: 1 of 2 scores are outside 0 to 5, and cut to that"]
  (note,) = glue.write_predictions(tmp_path / "STS-B.tsv", TASKS["STS-B"], ["0", "1"], np.array([[0.1], [0.9]]))
  assert note.startswith("STS-B.tsv: scores are from 0.100 to 0.900, and GLUE's from 0 to 5; is the teacher's scale")


def test_leaderboard_names_are_the_servers():
  names = {task.leaderboard_file(split) for task in (*TASKS.values(), DIAGNOSTIC) for split in task.test_splits}
  assert names == {f"{name}.tsv" for name in (*(set(LAYOUTS) - {"MNLI"}), "MNLI-m", "MNLI-mm", "AX")}

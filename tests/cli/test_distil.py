"""`tinybert-jax distil` and `predict`, from end to end on a tiny encoder and small tables."""

import csv
import dataclasses
import json
import types

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest
import transformers
from small_distil import SHAPE, SHORT, greetings, greets, options, texts, write, write_teacher
from small_glue import TEACHER, write_encoder

from tinybert_jax import distil_task, predict_table
from tinybert_jax.cli import distil
from tinybert_jax.errors import InputError

EPOCHS = SHORT | {"teacher_epochs": 6, "prediction_epochs": 4}


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Tables, an encoder, and one finished run, made once."""
  root = tmp_path_factory.mktemp("distil")
  given = types.SimpleNamespace(
    pretrained=write_encoder(root / "encoder", dataclasses.replace(TEACHER, num_hidden_layers=2)),
    train=write(root / "train.csv", [*greetings(80), ("hello hello", "")]),
    unlabelled=str(root / "more.txt"),
    test=write(root / "test.csv", [*greetings(30, 1), greetings(1)[0]]),
    out=root / "out",
  )
  (root / "more.txt").write_text("\n".join(texts(30, 2)))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "device_count", lambda: 1)
    distil.main(options(**vars(given), **EPOCHS, **SHAPE))
  return given


def test_a_run_ends_with_a_student_metrics_and_a_page(made, capsys):
  metrics = json.loads((made.out / "metrics.json").read_text())
  assert metrics["teacher"]["accuracy"] > 0.9 and metrics["kind"] == "classification"
  assert metrics["labels"] == ["greets", "not"] and metrics["split"] == "test"
  # 80 with labels less an eighth for dev, one that lacks its label, and 30 without.
  assert (metrics["data"]["labelled"], metrics["data"]["transfer"]) == (72, 103)
  assert any("1 rows without a label" in note for note in metrics["data"]["notes"])
  assert any("as well, and flatter the scores" in note for note in metrics["data"]["notes"])
  assert (made.out / "report.html").stat().st_size > 50_000
  # Programs that cut texts where nobody says cut the student's to the length that it was trained on.
  tokenizer = transformers.AutoTokenizer.from_pretrained(made.out / "student")
  assert tokenizer.model_max_length == metrics["data"]["max_length"] < TEACHER.max_position_embeddings
  classify = transformers.pipeline("text-classification", model=str(made.out / "student"))
  rows = list(csv.DictReader(open(made.test)))  # noqa: SIM115
  theirs = np.mean([classify(row["review"])[0]["label"] == row["topic"] for row in rows])
  assert theirs == pytest.approx(metrics["student"]["accuracy"])
  capsys.readouterr()
  distil.main(options(**vars(made), **EPOCHS, **SHAPE))
  assert capsys.readouterr().out.count("reused from") == 4


def test_a_finished_teacher_needs_no_labels(made, tmp_path):
  metrics = distil_task(tmp_path / "out", teacher=made.out / "teacher", unlabelled=made.unlabelled, **EPOCHS, **SHAPE)
  assert 0 <= metrics["agreement"] <= 1 and "accuracy" not in metrics["student"] and metrics["data"]["labelled"] == 0
  assert metrics["labels"] == ["greets", "not"]


def test_teachers_are_averaged_and_targets_may_come_from_elsewhere(made, tmp_path):
  both = distil_task(
    tmp_path / "two", teacher=(made.out / "teacher", made.out / "student"), train=made.train, **EPOCHS, **SHAPE
  )
  sizes = [json.loads((made.out / "metrics.json").read_text())[side]["parameters"] for side in ("teacher", "student")]
  assert both["teacher"]["parameters"] == sum(sizes)
  rows = [(text, float(greets(text) == "greets"), float(greets(text) == "not")) for text in texts(60)]
  given = write(tmp_path / "given.csv", rows, ("review", "greets", "not"))
  metrics = distil_task(
    tmp_path / "given", unlabelled=given, target_columns=("greets", "not"), pretrained=made.pretrained, test=made.test,
    **EPOCHS, **SHAPE,
  )  # fmt: skip
  assert metrics["student"]["accuracy"] > 0.9 and "teacher" not in metrics


@pytest.mark.parametrize(
  ("kind", "label", "problem_type"),
  [("regression", lambda text: text.count("hello") + 0.5, "regression"),
   ("multi_label", lambda text: "|".join(sorted(set(text.split()))), "multi_label_classification")],
)  # fmt: skip
def test_other_kinds_of_task(made, tmp_path, kind, label, problem_type):
  train = write(tmp_path / "train.csv", [(text, label(text)) for text in texts(60)])
  tuned = {"threshold": "tuned"} if kind == "multi_label" else {}
  metrics = distil_task(
    tmp_path / "out", pretrained=made.pretrained, train=train, kind=kind, **tuned, **EPOCHS, **SHAPE
  )
  assert metrics["kind"] == kind and metrics["split"] == "dev"
  assert json.loads((tmp_path / "out" / "student" / "config.json").read_text())["problem_type"] == problem_type
  assert 0 < metrics["student"]["score"] <= 1
  done = predict_table(tmp_path / "out" / "student", train, tmp_path / "p.jsonl")
  first = json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0])
  assert done.rows == 60 and isinstance(first["prediction"], float if kind == "regression" else str)


def test_predictions_are_those_of_transformers(made, tmp_path):
  rows = [(text, "x") for text in texts(20, 3)] + [("", "y")]
  data = write(tmp_path / "data.csv", rows)
  done = predict_table(made.out / "student", data, tmp_path / "out.parquet", text="review", dtype="float32")
  assert done.rows == 21 and any("1 rows without a text" in note for note in done.notes)
  table = pq.read_table(tmp_path / "out.parquet").to_pylist()
  assert [row["topic"] for row in table] == [topic for _, topic in rows] and table[-1]["prediction"] is None
  classify = transformers.pipeline("text-classification", model=str(made.out / "student"))
  for row in table[:-1]:
    theirs = classify(row["review"])[0]
    assert row["prediction"] == theirs["label"]
    np.testing.assert_allclose(row["probability"], theirs["score"], rtol=1e-4)
  length = json.loads((made.out / "metrics.json").read_text())["data"]["max_length"]
  long = write(tmp_path / "long.csv", [("hello " * 100, "x")])
  for name, more in (("default", {}), ("same", {"max_length": length}), ("longer", {"max_length": 100})):
    predict_table(made.out / "student", long, tmp_path / f"{name}.jsonl", **more)
  default, same, longer = ((tmp_path / f"{name}.jsonl").read_text() for name in ("default", "same", "longer"))
  assert default == same != longer
  with pytest.raises(InputError, match="the name must end in"):
    predict_table(made.out / "student", data, tmp_path / "out.xlsx")


@pytest.mark.parametrize(
  ("changes", "problem"),
  [
    ({"pretrained": None}, "who teaches"),
    ({"train": ()}, "--pretrained is fine-tuned on labels; give --train"),
    ({"train": ("nowhere.csv",)}, "nowhere.csv: "),
    ({"label": ("nothing",)}, "--label nothing"),
    ({"student": "tinybert-4l-312d"}, "--student names a shape"),
    ({"teacher_epochs": 0}, "--teacher-epochs 0: it must be at least 1"),
    ({"seed": 2**64}, "--seed 18446744073709551616: it must be at least 0 and at most"),
    ({"stages": ("prediction",)}, "teacher: not there yet; run that stage first"),
    ({"kind": "regression"}, "regression"),
  ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_sentence(made, tmp_path, changes, problem):
  with pytest.raises(InputError, match=problem):
    distil.main(options(**vars(made) | EPOCHS | SHAPE | {"out": tmp_path / "out"} | changes))


def test_labels_that_the_teacher_or_train_lacks(made, tmp_path):
  other = write(tmp_path / "other.csv", [(text, "unheard") for text in texts(10)])
  with pytest.raises(InputError, match="labels 'unheard' are not among the known classes"):
    distil_task(tmp_path / "a", teacher=made.out / "teacher", train=other)
  with pytest.raises(InputError, match="labels 'unheard' are not among the known classes"):
    distil_task(tmp_path / "b", pretrained=made.pretrained, train=made.train, test=other)


def test_classes_that_are_only_numbered(tmp_path):
  write_teacher(tmp_path / "teacher", ("LABEL_0", "LABEL_1", "LABEL_2"))
  numbers = write(tmp_path / "numbers.csv", [(text, n % 2 + 1) for n, text in enumerate(texts(30))])
  metrics = distil_task(tmp_path / "out", teacher=tmp_path / "teacher", train=numbers, **EPOCHS, **SHAPE)
  assert metrics["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]
  assert metrics["per_class"]["teacher"]["LABEL_0"]["support"] == 0
  names = write(tmp_path / "names.csv", [(text, greets(text)) for text in texts(30)])
  with pytest.raises(InputError, match="the teacher's are only numbered, LABEL_0 to LABEL_2; name them in their order"):
    distil_task(tmp_path / "other", teacher=tmp_path / "teacher", train=names)

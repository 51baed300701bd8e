"""The cards of a run's folders, from records written by hand."""

import dataclasses
import json

import yaml

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.model_card import front_matter, model_card
from tinybert_jax.pipeline import cards
from tinybert_jax.pipeline.cards import Data, Origin

CONFIG = EncoderConfig(vocab_size=7, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4)
RECIPE = {"epochs": 3, "batch_size": 8, "learning_rate": 2e-5}
RTE = Data("GLUE RTE", "nyu-mll/glue", "rte")
ORIGIN = Origin(("google-bert/bert-base-uncased",), None, RTE, splits={"dev": "validation"})


def write_stage(folder, name, inputs, readme="", **about):
  (folder / name).mkdir(parents=True)
  record = {"inputs": {"stage": name, **inputs}, **about}
  (folder / name / "stage.json").write_text(json.dumps(record))
  (folder / name / "README.md").write_text(readme)


def test_a_stage_tells_its_recipe_and_that_of_the_stages_before(tmp_path):
  write_stage(tmp_path, "teacher", RECIPE, rows=80, seconds=10.0, score=0.9)
  write_stage(tmp_path, "intermediate", {"steps": 30, "batch_size": 8, "learning_rate": 1e-4}, rows=100, seconds=5.0)
  sweep = [RECIPE | {"batch_size": size, "score": score} for size, score in ((8, 0.7), (16, 0.8))]
  inputs = {
    "stage": "prediction",
    "teacher": "fingerprint",
    "recipes": [RECIPE, RECIPE | {"batch_size": 16}],
    "temperature": 2.0,
  }
  about = {"accuracy": 0.8, "score": 0.8, "sweep": sweep, "rows": 100}
  card = cards.of_stage(tmp_path, inputs, about, 7.04, ORIGIN, before=("teacher", "intermediate"))
  assert card.metrics == {"accuracy": 0.8} and card.split == "validation"
  assert card.base_model == "google-bert/bert-base-uncased"
  assert card.stages == [
    {"name": "teacher", "rows": 80, **RECIPE, "seconds": 10.0, "score": 0.9, "steps": 30},
    {"name": "intermediate", "rows": 100, "steps": 30, "batch_size": 8, "learning_rate": 1e-4, "seconds": 5.0},
    {"name": "prediction", "rows": 100, **RECIPE, "batch_size": 16, "temperature": 2.0, "seconds": 7.0, "score": 0.8,
     "steps": 21},
  ]  # fmt: skip


def test_a_model_is_made_from_what_the_stage_before_was_made_from(tmp_path):
  head = "---\n" + yaml.safe_dump({"base_model": "mine/other", "license": "mit"}) + "---\n\n# A\n"
  write_stage(tmp_path, "teacher", RECIPE, head)
  inputs = {"stage": "intermediate", "teacher": "fingerprint", **RECIPE}
  card = cards.of_stage(tmp_path, inputs, {}, 1.0, ORIGIN, before=("teacher",))
  assert (card.base_model, card.license) == ("mine/other", "mit")
  with_weights = Origin(ORIGIN.teachers, "huawei-noah/TinyBERT_General_4L_312D")
  assert cards.of_stage(tmp_path, inputs, {}, 1.0, with_weights, before=("teacher",)).base_model == with_weights.student
  assert cards.of_stage(tmp_path, {"stage": "labels", **RECIPE}, {}, 1.0, ORIGIN).base_model is None
  two = Origin(("a/b", "c/d"))
  assert cards.of_stage(tmp_path, {"stage": "teacher-2", **RECIPE}, {}, 1.0, two).base_model == "c/d"
  assert cards.of_stage(tmp_path, inputs, {}, 1.0, two, before=("teacher",)).base_model == ["a/b", "c/d"]


def test_the_licence_comes_from_the_models_readme(tmp_path):
  for number, (text, expected) in enumerate(
    (
      ("---\nlicense: apache-2.0\n---\n# A\n", "apache-2.0"),
      ("---\nlicense: [a, b]\n---\n", None),
      ("---\n: {\n---\n", None),
      ("# A\n\n---\nlicense: mit\n---\n", None),
      ("", None),
    )
  ):
    folder = tmp_path / str(number)
    folder.mkdir()
    (folder / "README.md").write_text(text)
    assert cards.license_of(str(folder)) == expected
  assert cards.license_of(str(tmp_path / "nowhere")) is None and cards.license_of("no/such-model") is None


def test_a_students_card_tells_both_splits_teacher_and_constant_answer(tmp_path):
  side = {"parameters": 5, "latency_ms": 1.0, "layers": 2, "width": 8}
  metrics = {
    "main_metric": "accuracy",
    "split": "dev",
    "student": side | {"accuracy": 0.8, "accuracy_mismatched": 0.7, "score": 0.75},
    "teacher": side | {"accuracy": 0.9, "accuracy_mismatched": 0.85, "score": 0.87},
    "majority": {"accuracy": 0.4, "label": "neutral", "score": 0.4},
    "stages": [{"name": name, **RECIPE} for name in ("teacher", "prediction", "labels")],
    "data": {"labelled": 50, "dev": 0, "notes": ["3 rows are left out"]},
  }
  splits = {"dev": "validation_matched", "dev_mismatched": "validation_mismatched"}
  card = cards.of_student(
    tmp_path, metrics, Origin(("a/b",), None, Data("GLUE MNLI", "nyu-mll/glue", "mnli"), None, splits)
  )
  assert card.metrics == {"accuracy": 0.8} and card.further_metrics == {"validation_mismatched": {"accuracy": 0.7}}
  assert card.teacher_metrics["accuracy"] == 0.9 and card.baseline_metrics == {"accuracy": 0.4}
  assert [stage["name"] for stage in card.stages] == ["teacher", "prediction"]
  found = front_matter(model_card(CONFIG, "BertForSequenceClassification", 5, "", card))
  (index,) = found["model-index"]
  assert [(result["dataset"]["split"], result["metrics"][0]["value"]) for result in index["results"]] == [
    ("validation_matched", 0.8),
    ("validation_mismatched", 0.7),
  ]
  assert index["results"][0]["dataset"] | {"split": 0} == {
    "name": "GLUE MNLI", "type": "nyu-mll/glue", "config": "mnli", "split": 0,
  }  # fmt: skip
  other = dataclasses.replace(ORIGIN, test=cards.data_of(["data/test.csv"]))
  assert cards.of_student(tmp_path, metrics, other).dataset == "test.csv"
  assert found["datasets"] == ["nyu-mll/glue"] and found["metrics"] == ["accuracy"]


def test_a_model_without_further_stages_is_called_by_its_task(tmp_path):
  inputs = {"task": "general", "stage": "model", "teacher": "fingerprint", "epochs": None, "steps": 30, "batch_size": 8}
  about = {"rows": 100, "held_out_loss": 1.5, "held_out_hidden_1": 0.5}
  card = cards.of_stage(tmp_path, inputs, about, 3.0, Origin(("a/b",), None, Data("text.txt")), split="held out")
  assert card.stages == [{"name": "general", "rows": 100, "steps": 30, "batch_size": 8, "seconds": 3.0}]
  assert card.metrics == {"loss": 1.5, "hidden_1": 0.5} and card.split == "held out" and card.base_model == "a/b"
  masked = cards.of_stage(tmp_path, {"task": "mlm", "stage": "model"}, {}, 3.0, Origin(student="c/d"))
  assert masked.base_model == "c/d"


def test_data_is_called_by_its_files_or_its_id(tmp_path):
  (tmp_path / "texts").mkdir()
  for where, expected in (
    ([f"{tmp_path}/a.csv", "b/c.txt"], ("a.csv, c.txt", None, None)),
    ([f"{tmp_path}/texts"], ("texts", None, None)),
    (["nyu-mll/glue:cola:train"], ("nyu-mll/glue", "nyu-mll/glue", "cola")),
    (["imdb"], ("imdb", "imdb", None)),
    (["data/*.jsonl"], ("*.jsonl", None, None)),
    ([], (None, None, None)),
  ):
    assert cards.data_of(where) == expected

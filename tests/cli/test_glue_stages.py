"""`experiments.glue` from end to end on a tiny encoder and small files in GLUE's layout."""

import dataclasses
import itertools
import json
import shutil
import zipfile

import huggingface_hub
import jax
import numpy as np
import pytest
import transformers
from glue_files import write_diagnostic, write_task
from small_glue import STUDENT, TEACHER, augmenting, changed, write_config, write_encoder
from small_tokenizer import word_tokenizer

from tinybert_jax.cli import glue as program
from tinybert_jax.cli import glue_recipes
from tinybert_jax.cli.glue_options import PRETRAINED
from tinybert_jax.distillation.term_choice import TermOptions
from tinybert_jax.distillation.terms import NOT_TERMS
from tinybert_jax.errors import InputError
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.pipeline import glue_rows, leaderboard, stages
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.pipeline.stages import load as load_stage
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.run_log import read_log


def test_one_command_ends_with_metrics_a_student_and_leaderboard_files(finished, capsys):
  folder = finished.out / "RTE"
  metrics = json.loads((folder / "metrics.json").read_text())
  for side in ("teacher", "student"):
    assert {"accuracy", "score", "parameters", "flops", "latency_ms"} <= metrics[side].keys()
  assert metrics["retention"] == pytest.approx(metrics["student"]["score"] / metrics["teacher"]["score"])
  assert metrics["times_smaller"] > 1
  assert metrics["teacher"]["accuracy"] > 0.8  # the rule is easy
  lines = (folder / "RTE.tsv").read_text().splitlines()
  assert lines[0] == "index\tprediction"
  assert len(lines) == 61
  # The student as any other program sees it gives the same predictions, with label names.
  classify = transformers.pipeline("text-classification", model=str(folder / "student"))
  test = [line.split("\t") for line in (finished.data / "RTE" / "test.tsv").read_text().splitlines()[1:]]
  predictions = classify([{"text": a, "text_pair": b} for _, a, b in test])
  assert [row["label"] for row in predictions] == [line.split("\t")[1] for line in lines[1:]]
  assert {path.name for path in folder.iterdir()} == {
    "teacher", "intermediate", "prediction", "student", "metrics.json", "report.html", "figures", "RTE.tsv",
    "teacher_targets.npz", ".lock",
  }  # fmt: skip

  before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
  program.main(finished)
  assert capsys.readouterr().out.count("reused from") == 4
  assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_student_may_begin_with_the_teachers_weights(finished):
  folder = finished.out / "RTE"
  before = json.loads((folder / "intermediate" / "stage.json").read_text())["inputs"]
  program.main(changed(finished, student_from="teacher", stages=("intermediate",)))
  inputs = json.loads((folder / "intermediate" / "stage.json").read_text())["inputs"]
  # The option is part of what the stage was made from, and no part of what was made without it.
  assert inputs == before | {"student": load_stage(folder / "inherited", "RTE").fingerprint, "projections": "fitted"}
  assert inputs["student"] != before["student"] and "projections" not in before


def test_every_folder_has_a_card_that_the_hub_reads(made):
  folder = made.out / "RTE"
  student = json.loads((folder / "metrics.json").read_text())["student"]
  for name in ("teacher", "intermediate", "prediction", "student"):
    text = (folder / name / "README.md").read_text()
    card = huggingface_hub.ModelCard(text)
    assert str(made.out.parent) not in text and card.data.base_model == "encoder"
    assert (card.data.pipeline_tag, card.data.language) == ("text-classification", "en")
    assert f"| {'prediction' if name == 'student' else name} | " in text
    if name != "intermediate":  # which has no classifier yet
      (result,) = card.data.eval_results
      assert (result.dataset_type, result.dataset_config, result.dataset_split) == ("nyu-mll/glue", "rte", "validation")
      expected = student if name == "student" else stages.read_record(folder / name, "RTE")
      assert (result.metric_type, result.metric_value) == ("accuracy", pytest.approx(expected["accuracy"]))
  assert "most frequent answer" in text and "| teacher | 4 | 60 | 8 | 0.01 |" in text


def test_changed_options_redo_what_depends_on_them(finished, capsys):
  program.main(changed(finished, prediction_learning_rate=5e-3))
  out = capsys.readouterr().out
  assert out.count("reused from") == 2
  assert "prediction    done again: recipes was" in out
  program.main(changed(finished, teacher_epochs=3, stages=("teacher", "prediction")))
  out = capsys.readouterr().out
  assert "teacher       done again: epochs was 4 and is 3" in out
  assert "note: the student's intermediate stage learned from another teacher" in out
  assert "teacher_targets.npz: of another teacher" in out


def test_stages_can_be_run_alone_and_need_no_more_than_they_read(made, options):
  with pytest.raises(InputError, match=r"RTE/teacher: not there yet; run that stage first \(--stages teacher"):
    program.main(changed(options, stages=("prediction",)))
  shutil.copytree(made.out / "RTE" / "teacher", options.out / "RTE" / "teacher")
  with pytest.raises(InputError, match="RTE/intermediate: not there yet"):
    program.main(changed(options, stages=("prediction",)))
  alone = changed(options, pretrained="nobody/has-this")
  program.main(changed(alone, stages=("intermediate",)))
  program.main(changed(alone, stages=("prediction", "labels")))
  program.main(changed(alone, stages=("evaluate",), student="nobody/has-this"))
  assert "score" in json.loads((options.out / "RTE" / "metrics.json").read_text())["labels alone"]


def test_other_terms_are_another_stage_and_take_students_of_other_heads(finished, tmp_path, capsys):
  record = json.loads((finished.out / "RTE" / "intermediate" / "stage.json").read_text())
  assert not {"terms", "term_weights", "relation_layer", "relation_heads"} & record["inputs"].keys()
  student = write_config(tmp_path / "heads.json", dataclasses.replace(STUDENT, num_attention_heads=3))
  terms = TermOptions(terms=("relations", "embedding"), term_weights=("embedding=0.5",), relation_layer=1)
  options = changed(finished, student=student, stages=("intermediate",), intermediate=terms)
  program.main(options)
  said = capsys.readouterr().out
  assert "compared are embeddings × 0.5 and relations of 1 head in the teacher's layer 1" in said
  made_from = json.loads((finished.out / "RTE" / "intermediate" / "stage.json").read_text())["inputs"]
  assert made_from["terms"] == ["embedding", "relations"] and made_from["term_weights"] == {"embedding": 0.5}
  assert (made_from["relation_layer"], made_from["relation_heads"]) == (1, 1)
  rows = read_log(finished.out / "RTE" / "intermediate" / "training", None)
  terms_logged = {"embedding", "relations_queries", "relations_keys", "relations_values"}
  assert terms_logged == {key for key in rows[0] if key not in NOT_TERMS}
  assert sum(rows[0][key] for key in terms_logged) == pytest.approx(rows[0]["loss"], rel=1e-5)
  program.main(options)
  assert "reused from" in capsys.readouterr().out


def test_labels_alone_are_compared_with_the_same_student_only(finished, tmp_path, capsys):
  stages = ("intermediate", "prediction", "labels", "evaluate")
  metrics = finished.out / "RTE" / "metrics.json"
  program.main(changed(finished, stages=("labels", "evaluate")))
  assert "labels alone" in json.loads(metrics.read_text())
  wider = write_config(tmp_path / "wider.json", dataclasses.replace(STUDENT, hidden_size=16))
  program.main(changed(finished, student=wider, stages=(*stages[:2], "evaluate")))
  assert "RTE/labels is left out: of another student or other training rows" in capsys.readouterr().out
  assert "labels alone" not in json.loads(metrics.read_text())


def test_a_student_of_another_teacher_is_noted(finished, capsys):
  program.main(changed(finished, teacher_epochs=1, stages=("teacher", "evaluate")))
  assert "note: the student learned from another teacher than" in capsys.readouterr().out


def test_models_of_few_positions_are_measured_at_what_they_have(options, tmp_path):
  short = dataclasses.replace(TEACHER, max_position_embeddings=30)
  program.main(
    changed(
      options,
      pretrained=write_encoder(tmp_path / "short", short),
      student=write_config(tmp_path / "short.json", dataclasses.replace(STUDENT, max_position_embeddings=30)),
      max_length=30,
      teacher_epochs=1,
      prediction_epochs=1,
    )
  )
  assert json.loads((options.out / "RTE" / "metrics.json").read_text())["inputs"]["cost_tokens"] == 30


def test_a_teachers_order_of_classes_does_not_matter(options, tmp_path):
  write_task(tmp_path / "data", "MNLI")
  only_teacher = changed(options, task="mnli", data=tmp_path / "data", stages=("teacher",))
  program.main(only_teacher)
  right = stages.load(options.out / "MNLI" / "teacher", "MNLI")
  for order in itertools.permutations(range(3)):
    head = {name: np.asarray(value)[..., list(order)] for name, value in right.params["classifier"].items()}
    names = tuple(right.model.config.labels[number].upper() for number in order)
    for labels in (names, ("LABEL_0", "LABEL_1", "LABEL_2")):
      config = dataclasses.replace(right.model.config, labels=labels)
      directory, out = tmp_path / "-".join((*names, labels[0])), tmp_path / "-".join(("out", *names, labels[0]))
      save_pretrained(directory, config, {**right.params, "classifier": head}, tokenizer=word_tokenizer())
      given = changed(only_teacher, teacher=str(directory), out=out)
      if labels != names:
        with pytest.raises(InputError, match=r"LABEL_0, LABEL_1, LABEL_2, and the data's .*--teacher-labels entailm"):
          program.main(given)
        given = changed(given, teacher_labels=names)
      program.main(given)
      record = stages.read_record(out / "MNLI" / "teacher", "MNLI")
      assert record["accuracy"] == right.record["accuracy"]
      assert record["accuracy_mismatched"] == right.record["accuracy_mismatched"]


def test_regression_distils_the_teachers_outputs(options, tmp_path):
  write_task(tmp_path, "STS-B")
  stages = ("teacher", "intermediate", "prediction")
  program.main(changed(options, task="stsb", data=tmp_path, stages=stages, prediction_epochs=8))
  folder = options.out / "STS-B"
  teacher, student = (load_stage(folder / name, "STS-B") for name in ("teacher", "prediction"))
  assert (student.model.config.labels, student.model.config.num_labels) == (("similarity",), 1)
  logits = np.load(folder / "teacher_targets.npz")["logits"]
  rows = glue_rows.load(
    program.find_task("stsb"), tmp_path, word_tokenizer(),
    max_length=128, max_train_examples=None, seed=0, with_test=False,
  ).rows.transfer  # fmt: skip
  ours = predict(student.model, student.params, rows)
  np.testing.assert_array_equal(logits, predict(teacher.model, teacher.params, rows))
  assert np.mean((ours - logits) ** 2) < np.mean((ours[:, 0] - np.asarray(rows["labels"])) ** 2)


def test_a_sweep_keeps_the_best_on_dev_and_prints_its_points(finished, monkeypatch, capsys):
  monkeypatch.setattr(glue_recipes, "SWEEP", ((8, 1e-5), (8, 1e-2), (16, 1e-5)))
  program.main(changed(finished, sweep=True, stages=("prediction",)))
  record = stages.read_record(finished.out / "RTE" / "prediction", "RTE")
  tried = {(point["batch_size"], point["learning_rate"]): point["score"] for point in record["sweep"]}
  assert set(tried) == {(8, 1e-5), (8, 1e-2), (16, 1e-5)}
  assert record["score"] == max(tried.values())
  printed = capsys.readouterr().out
  assert printed.count("  best\n") == 1 and "0.01" in printed and "--stages evaluate" in printed


def test_all_runs_every_task_that_is_there_and_prints_one_table(options, tmp_path, capsys):
  for task in ("CoLA", "MNLI"):
    write_task(tmp_path / "data", task)
  write_diagnostic(tmp_path / "data")
  quick = changed(
    options, task="all", data=tmp_path / "data", zip=True, teacher_epochs=1, prediction_epochs=1, max_train_examples=16
  )
  program.main(quick)
  table = (options.out / "table.txt").read_text()
  assert table in capsys.readouterr().out
  assert table.splitlines()[0].split() == ["MNLI-m", "MNLI-mm", "CoLA", "average"]
  teacher = [float(cell) for cell in table.splitlines()[1].split()[1:]]
  assert teacher[-1] == pytest.approx(np.mean(teacher[:-1]), abs=0.1)
  with zipfile.ZipFile(options.out / "submission.zip") as archive:
    assert set(archive.namelist()) == {"CoLA.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"}
    assert len(archive.read("AX.tsv").splitlines()) == 6
  # What another student predicts is not sent with the file that this one left.
  (options.out / "MNLI" / "metrics.json").unlink()
  sentence = leaderboard.zip_submission(options.out)
  assert "1 files" in sentence
  assert "MNLI-m.tsv, MNLI-mm.tsv" in sentence.partition("wants")[2]


def test_many_devices_give_one_devices_numbers(options, monkeypatch):
  one = changed(options, stages=("teacher",), teacher_learning_rate=1e-4, teacher_epochs=1, out=options.out / "one")
  program.main(one)
  monkeypatch.setattr(jax, "device_count", lambda: 8)
  program.main(changed(one, out=options.out))
  many_rows, one_rows = (
    [json.loads(line) for line in (out / "RTE/teacher/training/log.jsonl").read_text().splitlines()]
    for out in (options.out, one.out)
  )
  assert len(many_rows) == len(one_rows) > 2
  for ours, theirs in zip(many_rows, one_rows, strict=True):
    assert ours.get("loss", 0) == pytest.approx(theirs.get("loss", 0), rel=1e-5)


def test_both_stages_learn_from_augmented_rows_and_the_teacher_does_not(options, tmp_path, capsys):
  given = augmenting(options, tmp_path, stages=("augmented", "teacher", "intermediate", "prediction", "labels"))
  program.main(given)
  folder = options.out / "RTE"
  record = stages.read_record(folder / "augmented", "RTE")
  assert record["source_rows"] == 120 < record["rows"] <= 120 * 7
  assert f"{record['rows']:,} rows, 120 before augmentation" in capsys.readouterr().out
  assert len(np.load(folder / "teacher_targets.npz")["logits"]) == record["rows"]
  rows = {name: stages.read_record(folder / name, "RTE")["inputs"]["training_rows"]
          for name in ("teacher", "intermediate", "prediction", "labels")}  # fmt: skip
  assert rows["teacher"] == rows["labels"] != rows["intermediate"] == rows["prediction"]

  program.main(given)
  assert capsys.readouterr().out.count("reused from") == 5
  program.main(changed(given, copies=2, stages=("augmented", "prediction")))
  out = capsys.readouterr().out
  assert "augmented     done again: copies was 3 and is 2" in out
  assert "prediction    done again: training rows changed" in out
  with pytest.raises(InputError, match="RTE/augmented: made from other training rows than these"):
    program.main(changed(given, copies=2, stages=("prediction",), max_train_examples=50))
  program.main(changed(given, stages=("prediction",), no_augment=True))
  assert "prediction    done again: training rows changed" in capsys.readouterr().out


def test_steps_take_the_place_of_epochs(finished):
  program.main(changed(finished, intermediate_steps=3, prediction_steps=4, stages=("intermediate", "prediction")))
  for stage, number in (("intermediate/training", 3), ("prediction/training/batch8-rate0.01", 4)):
    rows = (finished.out / "RTE" / stage / "log.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] == number


def test_augmentation_without_what_it_needs_is_refused_before_anything_trains(made, options, tmp_path):
  with pytest.raises(InputError, match=r"no masked language model's head in its weights.*--mlm None.*--no-augment"):
    program.main(changed(options, no_augment=False))
  assert not list((options.out / "RTE").glob("teacher*"))
  with pytest.raises(InputError, match="RTE/augmented: not there yet; run that stage first"):
    program.main(changed(options, no_augment=False, stages=("teacher", "intermediate")))
  with pytest.raises(
    InputError, match=r"words from --pretrained where no --mlm is given: .*nobody/has-this.*--no-augm"
  ):
    teacher = str(made.out / "RTE" / "teacher")
    program.main(changed(options, no_augment=False, teacher=teacher, pretrained="nobody/has-this"))
  with pytest.raises(InputError, match=r"^\S*glove.txt: no such file"):
    program.main(changed(options, no_augment=False, glove=tmp_path / "glove.txt"))
  with pytest.raises(InputError, match="--no-augment: the stage augmented, the only one"):
    program.main(changed(options, stages=("augmented",)))


def test_another_run_is_at_work_on_the_task(options):
  with only_run(options.out / "RTE"), pytest.raises(InputError, match="RTE: another run is at work there"):
    program.main(changed(options, stages=("teacher",)))
  assert not list((options.out / "RTE").glob("teacher*"))


def test_word_vectors_serve_where_the_encoder_has_no_head(options, tmp_path, capsys):
  vectors_alone = "no masked language model: every word is replaced by its neighbours in"
  program.main(augmenting(options, tmp_path, mlm=PRETRAINED, stages=("augmented",)))
  assert vectors_alone in capsys.readouterr().out
  assert stages.read_record(options.out / "RTE" / "augmented", "RTE")["rows"] > 120
  asked_for = augmenting(options, tmp_path, mlm=None, stages=("augmented",))
  program.main(asked_for)
  out = capsys.readouterr().out
  assert vectors_alone in out
  assert "reused from" in out
  with pytest.raises(InputError, match="needs --mlm, a masked language model, or --glove, word vectors"):
    program.main(changed(asked_for, glove=None, copies=3))


def test_sts_b_is_augmented_on_demand_alone(options, tmp_path, capsys):
  write_task(tmp_path, "STS-B")
  program.main(augmenting(options, tmp_path, task="stsb", data=tmp_path, stages=("augmented", "teacher")))
  assert not (options.out / "STS-B" / "augmented").exists()
  assert "augmented     not in STS-B by default" in capsys.readouterr().out
  program.main(augmenting(options, tmp_path, task="stsb", data=tmp_path, stages=("augmented",), augment=True))
  assert (options.out / "STS-B" / "augmented").exists()

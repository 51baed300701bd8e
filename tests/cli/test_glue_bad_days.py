"""`experiments.glue` with what it cannot use, and killed or without space half-way."""

import dataclasses
import errno
import json
import shutil
from pathlib import Path

import datasets
import jax
import pytest
import safetensors.numpy
from glue_files import write_task
from processes import Started
from small_glue import STUDENT, TEACHER, changed, write_config, write_encoder
from small_tokenizer import word_tokenizer

from tinybert_jax.cli import glue as program
from tinybert_jax.cli.glue_options import Options
from tinybert_jax.distillation.term_choice import TermOptions
from tinybert_jax.errors import InputError
from tinybert_jax.models import heads
from tinybert_jax.models.encoder import SequenceClassifier, initialize
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.pipeline import stages

HERE = Path(__file__).parents[1]


def bad_students():
  yield {"num_attention_heads": 4}, "4 attention heads, and the teacher has 2; attention scores are compared head by"
  yield {"vocab_size": 9}, "its vocabulary has 9 tokens, and the teacher's 7"
  yield {"num_hidden_layers": 3}, "--layer-map uniform: the uniform layer map needs a teacher of at least 3 layers"
  yield {"max_position_embeddings": 64}, "--max-length 128: the student has positions for 64 tokens only"


@pytest.mark.parametrize(("change", "problem"), list(bad_students()))
def test_students_that_do_not_fit_are_refused_before_anything_trains(options, tmp_path, change, problem):
  student = write_config(tmp_path / "other.json", dataclasses.replace(STUDENT, **change))
  with pytest.raises(InputError, match=problem):
    program.main(changed(options, student=student))
  assert not options.out.exists()


def test_a_general_student_with_another_tokenizer_is_refused(options, tmp_path):
  general = tmp_path / "general"
  program.main(changed(options, student=write_encoder(general, STUDENT), stages=("teacher",), teacher_epochs=1))
  vocabulary = json.loads((general / "tokenizer.json").read_text())
  vocabulary["model"]["vocab"] |= {"hello": 6, "world": 5}
  (general / "tokenizer.json").write_text(json.dumps(vocabulary))
  with pytest.raises(InputError, match=r"its tokenizer \(.*\) is not the teacher's"):
    program.main(changed(options, student=str(general)))


def test_teachers_that_do_not_fit_are_refused(options, tmp_path):
  labels = ("entailment", "neutral", "contradiction")
  config = dataclasses.replace(TEACHER, labels=labels)
  params = initialize(SequenceClassifier(config), jax.random.key(0))
  save_pretrained(tmp_path / "nli", config, params, tokenizer=word_tokenizer())
  with pytest.raises(InputError, match=r"it has 3 classes .*, and the data has 2 classes"):
    program.main(changed(options, teacher=str(tmp_path / "nli")))
  with pytest.raises(InputError, match="no classifier in its weights, so it is not a finished"):
    program.main(changed(options, teacher=options.pretrained))
  small = write_encoder(tmp_path / "small", dataclasses.replace(TEACHER, vocab_size=6))
  with pytest.raises(InputError, match="its tokenizer has 7 tokens, and the model only 6"):
    program.main(changed(options, pretrained=small))


@pytest.mark.parametrize(
  ("changes", "problem"),
  [
    ({"student": "tinybert-5l"}, r"--student tinybert-5l: no such preset \(tinybert-4l-312d"),
    ({"student_layers": 2}, "--student-layers goes with a preset"),
    ({"layer_map": "3;6"}, "--layer-map 3;6: uniform, top, bottom, or numbers"),
    ({"layer_map": "3"}, "--layer-map 3: layer map .* names"),
    ({"teacher_labels": ("a", "b")}, "--teacher-labels names the classes of --teacher, which is not given"),
    ({"task": "all", "teacher": "some/where"}, "does not go with --task all"),
    ({"teacher": "some/where", "stages": ("prediction",)}, "--teacher is taken in by the stage teacher; name that"),
    ({"pretrained": "nobody/has-this"}, "nobody/has-this: not a local directory"),
    ({"max_train_examples": 0}, "--max-train-examples 0"),
    ({"teacher_epochs": 0}, "--teacher-epochs 0: it must be at least 1"),
    ({"intermediate_epochs": 0}, "--intermediate-epochs 0"),
    ({"student": "tinybert-4l-312d", "student_layers": 0}, "--student-layers 0"),
    ({"intermediate_steps": 0}, "--intermediate-steps 0: it must be at least 1"),
    ({"augment": True}, "--augment and --no-augment: give one of them"),
    ({"seed": -1}, "--seed -1: it must be at least 0"),
    ({"copies": 0}, "--copies 0: it must be at least 1"),
    ({"max_length": 2}, "--max-length 2: it must be at least 8"),
    ({"temperature": 0.0}, "--temperature 0.0: it must be above 0"),
    ({"intermediate": TermOptions(term_weights=("cosine=1",))}, "--term-weights cosine=1: the term is not among"),
    (
      {"intermediate": TermOptions(terms=("relations",), relation_layer=3)},
      "--relation-layer 3: the teacher has layers 1 to 2",
    ),
    (
      {"intermediate": TermOptions(terms=("relations",), relation_heads=3)},
      "--relation-heads 3: the number must divide the widths of student and teacher, 12 and 16, as 1, 2, 4 do",
    ),
    ({"labels_learning_rate": 3.0}, "--labels-learning-rate 3.0: it must be above 0 and below 1"),
  ],
)
def test_bad_options(options, changes, problem):
  with pytest.raises(InputError, match=problem):
    program.main(changed(options, **changes))
  assert not options.out.exists()


def test_a_missing_test_file_is_said_before_training_and_can_be_done_without(finished, tmp_path):
  shutil.copytree(finished.data, tmp_path / "data")
  (tmp_path / "data" / "RTE" / "test.tsv").unlink()
  options = changed(finished, data=tmp_path / "data", out=tmp_path / "out-2")
  with pytest.raises(InputError, match=r"test.tsv: no such file, and RTE needs it.*--no-leaderboard"):
    program.main(options)
  assert not options.out.exists()
  shutil.copytree(finished.out / "RTE", options.out / "RTE", ignore=shutil.ignore_patterns("metrics.json", "RTE.tsv"))
  program.main(changed(options, leaderboard=False))
  assert (options.out / "RTE" / "metrics.json").is_file()
  assert not (options.out / "RTE" / "RTE.tsv").exists()


def test_all_names_every_missing_file_before_the_first_task_trains(options, tmp_path):
  for task in ("CoLA", "RTE", "WNLI"):
    write_task(tmp_path / "data", task)
  for file in ("RTE/dev.tsv", "WNLI/test.tsv"):
    (tmp_path / "data" / file).unlink()
  everything = changed(options, task="all", data=tmp_path / "data")
  with pytest.raises(InputError, match=r"RTE/dev.tsv, .*WNLI/test.tsv: no such file; --no-leaderboard"):
    program.main(everything)
  with pytest.raises(InputError, match=r"data/RTE/dev.tsv: no such file"):
    program.main(changed(everything, leaderboard=False))
  assert not options.out.exists()


def test_rows_longer_than_a_finished_stage_has_positions_for_are_refused(finished):
  with pytest.raises(InputError, match=r"--max-length 129: the teacher has positions for 128 tokens only"):
    program.main(changed(finished, max_length=129, stages=("prediction",)))
  folder = finished.out / "RTE" / "intermediate"
  config = json.loads((folder / "config.json").read_text())
  weights = safetensors.numpy.load_file(folder / "model.safetensors")
  name = "bert.embeddings.position_embeddings.weight"
  safetensors.numpy.save_file(weights | {name: weights[name][:100]}, folder / "model.safetensors")
  (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 100}))
  with pytest.raises(InputError, match=r"RTE/intermediate has positions for 100 tokens only"):
    program.main(changed(finished, stages=("prediction",)))


def test_no_network_and_no_cache(options, monkeypatch):
  def load_dataset(*what, split):
    raise ConnectionError("no route")

  monkeypatch.setattr(datasets, "load_dataset", load_dataset)
  with pytest.raises(InputError, match="not in the cache, and the Hugging Face hub gave no answer"):
    program.main(changed(options, data=None))


def test_a_stage_of_another_task_is_left_alone_and_the_rerun_goes_on_after_it_is_moved(finished, tmp_path):
  write_task(tmp_path, "WNLI")
  wnli = changed(finished, task="wnli", data=tmp_path, stages=("teacher",), teacher_epochs=1)
  shutil.copytree(finished.out / "RTE" / "teacher", finished.out / "WNLI" / "teacher")
  with pytest.raises(InputError, match="holds a stage of the task RTE, not of WNLI; move it, or give another --out"):
    program.main(wnli)
  left = (finished.out / "WNLI" / "teacher" / "model.safetensors").read_bytes()
  assert left == (finished.out / "RTE" / "teacher" / "model.safetensors").read_bytes()
  (finished.out / "WNLI" / "teacher").rename(tmp_path / "elsewhere")
  program.main(wnli)
  assert stages.read_record(finished.out / "WNLI" / "teacher", "WNLI")


def test_a_full_disk_loses_nothing_and_the_rerun_goes_on(finished, monkeypatch):
  folder = finished.out / "RTE"
  before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
  save = heads.save_pretrained

  def full(directory, *args, **options):
    save(directory, *args, **options)
    raise OSError(errno.ENOSPC, "No space left on device", str(directory))

  again = changed(finished, prediction_epochs=3)
  with monkeypatch.context() as patch:
    patch.setattr(heads, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
      program.main(again)
  after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
  assert before.items() <= after.items()
  program.main(again)
  assert stages.read_record(folder / "prediction", "RTE")["inputs"]["recipes"][0]["epochs"] == 3
  assert [path.name for path in folder.glob(".*")] == [".lock"]  # no half-written folder


@pytest.mark.drill
def test_a_kill_in_each_stage_changes_nothing(made, options, tmp_path):
  """Three processes, each killed as it saves a checkpoint of the next stage; the fourth ends as if none had been."""
  expected = stages.load(made.out / "RTE" / "prediction", "RTE").fingerprint
  out = tmp_path / "killed"
  arguments = [
    f"--{name.replace('_', '-')}={value}"
    for name, value in dataclasses.asdict(changed(options, out=out, no_augment=False)).items()
    if not isinstance(value, dict) and value != getattr(Options("x"), name)
  ] + ["--no-augment"]
  for stage in ("teacher", "intermediate", "prediction", ""):
    process = Started(HERE / "killed_glue.py", stage, *arguments)
    _, errors = process.communicate()
    assert process.returncode == (-9 if stage else 0), errors
    if stage:
      assert (out / "RTE" / f"{stage}.unfinished").is_dir()
      assert not (out / "RTE" / stage).exists()
  assert stages.load(out / "RTE" / "prediction", "RTE").fingerprint == expected
  assert not list((out / "RTE").glob("*.unfinished*"))

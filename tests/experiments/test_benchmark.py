"""The benchmark's suites on tiny models."""

import dataclasses
import functools
import importlib.util
import json
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest
from glue_files import write_task
from small_distil import write_teacher
from small_mlm import CONFIG as MLM_CONFIG
from small_mlm import write_model
from small_tokenizer import word_tokenizer
from test_original import STUDENT, TEACHER

from experiments import lengths
from experiments.benchmark import __main__ as program
from experiments.benchmark import augment, deploy, feeding, general, inference, task, turns
from experiments.benchmark.options import Options
from tinybert_jax.errors import InputError, WorkerKilled
from tinybert_jax.models.config import config_to_dict
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import save_pretrained


@pytest.fixture
def one_process(monkeypatch):
  """PyTorch's side in this process, which has imported everything: seconds less; the general suite's test has them."""
  monkeypatch.setattr(turns, "ProcessPoolExecutor", lambda workers, *_: ThreadPoolExecutor(workers))
  monkeypatch.setattr(turns, "_stages", {})


@pytest.mark.usefixtures("one_process")
def test_the_task_suite_compares_three_sides(capsys, tmp_path):
  path = tmp_path / "lengths.txt"
  path.write_text("2 3 4\n5 6 7\n\n8 90")
  options = Options(
    suite="task", lengths=str(path), max_length=8, sequences=16, batch_size=8, original_batches=1, repeats=1,
    compile=False, profile=True,
  )  # fmt: skip
  teacher = dataclasses.replace(TEACHER, num_hidden_layers=1)
  ratios = task.measure(options, teacher, dataclasses.replace(STUDENT, num_hidden_layers=1))
  assert list(ratios) == list(task.STAGES)
  for by_side in ratios.values():
    assert list(by_side) == [turns.ORIGINAL, turns.BEST] and all(ratio > 0 for ratio in by_side.values())
  printed = capsys.readouterr().out
  assert "lengths.txt: 8 lengths of mean 5.4, cut at 8\nours: 16 of them, mean 5.4;" in printed  # 43 / 8, 90 cut to 8
  assert all(stage in printed for stage in task.STAGES)
  assert printed.count("by part: ") == printed.count("by the compiler") == 2
  assert printed.count("together 100.0%") == 4


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("3 4\nfive", r"lengths.txt, line 2: 'five' is no length"),
    ("3\n\n4 0 5\n", r"lengths.txt, line 3: '0' is no length"),
    ("3 -4", r"lengths.txt, line 1: '-4' is no length"),
    ("2.5", r"lengths.txt, line 1: '2.5' is no length"),
    (" \n", r"lengths.txt: no lengths in it"),
    (None, r"lengths.txt: no such file, and no task whose lengths are here \(cola, mrpc, rte, stsb\)"),
  ],
)
def test_bad_lengths_are_refused(tmp_path, text, message):
  path = tmp_path / "lengths.txt"
  if text is not None:
    path.write_text(text)
  with pytest.raises(InputError, match=message):
    program.main(Options(suite="task", lengths=str(path)))


def test_bad_options_are_refused(monkeypatch):
  with pytest.raises(InputError, match="--repeats 0: it must be at least 1"):
    program.main(Options(repeats=0))
  with pytest.raises(InputError, match="--max-length 600: the models have 512 positions"):
    program.main(Options(suite="task", max_length=600))
  with pytest.raises(InputError, match="--length 600: the models have 512 positions"):
    program.main(Options(suite="general", length=600))
  with pytest.raises(InputError, match="--shapes 8: sequences and tokens are needed, such as 8x128"):
    program.main(Options(suite="inference", shapes=("8",)))
  with pytest.raises(InputError, match="--shapes: the model bert-base has 512 positions, not 600"):
    program.main(Options(suite="inference", shapes=("1x600",)))
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  for suite in ("task", "augment", "general", "inference"):
    with pytest.raises(InputError, match="pip install torch"):
      program.main(Options(suite=suite))


@pytest.mark.drill
def test_the_general_suite_compares_three_sides(capsys):
  options = Options(suite="general", batch_size=2, length=8, steps=1, repeats=1, compile=False)
  dropping = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
  teacher, student = (dataclasses.replace(config, **dropping) for config in (TEACHER, STUDENT))
  ratios = general.measure(options, teacher, student)
  assert list(ratios) == [turns.ORIGINAL, turns.BEST] and all(ratio > 0 for ratio in ratios.values())
  printed = capsys.readouterr().out
  assert "BERT 4 × 16 to BERT 2 × 12, batches of 2 × 8" in printed
  for side in ("ours, float32", "original, float32, eager", "best PyTorch, float32, eager"):
    assert f"\n{side} " in printed


@pytest.mark.usefixtures("one_process")
def test_the_inference_suite_times_every_form_of_both_dtypes(capsys, tmp_path, monkeypatch):
  monkeypatch.setattr(inference, "TURN_SECONDS", 1e-6)
  monkeypatch.setattr(inference, "_MODULES", ("a_package_that_is_not_there",))
  (tmp_path / "config.json").write_text(json.dumps(config_to_dict(dataclasses.replace(STUDENT, num_hidden_layers=1))))
  options = Options(suite="inference", model=(str(tmp_path),), shapes=("1x8", "2x4"), repeats=1, compile=False)
  ratios = inference.measure(options)
  assert [str(shape) for _, shape in ratios] == ["1 x 8", "2 x 4"]
  assert all(by_side[inference.PYTORCH] > 0 for by_side in ratios.values())
  printed = capsys.readouterr().out
  assert "ONNX Runtime is left out: a_package_that_is_not_there not installed" in printed
  for form in (
    "ours, float32",
    "ours, bfloat16",
    "PyTorch, bfloat16, transformers, eager",
    "PyTorch, float32, best, eager",
  ):
    assert printed.count(f"\n{form} ") == 2


@pytest.mark.usefixtures("one_process")
def test_the_deploy_suite_times_every_engine_from_ids_and_from_text(capsys, tmp_path, monkeypatch):
  monkeypatch.setattr(inference, "TURN_SECONDS", 1e-6)
  monkeypatch.setattr(deploy, "DTYPES", ("float32",))
  model = write_teacher(tmp_path / "model")
  options = Options(
    suite="deploy", model=(model,), tokenizer=model, shapes=("2x4",), threads=(1,), repeats=1, compile=False
  )
  medians = deploy.measure(options)
  assert all(time > 0 for time in medians.values())
  forms = [(row.engine, row.form) for row in medians]
  assert set(forms) == {
    (deploy.PYTORCH, "float32, eager"), (deploy.JAX, "float32"), (deploy.THEIRS, "float32"), (deploy.ONNX, "float32"),
    (deploy.ONNX, "int8"), (deploy.ONNX, deploy.TOKENIZER), (deploy.ONNX, deploy.FROM_TEXT),
  }  # fmt: skip
  printed = capsys.readouterr().out
  assert "2 x 4, 1 threads: model as int8 takes 1, " in printed and "of which the tokenizer takes" in printed
  with pytest.raises(InputError, match="--threads 0: it must be from 1 to"):
    deploy.measure(dataclasses.replace(options, threads=(0,)))


def test_the_feeding_suite_times_input_and_steps(capsys):
  share = feeding.measure(Options(suite="feeding", steps=2, repeats=1, batch_size=4), MLM_CONFIG, 100)
  printed = capsys.readouterr().out
  assert share > 0
  assert "100 rows of 6 to 29 tokens" in printed and f"the device works for {share:.1%}" in printed


def test_a_side_whose_process_is_killed_is_named():
  ours = {"a stage": (lambda: None, 1)}
  with pytest.raises(WorkerKilled, match="the process that measures peer was killed"):
    turns.median_rates(ours, {"peer": functools.partial(os._exit, 1)}, 1)


def test_the_lengths_suite_draws_every_task(capsys, tmp_path):
  program.main(Options(suite="lengths", out=tmp_path / "new" / "lengths.png"))
  assert (tmp_path / "new" / "lengths.png").stat().st_size > 10_000
  printed = capsys.readouterr().out
  for stored in json.loads(lengths.LENGTHS.read_text()).values():
    assert f"{stored['task']:8}{sum(stored['counts'].values()):6}" in printed


def test_the_dropout_suite_still_runs(capsys):
  program.main(Options(length=4, hidden_size=8, repeats=1))
  assert "a byte an element" in capsys.readouterr().out


def test_lengths_of_any_task_from_its_files(tmp_path):
  write_task(tmp_path / "data", "RTE")
  save_pretrained(
    tmp_path / "model", TEACHER, initialize(Encoder(TEACHER), jax.random.key(0)), tokenizer=word_tokenizer()
  )
  name, found, max_length = lengths.read_lengths("rte", None, tmp_path / "data", str(tmp_path / "model"))
  rows = [line.split("\t") for line in (tmp_path / "data/RTE/train.tsv").read_text().splitlines()[1:]]
  assert (name, max_length) == ("RTE", 128)
  # é is a piece of no word, and every other word one; [CLS] and two [SEP] besides.
  assert found.tolist() == [len(a.split()) + len(b.split()) + 3 for _, a, b, _ in rows]


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("from_data", [True, False])
def test_the_augment_suite_measures_three_sides(tmp_path, capsys, from_data):
  folder = write_task(tmp_path / "data", "CoLA", rows=12).parent if from_data else None
  directory = write_model(tmp_path / "mlm")
  lengths_file = tmp_path / "lengths.txt"
  lengths_file.write_text("4 5 6 9")
  options = Options(
    suite="augment", data=folder, lengths="cola" if from_data else str(lengths_file), tokenizer=directory, sentences=4,
    original_sentences=2, repeats=1, compile=False,
  )  # fmt: skip
  config = dataclasses.replace(MLM_CONFIG, max_position_embeddings=512)
  ratios = augment.measure(options, config)
  assert list(ratios) == [turns.ORIGINAL, turns.BEST] and all(ratio > 0 for ratio in ratios.values())
  assert ("augmentation, CoLA: 4" if from_data else "as long as lengths.txt's: 4 sentences") in capsys.readouterr().out

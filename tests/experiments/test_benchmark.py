"""The benchmark's suites on tiny models, and its copy of the original program against that program's own numbers."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
import transformers
from glue_files import write_task
from small_mlm import CONFIG as MLM_CONFIG
from small_mlm import make_model, make_tokenizer, write_model
from test_pretrained import word_tokenizer

from experiments import benchmark, lengths, original
from tinybert_jax.config import EncoderConfig
from tinybert_jax.errors import InputError
from tinybert_jax.masked_words import MaskedWords
from tinybert_jax.model import Encoder, initialize
from tinybert_jax.pretrained import save_pretrained
from tinybert_jax.words import find_words

# Small random models run through the authors' PyTorch release: teacher 4 × 16, student 2 × 12, 2 heads.
ORIGINAL = np.load(Path(__file__).parents[1] / "fixtures" / "original_tinybert.npz")
SHAPE = {
  "vocab_size": 60,
  "num_attention_heads": 2,
  "max_position_embeddings": 16,
  "labels": ("a", "b", "c"),
  "hidden_dropout_prob": 0.0,
  "attention_probs_dropout_prob": 0.0,
}
TEACHER = EncoderConfig(hidden_size=16, num_hidden_layers=4, intermediate_size=32, **SHAPE)
STUDENT = EncoderConfig(hidden_size=12, num_hidden_layers=2, intermediate_size=24, **SHAPE)


def from_fixture(group, config):
  model = original.Classifier(config, TEACHER.hidden_size)
  prefix = f"task/{group}/"
  names = [name for name in ORIGINAL if name.startswith(prefix)]
  model.load_state_dict({name.removeprefix(prefix): torch.tensor(ORIGINAL[name]) for name in names})
  return model


@pytest.fixture
def outputs():
  """A student of the fixture's weights, and its and the teacher's outputs."""
  batch = [torch.tensor(ORIGINAL[name]).long() for name in ("input_ids", "attention_mask", "token_type_ids")]
  student, teacher = from_fixture("student", STUDENT), from_fixture("teacher", TEACHER)
  with torch.no_grad():
    theirs = teacher(*batch)
  return student, student(*batch, is_student=True), theirs


def assert_gradients(student, group):
  prefix = f"task/{group}/"
  with_gradient = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
  assert with_gradient == {name.removeprefix(prefix) for name in ORIGINAL if name.startswith(prefix)}
  for name, parameter in student.named_parameters():
    if name in with_gradient:
      theirs = ORIGINAL[prefix + name]
      # Key biases only shift a row's scores, which a softmax does not see: rounding on both sides.
      scale = max(np.abs(theirs).max(), 1e-4)
      assert np.abs(parameter.grad.numpy() - theirs).max() <= 1e-5 * scale, name


def test_the_intermediate_stage_is_the_original_programs(outputs):
  student, ours, theirs = outputs
  attention, hidden = original.attention_loss(ours, theirs), original.hidden_loss(ours, theirs)
  np.testing.assert_allclose(attention.item(), ORIGINAL["task/attention_loss"], rtol=1e-5)
  np.testing.assert_allclose(hidden.item(), ORIGINAL["task/hidden_loss"], rtol=1e-5)
  original.intermediate_loss(ours, theirs).backward()
  assert_gradients(student, "grad_intermediate")


def test_the_prediction_stage_is_the_original_programs(outputs):
  student, ours, theirs = outputs
  np.testing.assert_allclose(ours.logits.detach(), ORIGINAL["task/student_logits"], atol=1e-6)
  np.testing.assert_allclose(theirs.logits, ORIGINAL["task/teacher_logits"], atol=1e-6)
  loss = original.prediction_loss(ours, theirs)
  np.testing.assert_allclose(loss.item(), ORIGINAL["task/prediction_loss_t1.0"], rtol=1e-5)
  loss.backward()
  assert_gradients(student, "grad_prediction_t1.0")


def test_its_adam_is_that_of_bert_written_out():
  model = torch.nn.Linear(3, 2)
  rng = np.random.default_rng(0)
  optimizer = original.BertAdam(model, learning_rate=0.1, steps=10, warmup=0.2)
  decays = {"weight": 0.01, "bias": 0.0}
  expected = {name: parameter.detach().double().numpy().copy() for name, parameter in model.named_parameters()}
  moments = {name: [0.0, 0.0] for name in expected}
  for rate in (0.0, 0.05, 0.1, 0.0875):  # up for two steps, then down over eight
    for name, parameter in model.named_parameters():
      g = rng.normal(size=parameter.shape) * {"weight": 5.0, "bias": 0.1}[name]  # one is clipped, one is not
      parameter.grad = torch.tensor(g, dtype=torch.float32)
      g /= max(np.linalg.norm(g), 1.0)
      moments[name] = [0.9 * moments[name][0] + 0.1 * g, 0.999 * moments[name][1] + 0.001 * g**2]
      m, v = moments[name]
      expected[name] -= rate * (m / (np.sqrt(v) + 1e-6) + decays[name] * expected[name])
    optimizer.step()
  for name, parameter in model.named_parameters():
    np.testing.assert_allclose(parameter.detach(), expected[name], rtol=1e-5, atol=1e-6)


def test_it_runs_the_teacher_with_dropout_and_drops_a_partial_batch():
  batches = original.data_loader([[5, 6, 7]] * 7, batch_size=3, max_length=8)
  assert [tuple(part.shape for part in batch) for batch in batches] == [((3, 8),) * 3] * 2
  ids, mask, _ = next(iter(batches))
  assert ids[0].tolist() == [5, 6, 7, 0, 0, 0, 0, 0] and mask[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
  student, teacher = original.Classifier(STUDENT, 16), original.Classifier(TEACHER, 16).eval()
  before = student.classifier.weight.clone()
  original.train(student, teacher, original.prediction_loss, original.BertAdam(student, 1e-2, 1, warmup=-1), batches)
  assert teacher.training and all(parameter.grad is None for parameter in teacher.parameters())
  assert not torch.equal(before, student.classifier.weight)


def test_the_task_suite_compares_both_sides(capsys, tmp_path):
  path = tmp_path / "lengths.txt"
  path.write_text("2 3 4\n5 6 7\n\n8 90")
  options = benchmark.Options(
    suite="task", lengths=str(path), max_length=8, sequences=16, batch_size=8, original_batches=1, repeats=1
  )
  teacher = dataclasses.replace(TEACHER, num_hidden_layers=1)
  ratios = benchmark.task_suite(options, teacher, dataclasses.replace(STUDENT, num_hidden_layers=1))
  assert list(ratios) == list(benchmark.STAGES) and all(ratio > 0 for ratio in ratios.values())
  printed = capsys.readouterr().out
  assert "lengths.txt: 8 lengths of mean 5.4, cut at 8\nours: 16 of them, mean 5.4;" in printed  # 43 / 8, 90 cut to 8
  assert all(stage in printed for stage in benchmark.STAGES)


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
    benchmark.main(benchmark.Options(suite="task", lengths=str(path)))


def test_bad_options_are_refused(monkeypatch):
  with pytest.raises(InputError, match="--repeats 0: it must be at least 1"):
    benchmark.main(benchmark.Options(repeats=0))
  with pytest.raises(InputError, match="--max-length 600: the models have 512 positions"):
    benchmark.main(benchmark.Options(suite="task", max_length=600))
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  for suite in ("task", "augment"):
    with pytest.raises(InputError, match="pip install torch"):
      benchmark.main(benchmark.Options(suite=suite))


def test_the_lengths_suite_draws_every_task(capsys, tmp_path):
  benchmark.main(benchmark.Options(suite="lengths", out=tmp_path / "new" / "lengths.png"))
  assert (tmp_path / "new" / "lengths.png").stat().st_size > 10_000
  printed = capsys.readouterr().out
  for task in json.loads(lengths.LENGTHS.read_text()).values():
    assert f"{task['task']:8}{sum(task['counts'].values()):6}" in printed


def test_the_dropout_suite_still_runs(capsys):
  benchmark.main(benchmark.Options(length=4, hidden_size=8, repeats=1))
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


def test_the_originals_candidates_are_ours_of_the_pair(tmp_path):
  """Less what only we leave out (the word itself, special tokens), and what only it does (nothing here)."""
  tokenizer = make_tokenizer()
  model, params = make_model()
  params["bias"] = params["bias"].at[len(tokenizer) :].set(-1e9)  # rows without a token, which the original has not
  save_pretrained(tmp_path / "mlm", MLM_CONFIG, params)
  peer = transformers.BertForMaskedLM.from_pretrained(tmp_path / "mlm").eval()
  masked = MaskedWords(model, params, tokenizer, number=5, max_length=64, context="pair")
  for sentence in ("the quick fox jumps, very lazy", "dog eats bread"):
    theirs = original.masked_candidates(peer, tokenizer, sentence, len(tokenizer))
    text = find_words(tokenizer, [sentence])[0]
    ours = {text.words[w].first_token: words for w, words in masked([text])[0].items()}
    assert ours.keys() == theirs.keys() and len(ours) > 2
    pieces = tokenizer.tokenize(sentence)
    for token, words in theirs.items():
      kept = [word for word in words if word and word != pieces[token] and not word.startswith("[")]
      assert tuple(kept[:5]) == ours[token]


@pytest.mark.parametrize("from_data", [True, False])
def test_the_augment_suite_measures_both_sides(tmp_path, capsys, from_data):
  folder = write_task(tmp_path / "data", "CoLA", rows=12).parent if from_data else None
  directory = write_model(tmp_path / "mlm")
  lengths_file = tmp_path / "lengths.txt"
  lengths_file.write_text("4 5 6 9")
  options = benchmark.Options(
    suite="augment", data=folder, lengths="cola" if from_data else str(lengths_file), tokenizer=directory, sentences=4,
    original_sentences=2, repeats=1,
  )  # fmt: skip
  config = dataclasses.replace(MLM_CONFIG, max_position_embeddings=512)
  assert benchmark.augment_suite(options, config) > 0
  assert ("augmentation, CoLA: 4" if from_data else "as long as lengths.txt's: 4 sentences") in capsys.readouterr().out

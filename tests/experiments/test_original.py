"""The benchmark's copy of the original program against numbers from that program itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from small_mlm import CONFIG as MLM_CONFIG
from small_mlm import make_model, make_tokenizer

from experiments import original
from tinybert_jax.augmentation.masked_words import MaskedWords
from tinybert_jax.augmentation.words import find_words
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.pretrained import save_pretrained

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


def from_fixture(stage, role, config):
  """A model of the fixture's weights; in general distillation the original has no classifier, and other heads."""
  model = original.Classifier(config, TEACHER.hidden_size)
  prefix = f"{stage}/{role}/"
  weights = {name.removeprefix(prefix): torch.tensor(ORIGINAL[name]) for name in ORIGINAL if name.startswith(prefix)}
  if stage == "general" and role == "teacher":
    weights = {f"bert.{name}": weight for name, weight in weights.items()}
  missing, unexpected = model.load_state_dict(weights, strict=stage == "task")
  assert all(name.startswith(("classifier.", "fit_dense.")) for name in missing)
  assert all(name.startswith("cls.") for name in unexpected)
  return model


def run_both(stage):
  """A student of the fixture's weights, and its and the teacher's outputs."""
  batch = [torch.tensor(ORIGINAL[name]).long() for name in ("input_ids", "attention_mask", "token_type_ids")]
  student, teacher = from_fixture(stage, "student", STUDENT), from_fixture(stage, "teacher", TEACHER)
  with torch.no_grad():
    theirs = teacher(*batch)
  return student, student(*batch, is_student=True), theirs


def assert_gradients(student, group):
  prefix = f"{group}/"
  with_gradient = {name for name, parameter in student.named_parameters() if parameter.grad is not None}
  assert with_gradient == {name.removeprefix(prefix) for name in ORIGINAL if name.startswith(prefix)}
  for name, parameter in student.named_parameters():
    if name in with_gradient:
      theirs = ORIGINAL[prefix + name]
      # Key biases only shift a row's scores, which a softmax does not see: rounding on both sides.
      scale = max(np.abs(theirs).max(), 1e-4)
      assert np.abs(parameter.grad.numpy() - theirs).max() <= 1e-5 * scale, name


@pytest.mark.parametrize(("stage", "gradient"), [("general", "grad"), ("task", "grad_intermediate")])
def test_the_intermediate_loss_is_the_original_programs(stage, gradient):
  student, ours, theirs = run_both(stage)
  attention, hidden = original.attention_loss(ours, theirs), original.hidden_loss(ours, theirs)
  np.testing.assert_allclose(attention.item(), ORIGINAL[f"{stage}/attention_loss"], rtol=1e-5)
  np.testing.assert_allclose(hidden.item(), ORIGINAL[f"{stage}/hidden_loss"], rtol=1e-5)
  original.intermediate_loss(ours, theirs).backward()
  assert_gradients(student, f"{stage}/{gradient}")


def test_the_prediction_stage_is_the_original_programs():
  student, ours, theirs = run_both("task")
  np.testing.assert_allclose(ours.logits.detach(), ORIGINAL["task/student_logits"], atol=1e-6)
  np.testing.assert_allclose(theirs.logits, ORIGINAL["task/teacher_logits"], atol=1e-6)
  loss = original.prediction_loss(ours, theirs)
  np.testing.assert_allclose(loss.item(), ORIGINAL["task/prediction_loss_t1.0"], rtol=1e-5)
  loss.backward()
  assert_gradients(student, "task/grad_prediction_t1.0")


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


@pytest.mark.parametrize("teacher_graph", [False, True])
def test_it_runs_the_teacher_with_dropout_and_drops_a_partial_batch(teacher_graph):
  batches = original.data_loader([[5, 6, 7]] * 7, batch_size=3, max_length=8)
  assert [tuple(part.shape for part in batch) for batch in batches] == [((3, 8),) * 3] * 2
  ids, mask, _ = next(iter(batches))
  assert ids[0].tolist() == [5, 6, 7, 0, 0, 0, 0, 0] and mask[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
  student, teacher = original.Classifier(STUDENT, 16), original.Classifier(TEACHER, 16).eval()
  graphs = []
  teacher.register_forward_hook(lambda module, arguments, outputs: graphs.append(outputs.logits.requires_grad))
  before = student.classifier.weight.clone()
  optimizer = original.BertAdam(student, 1e-2, 1, warmup=-1)
  original.train(student, teacher, original.prediction_loss, optimizer, batches, teacher_graph=teacher_graph)
  assert graphs == [teacher_graph] * 2
  assert teacher.training and all(parameter.grad is None for parameter in teacher.parameters())
  assert not torch.equal(before, student.classifier.weight)


def test_the_originals_candidates_are_ours_of_the_pair(tmp_path):
  """Less what only we leave out (the word itself, and what is no word), and what only it does (nothing here)."""
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
      kept = [word for word in words if word and word != pieces[token] and word.isalpha()]
      assert tuple(kept[:5]) == ours[token]

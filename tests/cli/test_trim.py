"""`tinybert-jax trim`: an ordinary directory, the same outputs for texts whose tokens are kept."""

import jax
import numpy as np
import pytest
import transformers
from small_distil import refused, write_teacher
from small_mlm import CONFIG, SPECIAL, VOCABULARY, make_model, make_tokenizer, write_sentences

from tinybert_jax.cli import trim
from tinybert_jax.cli.trim_options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import MaskedLanguageModel
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained


@pytest.fixture
def given(tmp_path):
  """A masked language model and texts."""
  save_pretrained(tmp_path / "model", CONFIG, make_model()[1], tokenizer=make_tokenizer())
  (tmp_path / "texts.txt").write_text("\n".join([*write_sentences(40), "the quick fox", "a dog"] * 2), encoding="utf-8")
  return {"model": str(tmp_path / "model"), "text": (tmp_path / "texts.txt",), "out": tmp_path / "out"}


def test_a_trimmed_model_gives_the_same_for_texts_whose_tokens_are_kept(given, tmp_path, capsys):
  trim.main(Options(**given, min_count=30))
  out = capsys.readouterr().out
  old, new = load_tokenizer(given["model"]), load_tokenizer(given["out"])
  assert f"tokens   {len(new.get_vocab())} of {len(VOCABULARY)} are kept; of 8 held-out texts " in out
  assert f"The model is in {given['out']}" in out and "parameters, " in out
  assert set(SPECIAL[:5]) <= new.get_vocab().keys() and "hello" in old.get_vocab()
  kept = [word for word in ("fox", "the", "dog") if word in new.get_vocab()]
  before, now = (load_pretrained(name, MaskedLanguageModel, finished=True) for name in (given["model"], given["out"]))
  assert now.config.vocab_size == len(new.get_vocab()) < len(VOCABULARY)
  run = jax.jit(lambda model, params, batch: model.apply({"params": params}, batch), static_argnums=0)
  text = " ".join(kept)
  a, b = (
    run(MaskedLanguageModel(one.config), one.params, dict(reader([text], return_tensors="np")))
    for one, reader in ((before, old), (now, new))
  )
  rows = [old.get_vocab()[token] for token in sorted(new.get_vocab(), key=new.get_vocab().__getitem__)]
  assert len(kept) > 1
  np.testing.assert_array_equal(a.hidden_states[-1], b.hidden_states[-1])
  np.testing.assert_allclose(np.asarray(a.logits)[..., rows], b.logits, rtol=1e-4, atol=1e-5)
  fill = transformers.pipeline("fill-mask", model=str(given["out"]))
  assert len(fill(f"the {fill.tokenizer.mask_token} sees")) == 5


def test_a_classifier_keeps_its_head_and_what_cannot_be_done_is_one_sentence(given, tmp_path, capsys):
  teacher = write_teacher(tmp_path / "teacher")
  (tmp_path / "few.txt").write_text("hello\nhello\n")
  trim.main(Options(teacher, (tmp_path / "few.txt",), min_count=1, held_out=0, out=tmp_path / "small"))
  assert "no text is held out to measure on" in capsys.readouterr().out
  before, now = (
    transformers.pipeline("text-classification", model=name) for name in (teacher, str(tmp_path / "small"))
  )
  assert now("hello hello") == before("hello hello") and now("hello")[0]["label"] in ("greets", "not")
  for changes, problem in (
    ({}, "give either --vocabulary"),
    ({"vocabulary": 9, "min_count": 2}, "give either --vocabulary"),
    ({"vocabulary": 4}, r"model: a vocabulary of 4 tokens: its special tokens"),
    ({"vocabulary": 40, "out": tmp_path / "model"}, "is the model's own directory"),
    ({"vocabulary": 40, "text": ()}, "--text: no file is given"),
    ({"vocabulary": 40, "held_out": 1.0}, "--held-out 1.0"),
  ):
    with pytest.raises(InputError, match=problem):
      trim.main(Options(**given | changes))
  assert "--vocabulary 0" in refused(
    capsys, "--model", given["model"], "--text", *given["text"], "--vocabulary", 0, program=trim
  )

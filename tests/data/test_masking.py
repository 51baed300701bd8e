import datasets
import jax
import numpy as np
import pytest
from small_mlm import CONFIG, VOCABULARY, make_model, make_tokenizer
from small_pieces import SENTENCES, make_pieces
from tokenizers import models

from tinybert_jax.data.batches import BatchSource
from tinybert_jax.data.masking import MaskedBatches
from tinybert_jax.distillation.objectives import masked_language_modelling, total_loss
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import apply_head
from tinybert_jax.training import optim, steps


def make_rows(number=64, seed=0, words=(4, 14)):
  rng = np.random.default_rng(seed)
  return datasets.Dataset.from_dict(
    {"input_ids": [[2, *rng.integers(6, len(VOCABULARY), rng.integers(*words)), 3] for _ in range(number)]}
  )


def make_source(rows=None, share=0.15, whole_words=False, **options):
  source = BatchSource(rows or make_rows(), **({"batch_size": 16, "lengths": (8, 16)} | options))
  return MaskedBatches(source, make_tokenizer(), share=share, whole_words=whole_words)


def chosen(batch):
  """Returns row, position and former token of every masked place."""
  rows, slots = np.nonzero(batch["masked_weight"])
  return rows, batch["masked_positions"][rows, slots], batch["masked_ids"][rows, slots]


def test_masked_tokens_are_those_that_stood_there_and_no_others_change():
  rows, source = make_rows(), make_source()
  for step in range(len(source)):
    batch, before = source[step], source.source[step]["input_ids"]
    r, positions, ids = chosen(batch)
    assert (before[r, positions] == ids).all() and (ids >= 6).all()
    restored = batch["input_ids"].copy()
    restored[r, positions] = ids
    assert (restored == before).all()
    lengths = batch["attention_mask"].sum(1)[np.bincount(r, minlength=16) > 0] - 2
    assert (np.bincount(r)[np.bincount(r) > 0] == np.maximum(1, np.round(lengths * 0.15))).all()
  assert len(source) == len(rows) // 16


def test_masks_are_new_in_every_epoch_and_the_same_for_the_same_seed():
  source, again, other = make_source(epochs=2), make_source(epochs=2), make_source(epochs=2, seed=1)
  for step in (0, 5):
    for name, values in source[step].items():
      np.testing.assert_array_equal(values, again[step][name])
  one_epoch = make_source(lengths=(16,), shuffle=False, epochs=2)
  assert (one_epoch[0]["masked_positions"] != one_epoch[4]["masked_positions"]).any()
  assert (source[0]["input_ids"] != other[0]["input_ids"]).any()


def test_eight_in_ten_become_the_mask_one_another_and_one_stays():
  source = make_source(make_rows(4000, words=(30, 31)), lengths=(32,), batch_size=1000, share=0.5)
  kinds = np.zeros(3)
  for step in range(len(source)):
    batch = source[step]
    r, positions, ids = chosen(batch)
    now = batch["input_ids"][r, positions]
    is_mask, stays = now == 4, now == ids
    assert not np.isin(now[~is_mask], [0, 1, 2, 3]).any()
    kinds += [is_mask.mean() / len(source), stays.mean() / len(source), (~is_mask & ~stays).mean() / len(source)]
  np.testing.assert_allclose(kinds, [0.8, 0.1, 0.1], atol=0.01)


def test_an_id_without_a_token_is_never_drawn():
  tokenizer = make_tokenizer()
  vocabulary = tokenizer.get_vocab()
  holes = {vocabulary.pop(token) for token in ("fox", "dog", "zebra") if token in vocabulary}
  tokenizer.backend_tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
  rows = datasets.Dataset.from_dict({"input_ids": [[2, *[VOCABULARY.index("cat")] * 14, 3]] * 512})
  source = BatchSource(rows, batch_size=512, lengths=(16,))
  batch = MaskedBatches(source, tokenizer, share=0.9)[0]
  assert len(holes) == 2 and len(np.unique(batch["input_ids"])) > 30 and not np.isin(batch["input_ids"], [*holes]).any()


def test_bad_shares_and_tokenizers_are_refused():
  for share in (0, 1, -0.1, float("nan")):
    with pytest.raises(InputError, match=f"share {share}: "):
      make_source(share=share)
  tokenizer = make_tokenizer()
  tokenizer.mask_token = None
  with pytest.raises(InputError, match="no mask token"):
    MaskedBatches(BatchSource(make_rows(), batch_size=8, lengths=(16,)), tokenizer)


def test_whole_words_are_masked_with_all_their_pieces():
  word, piece = VOCABULARY.index("fox"), VOCABULARY.index("##s")
  rows = datasets.Dataset.from_dict({"input_ids": [[2, *[word, piece, piece] * 8, 3]] * 64})
  source = make_source(rows, lengths=(28,), whole_words=True, share=0.3)
  for step in range(len(source)):
    r, positions, _ = chosen(source[step])
    for row in range(16):
      at = positions[r == row]
      assert len(at) == 6 and set(at) == {p for p in range(1, 25) if (p - 1) // 3 in {(q - 1) // 3 for q in at}}


def test_words_of_more_pieces_than_may_be_masked_are_passed_over():
  word, piece, short = (VOCABULARY.index(token) for token in ("fox", "##s", "dog"))
  rows = datasets.Dataset.from_dict({"input_ids": [[2, *[word, piece, piece] * 3, *[short] * 3, 3]] * 64})
  source = make_source(rows, lengths=(14,), whole_words=True)  # two of a row's twelve tokens
  for step in range(len(source)):
    r, positions, ids = chosen(source[step])
    assert (ids == short).all() and (positions > 9).all() and (np.bincount(r) == 2).all()
  alone = datasets.Dataset.from_dict({"input_ids": [[2, word, piece, piece, 3]] * 16})
  assert not make_source(alone, lengths=(8,), whole_words=True)[0]["masked_weight"].any()


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta"])
def test_whole_words_are_those_of_the_tokenizer(kind):
  tokenizer = make_pieces(kind)
  rows = datasets.Dataset.from_dict({"input_ids": tokenizer(SENTENCES[:4])["input_ids"]})
  source = BatchSource(rows, batch_size=4, lengths=(48,), epochs=8, shuffle=False, pad_id=1)
  masked = MaskedBatches(source, tokenizer, share=0.4, whole_words=True)
  encodings, of_several = tokenizer(SENTENCES[:4]).encodings, 0
  for step in range(len(masked)):
    r, positions, _ = chosen(masked[step])
    for row in range(4):
      number = masked[step]["attention_mask"][row].sum()
      encoding = encodings[[e.ids for e in encodings].index(source[step]["input_ids"][row][:number].tolist())]
      words = encoding.word_ids
      at = set(positions[r == row].tolist())
      whole = {i for i, word in enumerate(words) if word is not None and word in {words[j] for j in at}}
      assert at == whole and at
      of_several += len(at) > len({words[i] for i in at})
  assert of_several


@pytest.mark.parametrize("body", [False, True])
def test_the_head_alone_learns_or_the_body_with_it(body):
  model, params = make_model(scale=0.3)
  frozen = {} if body else {"encoder": params.pop("encoder")}
  loss_fn = masked_language_modelling(model)
  source = make_source(make_rows(16, words=(8, 9)), lengths=(12,), epochs=30, batch_size=16)
  optimizer = optim.adamw(optim.schedule(2e-2, len(source)))
  update = steps.jit_update(steps.make_update(loss_fn, optimizer))
  state = steps.create_state(params, optimizer, jax.random.key(0))
  losses = []
  for batch in source:
    state, metrics = update(state, frozen, batch)
    losses.append(float(metrics["loss"]))
  assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
  assert ("encoder" in state.params) == body


def test_the_loss_is_the_mean_cross_entropy_over_masked_tokens():
  model, params = make_model()
  batch = {name: value.copy() for name, value in make_source()[0].items()}
  batch["masked_weight"][3] = 0
  loss_fn = masked_language_modelling(model)

  @jax.jit
  def logits_and_losses(params):
    encoder, head = {"encoder": params["encoder"]}, {k: v for k, v in params.items() if k != "encoder"}
    terms = (loss_fn(params, {}, batch, None), loss_fn(head, encoder, batch, None))
    return apply_head(model, params, batch), [total_loss(each) for each in terms]

  logits, (together, split) = logits_and_losses(params)
  r, positions, ids = chosen(batch)
  expected = -np.mean(np.asarray(jax.nn.log_softmax(logits))[r, positions, ids])
  assert float(together) == pytest.approx(expected, rel=1e-5)
  assert float(split) == pytest.approx(expected, rel=1e-5)
  assert CONFIG.vocab_size > len(VOCABULARY)

"""The stage that makes a masked language model from lines of text."""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import jax
import jax.numpy as jnp
import numpy as np

from tinybert_jax.corpus.lines import read_lines
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length
from tinybert_jax.data.masking import MASKED, MaskedBatches
from tinybert_jax.distillation import objectives
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Batch, MaskedLanguageModel, apply_head, rounded_once
from tinybert_jax.models.model_card import ModelCard
from tinybert_jax.models.token_layout import find_layout
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import cards, stages
from tinybert_jax.pipeline.cards import Origin
from tinybert_jax.pipeline.stages import Made
from tinybert_jax.training import fit as training
from tinybert_jax.training import precision
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.loop import Every, TrainResult

SHORTEST = 6  # tokens: fewer tell too little of one that is masked among them
_TOKENIZED_AT_ONCE = 10_000  # lines; a tokenizer's own result takes some hundred times the memory of the tokens


class Texts(NamedTuple):
  """Token rows to train on, and those that the loss is measured on."""

  training: datasets.Dataset
  held_out: datasets.Dataset


class Masks(NamedTuple):
  """What is masked.

  Attributes:
    tokenizer: of the model.
    max_length: tokens in a row.
    share: of the tokens that are masked.
    whole_words: whether all pieces of a word are masked, or none.
  """

  tokenizer: Tokenizer
  max_length: int
  share: float = MASKED
  whole_words: bool = False


def read_rows(
  paths: tuple[Path, ...], tokenizer: Tokenizer, max_length: int, notes: list[str] | None = None
) -> tuple[datasets.Dataset, int]:
  """Returns the tokens of the lines of text files, in rows of at most `max_length` with the special ones.

  And the number of lines and ends of lines that are left out, because they have fewer than `SHORTEST` without. `notes`
  gets a sentence on what else is left out.
  """
  rows, short, layout = [], 0, find_layout(tokenizer)
  room = max_length - layout.special_tokens(1)
  lines = read_lines(paths, notes)
  for first in range(0, len(lines), _TOKENIZED_AT_ONCE):
    some = lines[first : first + _TOKENIZED_AT_ONCE]
    for ids in tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]:
      for start in range(0, len(ids), room):
        part = ids[start : start + room]
        if len(part) < SHORTEST:
          short += 1
          continue
        rows.append(layout.row(part)[0])
  if not rows:
    raise InputError(f"{', '.join(map(str, paths))}: no text there (a line of at least {SHORTEST} tokens)")
  return datasets.Dataset.from_dict({"input_ids": rows}), short


def log_frequencies(rows: datasets.Dataset, vocabulary: int) -> np.ndarray:
  """Returns the logarithm of each token's share of the rows, each token counted once more than it is there."""
  counts = np.ones(vocabulary)
  for part in rows.iter(batch_size=10_000):
    counts += np.bincount(np.concatenate(part["input_ids"]), minlength=vocabulary)
  return np.log(counts / counts.sum()).astype(np.float32)


def make_model(
  folder: Path,
  model: MaskedLanguageModel,
  params: objectives.Params,
  frozen: objectives.Params,
  texts: Texts,
  masks: Masks,
  recipe: Recipe,
  *,
  seed: int,
  about: str,
  origin: Origin,
) -> dict[str, Any]:
  """Returns the metrics of the model in `folder`: that of the lowest loss on what is held out, trained now if need be.

  The folder is a Hugging Face directory with the log of its training in `training/`. Of several processes all call it.

  Args:
    folder: of the model.
    model: the module.
    params: to train.
    frozen: the model's others.
    texts: token rows.
    masks: what is masked.
    recipe: how long and how fast.
    seed: random seed for order of rows and masking.
    about: a sentence for the model card.
    origin: what model and text are called where they came from, for the card too.

  Raises:
    InputError: the folder holds something else.
    RunStopped: Ctrl-C, SIGTERM, or too many skipped updates; the state is saved before.
  """

  def make(work: Path) -> Made:
    result = _fit(work, model, params, frozen, texts, masks, recipe, seed)
    return Made(model.config, {**frozen, **result.params}, {"rows": len(texts.training), **result.metrics})

  inputs = {
    "task": "mlm",
    "stage": "model",
    "start": fingerprint.of_params({**frozen, **params}),
    "trained": sorted(params),
    "training_rows": fingerprint.of_rows(texts.training),
    "held_out_rows": fingerprint.of_rows(texts.held_out),
    "masked": masks.share,
    "whole_words": masks.whole_words,
    "max_length": masks.max_length,
    "seed": seed,
    **recipe.as_inputs(),
    **precision.as_inputs(model.dtype),
  }

  def card(kept: Mapping[str, Any], seconds: float) -> ModelCard:
    return cards.of_stage(folder.parent, inputs, kept, seconds, origin, split="held out")

  stages.build_model(folder, inputs, make, masks.tokenizer, about, card)
  return stages.read_record(folder, "mlm")


def _fit(
  directory: Path,
  model: MaskedLanguageModel,
  params: objectives.Params,
  frozen: objectives.Params,
  texts: Texts,
  masks: Masks,
  recipe: Recipe,
  seed: int,
) -> TrainResult:
  lengths = bucket_lengths(row_length(texts.training), at_most=masks.max_length)
  mask = functools.partial(MaskedBatches, tokenizer=masks.tokenizer, share=masks.share, whole_words=masks.whole_words)
  to_longest = [length for length in lengths if length < masks.max_length] + [masks.max_length]
  fixed = mask(
    BatchSource(
      texts.held_out,
      batch_size=recipe.batch_size,
      lengths=to_longest,
      shuffle=False,
      pad_id=model.config.pad_token_id,
      process=jax.process_index(),
      processes=jax.process_count(),
    )
  )

  def evaluate(params: objectives.Params, frozen: objectives.Params, place: Callable) -> Mapping[str, float]:
    sums = [jax.device_get(_guessed(model, {**frozen, **params}, place(batch))) for batch in fixed]
    loss, right, number = np.sum(sums, axis=0)
    return {"held_out_loss": float(loss / number), "accuracy": float(right / number), "score": float(-loss / number)}

  quarter = math.ceil(math.ceil(len(texts.training) / recipe.batch_size) / 4)
  return training.fit(
    directory,
    objectives.masked_language_modelling(model),
    params,
    texts.training,
    recipe,
    seed=seed,
    pad_id=model.config.pad_token_id,
    lengths=lengths,
    as_source=mask,
    teacher_params=rounded_once(model, frozen),
    evaluate=evaluate,
    best_metric="score",
    every=Every(evaluate=quarter, checkpoint=min(1000, quarter)),
    title="mlm",
  )


@functools.partial(jax.jit, static_argnums=0)
def _guessed(model: MaskedLanguageModel, params: objectives.Params, batch: Batch) -> jax.Array:
  """Returns the sums over masked tokens of the cross-entropy and of right guesses, and the tokens' number."""
  logits = apply_head(model, params, batch, positions=batch["masked_positions"])
  weight = batch["masked_weight"]
  right = (jnp.argmax(logits, -1) == batch["masked_ids"]).astype(jnp.float32)
  terms = objectives.masked_language_modelling(model)(params, {}, batch, None)["masked"]
  return jnp.stack([terms.total, jnp.sum(right * weight), terms.weight])

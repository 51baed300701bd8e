"""A masked language model from a pretrained encoder: `python -m experiments.mlm --text FILE`."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import jax
import jax.numpy as jnp
import numpy as np

from experiments import figures
from tinybert_jax.cli import command_line
from tinybert_jax.corpus.corpus import read_lines
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length
from tinybert_jax.data.masking import MASKED, MaskedBatches
from tinybert_jax.distillation import objectives
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Batch, MaskedLanguageModel, count_parameters
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import students
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.training import optim, steps
from tinybert_jax.training.loop import Every, train
from tinybert_jax.training.parallel import data_parallel

SHORTEST = 6  # tokens: fewer tell too little of one that is masked among them


@dataclasses.dataclass(frozen=True)
class Options:
  """Train a masked language model's head on raw text from a pretrained encoder, and if asked the encoder with it: what
  experiments.augment takes where no model with that head is at hand.

  The same command again goes on where it stopped.
  """

  text: tuple[Path, ...]
  """Text files, a text a line; longer texts than --max-length are cut into several rows. Lines and ends of lines of
  fewer than 6 tokens are left out, and counted."""
  pretrained: str = "bert-base-uncased"
  """Model directory or hub id of the encoder; a head that it has is trained further."""
  out: Path = Path("runs/mlm")
  """Folder for everything that the run writes; the model is in its folder model."""
  body: bool = False
  """Train the encoder as well."""
  whole_words: bool = False
  """Mask all pieces of a word, or none; words of more pieces than a row may have masked stay."""
  masked: float = MASKED
  """Share of the tokens that are masked (BERT's)."""
  max_length: int = 128
  """Tokens in a row."""
  max_train_examples: int | None = None
  """Take only so many rows, drawn by the seed."""
  held_out: int = 500
  """Rows that are kept to measure the loss on; at most a tenth of all."""
  epochs: int = 3
  """Passes over the rows."""
  batch_size: int = 32
  """Rows in a batch."""
  learning_rate: float = 5e-4
  """Peak learning rate; with --body 1e-4 suits better."""
  seed: int = 0
  """Of initialisation, order of rows and masking."""
  debug: bool = False
  """Show the traceback of an error."""


def main(options: Options) -> None:
  """Trains, and writes the model, its losses and their picture."""
  datasets.disable_progress_bars()
  check_numbers(options)
  tokenizer = load_tokenizer(options.pretrained)
  if tokenizer.mask_token_id is None:
    raise InputError(f"{options.pretrained}: its tokenizer has no mask token")
  loaded = load_pretrained(options.pretrained, MaskedLanguageModel, kernels="glorot", seed=options.seed)
  if options.max_length > loaded.config.max_position_embeddings:
    raise InputError(
      f"--max-length {options.max_length}: the model has positions for {loaded.config.max_position_embeddings} tokens"
    )
  students.check_vocabulary(options.pretrained, loaded.config, tokenizer)
  rows, short = read_rows(options.text, tokenizer, options.max_length)
  order = np.random.default_rng(options.seed).permutation(len(rows))[: options.max_train_examples]
  number = min(options.held_out, len(order) // 10)
  if not number:
    raise InputError(f"{', '.join(map(str, options.text))}: {len(order)} rows of text; at least 10 are needed")
  held_out, training = rows.select(order[:number]), rows.select(order[number:])
  model = MaskedLanguageModel(loaded.config)
  params = dict(loaded.params)
  is_new = any(not path.startswith("encoder/") for path in loaded.initialized)
  if is_new:  # begins as what the frequencies of the tokens alone foretell
    params["bias"] = log_frequencies(training, loaded.config.vocab_size)
  frozen = {} if options.body else {"encoder": params.pop("encoder")}
  tokens = int(row_length(training).sum())
  print(
    f"{len(training):,} rows of {tokens:,} tokens, {number} rows held out; {'a new head' if is_new else 'its head'}"
    f"{' and the encoder' if options.body else ''}, {count_parameters(params):,} parameters to train; "
    f"on {', '.join(map(str, jax.devices()))}; writes {options.out}",
    flush=True,
  )
  if short:
    print(f"{short:,} lines or ends of lines of fewer than {SHORTEST} tokens are left out", flush=True)
  with only_run(options.out):
    result = fit(options, model, params, frozen, training, held_out, tokenizer)
    about = f"{options.pretrained} with a masked language model's head, trained on {tokens:,} tokens."
    save_pretrained(
      options.out / "model", loaded.config, {**frozen, **result.params}, tokenizer=tokenizer, description=about
    )
    figures.masked_losses(options.out / "loss.png", result.history, -(-len(training) // options.batch_size))
    (options.out / "metrics.json").write_text(json.dumps(dict(result.metrics), indent=2) + "\n", encoding="utf-8")
    print(
      f"Held out: loss {-result.metrics['score']:.3f}, {result.metrics['accuracy']:.1%} of the masked tokens guessed. "
      f"The model is in {options.out / 'model'}, its losses in {options.out / 'loss.png'}."
    )


def check_numbers(options: Options) -> None:
  """Raises InputError for an option that is no size, share or rate, or where there is no text."""
  if not options.text:
    raise InputError("--text: no file is given")
  for name in ("max_train_examples", "held_out", "epochs", "batch_size"):
    value = getattr(options, name)
    if value is not None and value < 1:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be at least 1")
  if options.max_length < 8:
    raise InputError(f"--max-length {options.max_length}: it must be at least 8")
  if options.seed < 0:
    raise InputError(f"--seed {options.seed}: it must be at least 0")
  for name in ("masked", "learning_rate"):
    value = getattr(options, name)
    if not 0 < value < 1:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be above 0 and below 1")


def read_rows(paths: tuple[Path, ...], tokenizer: Tokenizer, max_length: int) -> tuple[datasets.Dataset, int]:
  """Returns the tokens of the lines of text files, in rows of at most `max_length` with the special ones.

  And the number of lines and ends of lines that are left out, because they have fewer than `SHORTEST` without.
  """
  rows, short = [], 0
  for path in paths:
    for ids in tokenizer(read_lines(path) or [""], add_special_tokens=False, verbose=False)["input_ids"]:
      for start in range(0, len(ids), max_length - 2):
        part = ids[start : start + max_length - 2]
        if len(part) < SHORTEST:
          short += 1
          continue
        rows.append([tokenizer.cls_token_id, *part, tokenizer.sep_token_id])
  if not rows:
    raise InputError(f"{', '.join(map(str, paths))}: no text there (a line of at least {SHORTEST} tokens)")
  return datasets.Dataset.from_dict({"input_ids": rows}), short


def log_frequencies(rows: datasets.Dataset, vocabulary: int) -> np.ndarray:
  """Returns the logarithm of each token's share of the rows, each token counted once more than it is there."""
  counts = np.ones(vocabulary)
  for part in rows.iter(batch_size=10_000):
    counts += np.bincount(np.concatenate(part["input_ids"]), minlength=vocabulary)
  return np.log(counts / counts.sum()).astype(np.float32)


def fit(
  options: Options,
  model: MaskedLanguageModel,
  params: objectives.Params,
  frozen: objectives.Params,
  training: datasets.Dataset,
  held_out: datasets.Dataset,
  tokenizer: Tokenizer,
) -> Any:
  """Returns the result of training: the parameters of the lowest loss on what is held out."""
  lengths = bucket_lengths(row_length(training), at_most=options.max_length)
  batches = functools.partial(BatchSource, batch_size=options.batch_size, pad_id=tokenizer.pad_token_id)
  mask = functools.partial(MaskedBatches, tokenizer=tokenizer, share=options.masked, whole_words=options.whole_words)
  source = mask(batches(training, lengths=lengths, epochs=options.epochs, seed=options.seed))
  to_longest = [length for length in lengths if length < options.max_length] + [options.max_length]
  fixed = mask(batches(held_out, lengths=to_longest, shuffle=False))
  optimizer = optim.adamw(optim.schedule(options.learning_rate, len(source)))
  loss_fn = objectives.masked_language_modelling(model)
  update, state, frozen, place = data_parallel(
    functools.partial(steps.make_update, loss_fn, optimizer, dropout=False),  # the masks are noise enough
    steps.create_state(params, optimizer, steps.random_key(options.seed)),
    frozen,
    options.batch_size,
  )

  def evaluate(params: objectives.Params) -> Mapping[str, float]:
    sums = [jax.device_get(_guessed(model, {**frozen, **params}, place(batch))) for batch in fixed]
    loss, right, number = np.sum(sums, axis=0)
    return {"held_out_loss": float(loss / number), "accuracy": float(right / number), "score": float(-loss / number)}

  return train(
    options.out / "training",
    update,
    state,
    frozen,
    source,
    evaluate=evaluate,
    best_metric="score",
    every=Every(evaluate=-(-source.steps_per_epoch // 4), checkpoint=min(1000, -(-source.steps_per_epoch // 4))),
    config=command_line.as_json(options, but=("text",))  # whose content `rows` tells
    | {"rows": fingerprint.of_rows(training), "start": fingerprint.of_params({**frozen, **params})},
    title="mlm",
    place=place,
  )


@functools.partial(jax.jit, static_argnums=0)
def _guessed(model: MaskedLanguageModel, params: objectives.Params, batch: Batch) -> jax.Array:
  """Returns the sums over masked tokens of the cross-entropy and of right guesses, and the tokens' number."""
  logits = model.apply({"params": params}, batch, positions=batch["masked_positions"]).logits
  weight = batch["masked_weight"]
  right = (jnp.argmax(logits, -1) == batch["masked_ids"]).astype(jnp.float32)
  terms = objectives.masked_language_modelling(model)(params, {}, batch, None)["masked"]
  return jnp.stack([terms.total, jnp.sum(right * weight), terms.weight])


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.mlm")

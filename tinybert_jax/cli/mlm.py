"""`tinybert-jax mlm`, `python -m experiments.mlm --text FILE`: a masked language model from an encoder."""

import json
from collections.abc import Mapping
from typing import Any

import datasets
import jax
import numpy as np

from tinybert_jax.cli import command_line
from tinybert_jax.cli.mlm_options import Options
from tinybert_jax.data.batches import row_length
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import MaskedLanguageModel, count_parameters
from tinybert_jax.models.pretrained import check_fits, load_pretrained, load_tokenizer
from tinybert_jax.pipeline import figures, mlm, stages
from tinybert_jax.pipeline.cards import Origin, data_of
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.settings import check
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import say
from tinybert_jax.training.run_log import read_log

MODEL = "model"  # folder of the model


def main(options: Options) -> None:
  """Trains, and writes the model, its losses and their picture."""
  datasets.disable_progress_bars()
  check(options)
  if not options.text:
    raise InputError("--text: no file is given")
  hosts.join(options.hosts)
  stages.refuse_older_run(options.out / "training")
  tokenizer = load_tokenizer(options.pretrained)
  if tokenizer.mask_token_id is None:
    raise InputError(f"{options.pretrained}: its tokenizer has no mask token")
  loaded = load_pretrained(options.pretrained, MaskedLanguageModel, kernels="glorot", seed=options.seed)
  if options.max_length > loaded.config.longest:
    raise InputError(f"--max-length {options.max_length}: the model has positions for {loaded.config.longest} tokens")
  check_fits(options.pretrained, tokenizer, loaded.config.vocab_size)
  notes: list[str] = []
  rows, short = mlm.read_rows(options.text, tokenizer, options.max_length, notes)
  for note in notes:
    say(note)
  order = np.random.default_rng(options.seed).permutation(len(rows))[: options.max_train_examples]
  number = min(options.held_out, len(order) // 10)
  if not number:
    raise InputError(f"{', '.join(map(str, options.text))}: {len(order)} rows of text; at least 10 are needed")
  held_out, training = rows.select(order[:number]), rows.select(order[number:])
  chosen = precision.choose(options.dtype)
  model = MaskedLanguageModel(loaded.config, chosen.dtype)
  params = dict(loaded.params)
  is_new = any(not path.startswith("encoder/") for path in loaded.initialized)
  if is_new:  # begins as what the frequencies of the tokens alone foretell
    params["bias"] = mlm.log_frequencies(training, loaded.config.vocab_size)
  frozen = {} if options.body else {"encoder": params.pop("encoder")}
  tokens = int(row_length(training).sum())
  say(
    f"{len(training):,} rows of {tokens:,} tokens, {number} rows held out; {'a new head' if is_new else 'its head'}"
    f"{' and the encoder' if options.body else ''}, {count_parameters(params):,} parameters to train; "
    f"on {hosts.describe()}, {chosen}; writes {options.out}"
  )
  if short:
    say(f"{short:,} lines or ends of lines of fewer than {mlm.SHORTEST} tokens are left out")
  # Without dropout: the masks are noise enough.
  recipe = Recipe(options.epochs, options.batch_size, options.learning_rate, dropout=False)
  masks = mlm.Masks(tokenizer, options.max_length, options.masked, options.whole_words)
  with only_run(options.out, process=jax.process_index()):
    about = f"{options.pretrained} with a masked language model's head, trained on {tokens:,} tokens."
    metrics = mlm.make_model(
      options.out / MODEL,
      model,
      params,
      frozen,
      mlm.Texts(training, held_out),
      masks,
      recipe,
      seed=options.seed,
      about=about,
      origin=Origin(student=options.pretrained, data=data_of([str(path) for path in options.text])),
    )
    hosts.on_first(lambda: write(options, metrics, steps_per_epoch=-(-len(training) // options.batch_size)))


def write(options: Options, metrics: Mapping[str, Any], *, steps_per_epoch: int) -> None:
  """Writes the losses, their picture and the run's options."""
  history = read_log(options.out / MODEL / "training", None)
  figures.masked_losses(options.out / "loss.png", history, steps_per_epoch)
  about = {name: metrics[name] for name in ("held_out_loss", "accuracy", "score")}
  about["options"] = command_line.as_json(options)
  (options.out / "metrics.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
  print(
    f"Held out: loss {-metrics['score']:.3f}, {metrics['accuracy']:.1%} of the masked tokens guessed. "
    f"The model is in {options.out / MODEL}, its losses in {options.out / 'loss.png'}."
  )

"""Data augmentation against the original program's and the best PyTorch's, sentence for sentence."""

import dataclasses
import functools
import os
import time
from collections.abc import Sequence

import jax
import numpy as np

from experiments.benchmark.options import Options
from experiments.benchmark.turns import (
  BEST,
  DTYPES,
  MUCH_FASTER,
  ORIGINAL,
  OURS,
  Stages,
  cores,
  run_turns,
  torch_device,
  wait,
)
from experiments.lengths import read_lengths
from tinybert_jax.augmentation.copies import Augmenter, FindCandidates, draw_copies, row_generator
from tinybert_jax.augmentation.masked_words import MaskedWords
from tinybert_jax.augmentation.words import STOP_WORDS, find_words
from tinybert_jax.cli import command_line
from tinybert_jax.models.config import PRESETS, EncoderConfig, config_to_dict
from tinybert_jax.models.encoder import MaskedLanguageModel, initialize
from tinybert_jax.models.pretrained import load_tokenizer
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.tasks.glue import find_task
from tinybert_jax.tasks.glue_files import load_rows
from tinybert_jax.training import precision

_COPIES = 30
_MASKED_SHARE = 0.40  # of CoLA's tokens are words of one piece that may be replaced


def measure(options: Options, config: EncoderConfig = PRESETS["bert-base"]) -> dict[str, float]:
  """Prints and returns how many times as many sentences a second we augment as each of the PyTorch sides.

  All sides have a masked language model of the same shape with random weights, and take text to text: the original's
  candidates come from one sentence with one mask at a time, of a pair with the unmasked one. Words of several pieces
  stay on both sides. What is compiled once a run is not timed.
  """
  device = torch_device("augment")
  tokenizer = load_tokenizer(options.tokenizer)
  config = dataclasses.replace(config, vocab_size=len(tokenizer))
  name, sentences = _sentences(options, tokenizer)
  rng = np.random.default_rng(0)
  ours = [sentences[i] for i in rng.permutation(len(sentences))[: options.sentences]]
  theirs = [ours[i] for i in _evenly(ours, options.original_sentences)]
  chosen = precision.choose(options.dtype)
  model = MaskedLanguageModel(config, chosen.dtype)
  masked = MaskedWords(model, initialize(model, jax.random.key(0)), tokenizer)

  load = os.getloadavg()[0]
  _augment(tokenizer, masked, ours)  # compiles
  repeats = options.repeats or 3
  dtypes = DTYPES if options.dtype == "auto" else (options.dtype,)
  others = {
    ORIGINAL: functools.partial(_original, config, tokenizer, theirs, device),
    BEST: functools.partial(_best, config, tokenizer, ours, dtypes, device, options.compile),
  }
  run_ours = functools.partial(_augment, tokenizer, masked, ours)
  turns = run_turns({str(chosen.dtype): (run_ours, len(ours))}, others, repeats)
  rates = turns.median_rates()
  masks = [sum(word.is_one_piece for word in text.words) for text in find_words(tokenizer, ours)]
  print(
    f"Data augmentation, {name}: {len(ours)} sentences, {np.mean(masks):.1f} words masked in each; the original takes "
    f"{len(theirs)} of them\n{jax.devices()[0].device_kind}, {cores()} cores; {chosen}; PyTorch on {device}; "
    f"medians of {repeats} turns; load {load:.1f} before\nCompilation is left out: a run compiles once.\n"
    f"{'sentences a second':44}{'rate':>8}{'ours is':>9}"
  )
  fastest = {name: max(by_form.values()) for name, by_form in rates.items()}
  for name, by_form in rates.items():
    for form, rate in by_form.items():
      print(f"{f'{name}, {form}':44}{rate:8.2f}{fastest[OURS] / rate:8.2f}x")
  turns.print_memory()
  return {name: fastest[OURS] / rate for name, rate in fastest.items() if name != OURS}


def _augment(tokenizer: Tokenizer, masked: FindCandidates, sentences: Sequence[str]) -> None:
  """Draws copies of the sentences, with candidates from `MaskedWords` or what takes its place."""
  for number, (text, candidates) in enumerate(Augmenter(tokenizer, masked, None)(sentences)):
    draw_copies(text, candidates, _COPIES, row_generator(0, number, 0))


def _best(
  config: EncoderConfig,
  tokenizer: Tokenizer,
  sentences: Sequence[str],
  dtypes: Sequence[str],
  device: str,
  compiled: bool,
) -> Stages:
  """Returns the augmentation by the best PyTorch, by its forms; a dtype that is much slower is left out."""
  import torch

  from experiments.benchmark import best_torch
  from experiments.benchmark.best_torch.augment import TorchMaskedWords

  command_line.keep_freed_memory()  # as for ours; the original has what PyTorch has by default
  texts = find_words(tokenizer, list(sentences))
  few = [sentences[i] for i in _evenly(sentences, min(len(sentences), 16))]

  def make(dtype: str, compiled: bool) -> TorchMaskedWords:
    model = best_torch.MaskedLanguageModel(config).to(device)
    size = 48 if device == "cpu" else 1024  # as ours
    kind = getattr(torch, dtype)
    return TorchMaskedWords(model, tokenizer, texts, dtype=kind, device=device, compiled=compiled, batch_size=size)

  seconds = {}
  for dtype in dtypes:
    eager = make(dtype, False)
    _augment(tokenizer, eager, few)
    start = time.perf_counter()
    _augment(tokenizer, eager, few)
    seconds[dtype] = time.perf_counter() - start
  stages = {}
  for dtype, each in seconds.items():
    if each <= MUCH_FASTER * min(seconds.values()):
      masked = make(dtype, compiled)
      stages[f"{dtype}, {masked.how}"] = functools.partial(_augment, tokenizer, masked, sentences), len(sentences)
  return stages


def _original(config: EncoderConfig, tokenizer: Tokenizer, sentences: Sequence[str], device: str) -> Stages:
  """Returns the original program's augmentation of the sentences."""
  import transformers

  from experiments import original

  settings = {key: value for key, value in config_to_dict(config).items() if key != "model_type"}
  model = transformers.BertForMaskedLM(transformers.BertConfig(**settings)).eval().to(device)

  def augment():
    for sentence in sentences:
      original.augment(model, tokenizer, sentence, _COPIES)
    wait(device)

  original.augment(model, tokenizer, sentences[0], 1)
  return {"float32, eager": (augment, len(sentences))}


def _sentences(options: Options, tokenizer: Tokenizer) -> tuple[str, list[str]]:
  """Returns a title and the sentences of a task, or with stored lengths sentences of words drawn at random."""
  if options.data is not None:
    task = find_task(options.lengths)
    return task.name, load_rows(task, "train", options.data).rows["text"][:]
  name, all_lengths, _ = read_lengths(options.lengths)
  rng = np.random.default_rng(1)
  words = [token for token in tokenizer.get_vocab() if token.isalpha() and token.isascii() and token not in STOP_WORDS]
  words = np.array(sorted(words))
  sentences = []
  for length in np.maximum(all_lengths - 2, 1):
    is_masked = rng.random(length) < _MASKED_SHARE
    sentences.append(" ".join(np.where(is_masked, rng.choice(words, length), "the")))
  return f"sentences of random words as long as {name}'s", sentences


def _evenly(sentences: Sequence[str], number: int) -> np.ndarray:
  """Returns the places of `number` sentences evenly spaced among them by length: a fair sample."""
  order = np.argsort([len(sentence.split()) for sentence in sentences], kind="stable")
  return order[((np.arange(number) + 0.5) / number * len(order)).astype(int)]

"""Speed, as ratios of alternatives that run in turns: `python -m experiments.benchmark --suite task`."""

import dataclasses
import functools
import importlib.util
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import datasets
import jax
import jax.numpy as jnp
import numpy as np
from transformers import PreTrainedTokenizerBase

from experiments import command_line, lengths
from experiments.lengths import in_buckets, read_lengths
from tinybert_jax import steps
from tinybert_jax.augment import Augmenter, draw_copies, row_generator
from tinybert_jax.config import PRESETS, EncoderConfig, config_to_dict
from tinybert_jax.data.batches import BatchSource, bucket_lengths, pad_batch, row_length, with_teacher_logits
from tinybert_jax.data.glue import load_rows
from tinybert_jax.data.glue_tasks import find_task
from tinybert_jax.distill import initialize_projections, intermediate_distillation, prediction_distillation
from tinybert_jax.errors import InputError
from tinybert_jax.evaluate import median_seconds, predict
from tinybert_jax.layer_map import layer_map
from tinybert_jax.masked_words import MaskedWords
from tinybert_jax.model import MaskedLanguageModel, SequenceClassifier, dropout, initialize
from tinybert_jax.optim import adamw, schedule
from tinybert_jax.pretrained import load_tokenizer
from tinybert_jax.words import STOP_WORDS, find_words

PREDICTION_EPOCHS = 3
STAGES = INTERMEDIATE, PREDICTION = "intermediate, one epoch", f"prediction, {PREDICTION_EPOCHS} epochs"
_COPIES = 30
_MASKED_SHARE = 0.40  # of CoLA's tokens are words of one piece that may be replaced
Stages = Mapping[str, tuple[Callable[[], object], int]]


@dataclasses.dataclass(frozen=True)
class Options:
  """Measure alternatives in turns on this machine and print medians and ratios.

  Each option names the suites that read it.
  """

  suite: Literal["dropout", "task", "augment", "lengths"] = "dropout"
  """What to measure. dropout: random generators and bits an element, against a feed-forward layer. task: task
  distillation against the original program's, in PyTorch. augment: data augmentation, likewise. lengths: how long
  GLUE's texts are, and what padding them costs (nothing is timed)."""
  batch_size: int = 32
  """(dropout, task) Sequences in a batch."""
  repeats: int | None = None
  """(dropout, task, augment) Turns whose median counts. Default: 30 for dropout, else 3."""
  length: int = 64
  """(dropout) Tokens in a sequence."""
  hidden_size: int = 384
  """(dropout) Width of the feed-forward layer that dropout is set against; inside, it is four times as wide."""
  lengths: str = "cola"
  """(task, augment) Lengths of the sentences, in tokens with [CLS] and [SEP]: those of cola, mrpc, rte or stsb, or a
  text file of whole numbers."""
  data: Path | None = None
  """(task, augment) Folder of GLUE's official files: --lengths is then any task there, whose training rows are
  counted, or augmented."""
  tokenizer: str = "bert-base-uncased"
  """(task, augment) Model directory or hub id of the tokenizer for --data, and of augment in any case."""
  max_length: int | None = None
  """(task) Tokens that longer sentences are cut to, and that the original pads all of them to. Default: 64 for cola,
  else 128."""
  sequences: int = 1024
  """(task) Sentences in our epoch, of lengths evenly spaced in the sorted ones."""
  original_batches: int = 3
  """(task) Batches in the original's epoch. Fewer will do: padded to one length, they all take the same time."""
  sentences: int = 1000
  """(augment) Sentences that we augment."""
  original_sentences: int = 24
  """(augment) Sentences that the original augments; it takes them one by one."""
  out: Path = Path("lengths.png")
  """(lengths) The picture to write."""
  debug: bool = False
  """Show the traceback of an error."""


def main(options: Options) -> None:
  """Runs the suite and prints what it found."""
  for name in (
    "batch_size",
    "repeats",
    "length",
    "hidden_size",
    "max_length",
    "sequences",
    "original_batches",
    "sentences",
    "original_sentences",
  ):
    value = getattr(options, name)
    if value is not None and value < 1:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be at least 1")
  suites = {
    "dropout": dropout_suite,
    "task": task_suite,
    "augment": augment_suite,
    "lengths": lambda options: lengths.draw(options.out),
  }
  suites[options.suite](options)


def dropout_suite(options: Options) -> None:
  """Prints what dropping a tenth of one layer's hidden states costs, next to the layer's own products."""
  shape = (options.batch_size, options.length, options.hidden_size)
  x = jnp.ones(shape)
  inner = jnp.ones((options.hidden_size, 4 * options.hidden_size))

  @jax.jit
  def by_32_bits(key, x):
    return jnp.where(jax.random.bernoulli(key, 0.9, x.shape), x / 0.9, 0)

  by_bytes = jax.jit(lambda key, x: dropout(x, 0.1, key))
  feed_forward = jax.jit(lambda x, w: jax.nn.gelu(x @ w, approximate=False) @ w.T)
  runs = {"feed-forward layer": functools.partial(feed_forward, x, inner)}
  for impl in ("threefry2x32", "rbg"):
    key = jax.random.key(0, impl=impl)
    runs[f"{impl}, 32 bits an element"] = functools.partial(by_32_bits, key, x)
    runs[f"{impl}, a byte an element"] = functools.partial(by_bytes, key, x)
  seconds = median_seconds(runs, options.repeats or 30)
  print(f"{jax.devices()[0].device_kind}, {shape} float32; runs use {jax.random.key_impl(steps.random_key(0))}")
  for name, value in seconds.items():
    print(f"{name:32}{1e3 * value:9.2f} ms{value / seconds['feed-forward layer']:8.2f} of the layer")


def task_suite(
  options: Options, teacher: EncoderConfig = PRESETS["bert-base"], student: EncoderConfig = PRESETS["tinybert-4l-312d"]
) -> dict[str, float]:
  """Prints and returns how many times as many sequences a second task distillation does as the original program.

  Both sides train the same shapes from random weights in float32 and load their data as they would in a run. Neither
  side's first batch of a shape is timed: ours is compiled there, which a run does once for each length.
  """
  if importlib.util.find_spec("torch") is None:
    raise InputError("--suite task measures against PyTorch, which is not here; run: pip install torch")
  name, all_lengths, max_length = read_lengths(options.lengths, options.max_length, options.data, options.tokenizer)
  if max_length > teacher.max_position_embeddings:
    raise InputError(f"--max-length {max_length}: the models have {teacher.max_position_embeddings} positions")
  all_lengths = np.minimum(all_lengths, max_length)
  buckets = bucket_lengths(all_lengths)
  rng = np.random.default_rng(0)
  # Evenly spaced quantiles: a sample of the same mean, where random draws would be off by a few percent.
  sample = rng.permutation(
    np.quantile(all_lengths, (np.arange(options.sequences) + 0.5) / options.sequences, method="nearest")
  )
  rows = datasets.Dataset.from_dict({"input_ids": [rng.integers(1, teacher.vocab_size, n).tolist() for n in sample]})
  original_rows = [rows[i % len(rows)]["input_ids"] for i in range(options.original_batches * options.batch_size)]
  load = os.getloadavg()[0]
  sides = {
    "ours": _ours(rows, buckets, options.batch_size, teacher, student),
    "original": _original(original_rows, max_length, options.batch_size, teacher, student),
  }
  batches = BatchSource(rows, batch_size=options.batch_size, lengths=buckets)
  padded = np.mean([batch["input_ids"].shape[1] for batch in batches])
  full = in_buckets(all_lengths, buckets).mean()
  print(
    f"Task distillation, {name}: {len(all_lengths)} lengths of mean {all_lengths.mean():.1f}, cut at {max_length}\n"
    f"ours: {len(rows)} of them, mean {sample.mean():.1f}; padded to {', '.join(map(str, buckets))}, mean {padded:.1f} "
    f"({full:.1f} if each had a full batch of its own length)\n"
    f"original: {len(original_rows)} of them, padded to {max_length}\n"
    f"{jax.devices()[0].device_kind}, {_cores()} cores, float32, batches of {options.batch_size}, medians of "
    f"{options.repeats or 3} turns; load {load:.1f} before (other work slows the original down more)\n"
    "Compilation is left out: a run compiles once."
  )
  rates = {side: {stage: [] for stage in STAGES} for side in sides}
  for _ in range(options.repeats or 3):
    for stage, side in itertools.product(STAGES, sides):
      run, sequences = sides[side][stage]
      start = time.perf_counter()
      run()
      rates[side][stage].append(sequences / (time.perf_counter() - start))
  ratios = {}
  print(f"{'sequences a second':32}{'ours':>10}{'original':>10}{'ratio':>8}")
  for stage in STAGES:
    ours, original = (float(np.median(rates[side][stage])) for side in ("ours", "original"))
    ratios[stage] = ours / original
    print(f"{stage:32}{ours:10.1f}{original:10.1f}{ratios[stage]:7.1f}x")
  return ratios


def _ours(
  rows: datasets.Dataset, buckets: tuple[int, ...], batch_size: int, teacher: EncoderConfig, student: EncoderConfig
) -> Stages:
  """Returns each stage, warmed up, and the sequences that it trains on."""
  teacher_model, student_model = SequenceClassifier(teacher), SequenceClassifier(student)
  teacher_params = initialize(teacher_model, jax.random.key(0))
  params = initialize(student_model, jax.random.key(1))
  projections = initialize_projections(student, teacher, jax.random.key(2))
  layers = layer_map("uniform", student.num_hidden_layers, teacher.num_hidden_layers)
  optimizer = adamw(schedule(5e-5, 1000))

  def trainer(params, loss_fn, read_teacher, rows):
    state = steps.create_state(params, optimizer, steps.random_key(0))
    update = steps.jit_update(steps.make_update(loss_fn, optimizer))

    def train(batches):
      nonlocal state
      for batch in batches:
        state, _ = update(state, read_teacher, jax.device_put(batch))
      jax.block_until_ready(state)

    shortest = rows[[int(np.argmin(row_length(rows)))]]
    train([pad_batch(shortest, length, batch_size) for length in buckets])
    return train

  def with_logits():
    return with_teacher_logits(rows, predict(teacher_model, teacher_params, rows))

  train_intermediate = trainer(
    params | {"projections": projections},
    intermediate_distillation(student_model, teacher_model, layers),
    teacher_params,
    rows,
  )
  train_prediction = trainer(params, prediction_distillation(student_model), {}, with_logits())
  source = functools.partial(BatchSource, batch_size=batch_size, lengths=buckets)
  return {
    INTERMEDIATE: (lambda: train_intermediate(source(rows)), len(rows)),
    PREDICTION: (
      lambda: train_prediction(source(with_logits(), epochs=PREDICTION_EPOCHS)),
      PREDICTION_EPOCHS * len(rows),
    ),
  }


def _original(
  sequences: Sequence[Sequence[int]], max_length: int, batch_size: int, teacher: EncoderConfig, student: EncoderConfig
) -> Stages:
  """Returns what `_ours` does, of the original program."""
  import torch  # seconds to import, and needed by this suite alone

  from experiments import original

  torch.manual_seed(0)
  torch.set_num_threads(_cores())
  teacher_model = original.Classifier(teacher, teacher.hidden_size)
  batches = original.data_loader(sequences, batch_size, max_length)
  stages = {}
  for stage, loss_fn, epochs in (
    (INTERMEDIATE, original.intermediate_loss, 1),
    (PREDICTION, original.prediction_loss, PREDICTION_EPOCHS),
  ):
    student_model = original.Classifier(student, teacher.hidden_size)
    optimizer = original.BertAdam(student_model, 5e-5, 1000)
    train = functools.partial(original.train, student_model, teacher_model, loss_fn, optimizer)
    train(itertools.islice(batches, 1))
    stages[stage] = (
      lambda train=train, epochs=epochs: [train(batches) for _ in range(epochs)],
      epochs * len(sequences),
    )
  return stages


def augment_suite(options: Options, config: EncoderConfig = PRESETS["bert-base"]) -> float:
  """Prints and returns how many times as many sentences a second are augmented as by the original program.

  Both sides have a masked language model of the same shape with random weights, and take text to text: the original's
  candidates come from one sentence with one mask at a time, of a pair with the unmasked one. Words of several pieces
  stay on both sides. What is compiled once a run is not timed.
  """
  if importlib.util.find_spec("torch") is None:
    raise InputError("--suite augment measures against PyTorch, which is not here; run: pip install torch")
  import torch
  import transformers

  from experiments import original

  tokenizer = load_tokenizer(options.tokenizer)
  config = dataclasses.replace(config, vocab_size=len(tokenizer))
  name, sentences = _sentences(options, tokenizer)
  rng = np.random.default_rng(0)
  ours = [sentences[i] for i in rng.permutation(len(sentences))[: options.sentences]]
  theirs = [ours[i] for i in _evenly(ours, options.original_sentences)]
  model = MaskedLanguageModel(config)
  masked = MaskedWords(model, initialize(model, jax.random.key(0)), tokenizer)
  torch.manual_seed(0)
  torch.set_num_threads(_cores())
  settings = {key: value for key, value in config_to_dict(config).items() if key != "model_type"}
  peer = transformers.BertForMaskedLM(transformers.BertConfig(**settings)).eval()

  def run_ours():
    for number, (text, candidates) in enumerate(Augmenter(tokenizer, masked, None)(ours)):
      draw_copies(text, candidates, _COPIES, row_generator(0, number, 0))

  def run_original():
    for sentence in theirs:
      original.augment(peer, tokenizer, sentence, _COPIES)

  load = os.getloadavg()[0]
  run_ours()  # compiles
  original.augment(peer, tokenizer, theirs[0], 1)
  rates = {"ours": [], "original": []}
  for _ in range(options.repeats or 3):
    for side, run, number in (("ours", run_ours, len(ours)), ("original", run_original, len(theirs))):
      start = time.perf_counter()
      run()
      rates[side].append(number / (time.perf_counter() - start))
  masks = [sum(word.is_one_piece for word in text.words) for text in find_words(tokenizer, ours)]
  ours_rate, original_rate = (float(np.median(values)) for values in rates.values())
  print(
    f"Data augmentation, {name}: {len(ours)} sentences, {np.mean(masks):.1f} words masked in each; the original takes "
    f"{len(theirs)} of them\n{jax.devices()[0].device_kind}, {_cores()} cores, float32, medians of "
    f"{options.repeats or 3} turns; load {load:.1f} before\nCompilation is left out: a run compiles once.\n"
    f"sentences a second: ours {ours_rate:.2f}, original {original_rate:.2f}, ratio {ours_rate / original_rate:.1f}x"
  )
  return ours_rate / original_rate


def _sentences(options: Options, tokenizer: PreTrainedTokenizerBase) -> tuple[str, list[str]]:
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


def _cores() -> int:
  """Returns the cores that this process may use, which JAX uses all."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.benchmark")

"""`python -m experiments.general --tpu`: from raw text and a pretrained BERT to a general student."""

import dataclasses
import json
import time

import datasets
import jax
import jax.numpy as jnp

from experiments import figures
from experiments.general import training
from experiments.general.options import Options
from tinybert_jax.cli import command_line
from tinybert_jax.corpus.corpus import Corpus, Packing, Source, corpus_fingerprint, open_corpus, pack_corpus
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, count_parameters, initialize
from tinybert_jax.models.fused_attention import MAX_LENGTH
from tinybert_jax.models.pretrained import Pretrained, load_pretrained, load_tokenizer, save_pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import students
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.training import hosts
from tinybert_jax.training.hosts import say
from tinybert_jax.training.loop import TrainResult

_POLL_SECONDS = 10


def main(options: Options) -> None:
  """Packs the text, trains, and writes the student, its losses and their picture."""
  check_numbers(options)
  hosts.join(options.hosts)
  datasets.disable_progress_bars()
  tokenizer = load_tokenizer(options.pretrained)
  if options.prepare:
    describe(pack(options, tokenizer))
    return
  batch_size = training.global_batch_size(options)  # what does not fit is said before anything is packed
  teacher = load_pretrained(options.pretrained, Encoder)
  students.check_vocabulary(options.pretrained, teacher.config, tokenizer)
  student = load_student(options, teacher, tokenizer)
  layers = students.match_layers(options.student, options.layer_map, student.config, teacher.config, options.max_length)
  form = training.parallel_form(options)
  say(
    f"teacher  {options.pretrained}, {count_parameters(teacher.params):,} parameters\n"
    f"student  {options.student}, {count_parameters(student.params):,} parameters; its layers learn from the "
    f"teacher's {layers}\n"
    f"devices  {hosts.describe()}, {form}, {jnp.dtype(training.compute_dtype(options)).name}; batches of {batch_size}\n"
    f"writes   {options.out}"
  )
  corpus = pack(options, tokenizer)
  describe(corpus)
  sequences = training.Sequences(corpus.training, corpus.held_out, corpus.fingerprint)
  with only_run(options.out, process=jax.process_index()):
    result = training.fit(options, teacher, student, layers, sequences)
    if jax.process_index() == 0:
      write(options, teacher, student, result, tokenizer, corpus)
  hosts.wait_for_all()


def check_numbers(options: Options) -> None:
  """Raises InputError for an option that is no size, share or rate."""
  for name, value in dataclasses.asdict(options).items():
    if isinstance(value, bool) or not isinstance(value, int):
      continue
    least = {"max_length": 8, "seed": 0}.get(name, 1)
    if value < least:
      raise InputError(f"--{name.replace('_', '-')} {value}: it must be at least {least}")
  if not 0 < options.learning_rate < 1:
    raise InputError(f"--learning-rate {options.learning_rate}: it must be above 0 and below 1")
  if not 0 <= options.warmup < 1:
    raise InputError(f"--warmup {options.warmup}: it must be at least 0 and below 1")
  if options.attention == "fused" and options.max_length > MAX_LENGTH:
    raise InputError(f"--max-length {options.max_length}: --attention fused takes {MAX_LENGTH} tokens at most")
  if options.weights and len(options.weights) != len(options.corpus):
    raise InputError(f"--weights: {len(options.weights)} of them, and {len(options.corpus)} are in --corpus")


def load_student(options: Options, teacher: Pretrained, tokenizer: Tokenizer) -> Pretrained:
  """Returns the student to begin with, an encoder without labels."""
  config, params = students.load_student(
    options.student, options.student_layers, options.student_dropout, teacher.config, tokenizer, options.seed
  )
  # Of Glorot's scale, without which narrow students learn slowly; see `model.initialize`.
  return Pretrained(config, params or initialize(Encoder(config), jax.random.key(options.seed), kernels="glorot"), ())


def pack(options: Options, tokenizer: Tokenizer) -> Corpus:
  """Returns the packed text: the first process packs it, or finds it packed, and the others wait for that."""
  weights = options.weights or (1.0,) * len(options.corpus)
  sources = [Source(where, weight) for where, weight in zip(options.corpus, weights, strict=True)]
  packing = Packing(options.max_length, options.segments, options.held_out, options.text_column, options.seed)
  hosts.check_shared(options.cache, options.out)
  # The others take the first one's word for what it is, so they need no text of their own.
  fingerprint = hosts.from_first(lambda: corpus_fingerprint(sources, tokenizer, packing))
  if jax.process_index() == 0:
    return pack_corpus(options.cache, sources, tokenizer, packing, workers=options.workers)
  while (corpus := open_corpus(options.cache, fingerprint)) is None:
    time.sleep(_POLL_SECONDS)
  return corpus


def describe(corpus: Corpus) -> None:
  """Prints what the text became, and what of it was left out."""
  counts = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in corpus.counts.items() if number)
  say(f"corpus   {counts}")
  if corpus.held_out is None:
    say("         no document is held out, so losses are measured in training alone; --held-out takes a larger share")


def write(
  options: Options,
  teacher: Pretrained,
  student: Pretrained,
  result: TrainResult,
  tokenizer: Tokenizer,
  corpus: Corpus,
) -> None:
  """Writes the student as a Hugging Face directory, the last losses, the picture of all, and the run's options."""
  params = {name: jax.device_get(result.params[name]) for name in student.params}
  about = (
    f"A general TinyBERT student (arXiv:1909.10351): {options.pretrained}'s embeddings, hidden states and attention "
    f"scores, distilled over {len(corpus.training):,} sequences."
  )
  save_pretrained(options.out / "model", student.config, params, tokenizer=tokenizer, description=about)
  metrics = {name: value for row in result.history for name, value in row.items()}
  for name, content in (("metrics.json", metrics), ("config.json", command_line.as_json(options))):
    (options.out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
  figures.general_losses(options.out / "losses.png", result.history)
  loss = metrics.get("held_out_loss", metrics["loss"])
  where = "on held-out text" if "held_out_loss" in metrics else "in training"
  print(
    f"Loss {loss:.4f} {where}, {training.by_term(metrics)}. The student is in {options.out / 'model'}; give it to "
    f"experiments.glue as --student. Its losses are in {options.out / 'losses.png'}."
  )


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.general")

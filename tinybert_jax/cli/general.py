"""`tinybert-jax general`, `python -m experiments.general --tpu`: raw text and a BERT to a general student."""

import json
import time

import datasets
import jax

from tinybert_jax.cli import command_line
from tinybert_jax.cli.general_options import Options
from tinybert_jax.corpus.corpus import Corpus, Packing, Source, corpus_fingerprint, open_corpus, pack_corpus
from tinybert_jax.distillation.term_choice import TermChoice, check_terms
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import load_config
from tinybert_jax.models.encoder import Encoder, count_parameters, initialize
from tinybert_jax.models.pretrained import Pretrained, check_fits, load_pretrained, load_tokenizer, local_directory
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import in_words
from tinybert_jax.models.vocabulary import Trimmed, trim_config, trim_params
from tinybert_jax.pipeline import figures, general, stages, students, trimming
from tinybert_jax.pipeline.cards import Origin, data_of
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.settings import check
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import say
from tinybert_jax.training.parallel import Form
from tinybert_jax.training.run_log import read_log

MODEL = "model"  # folder of the student
VOCABULARY = "vocabulary.json"  # the trimmed tokenizer
_POLL_SECONDS = 10


def main(options: Options) -> None:
  """Packs the text, trains, and writes the student, its losses and their picture."""
  check(options)
  check_together(options)
  check_terms(options.intermediate.terms, options.intermediate.term_weights)
  hosts.join(options.hosts)
  stages.refuse_older_run(options.out / "training")
  datasets.disable_progress_bars()
  tokenizer, trimmed = load_tokenizer(options.pretrained), None
  if options.vocabulary is not None:
    trimmed = trim(options, tokenizer)
  whole, tokenizer = tokenizer, trimmed.tokenizer if trimmed else tokenizer
  if options.prepare:
    describe(pack(options, tokenizer))
    return
  batch_size = global_batch_size(options)  # what does not fit is said before anything is packed
  teacher = load_pretrained(options.pretrained, Encoder)
  check_fits(options.pretrained, whole, teacher.config.vocab_size)
  student = load_student(options, teacher, whole)
  if trimmed is not None:
    teacher, student = (
      Pretrained(trim_config(each.config, trimmed), trim_params(each.params, trimmed), ())
      for each in (teacher, student)
    )
  terms = students.choose_terms(options.student, options.intermediate, student.config, teacher.config)
  layers = students.match_layers(options.layer_map, student.config, teacher.config, options.max_length)
  form = parallel_form(options)
  say(
    f"tokens   {in_words(tokenizer)}, for teacher and student\n"
    f"teacher  {options.pretrained}, {count_parameters(teacher.params):,} parameters\n"
    f"student  {students.in_words(options.student, student.config)}, {count_parameters(student.params):,} parameters; "
    f"its layers learn from the teacher's {layers}\n"
    f"compared {terms.in_words()}\n"
    f"devices  {hosts.describe()}, {form}, {precision.choose(options.dtype)}; batches of {batch_size}\n"
    f"writes   {options.out}"
  )
  corpus = pack(options, tokenizer)
  describe(corpus)
  sequences = general.Sequences(corpus.training, corpus.held_out, corpus.fingerprint)
  with only_run(options.out, process=jax.process_index()):
    about = (
      f"A general TinyBERT student (arXiv:1909.10351): {options.pretrained}'s {terms.in_words()}, "
      f"distilled over {len(corpus.training):,} sequences."
    )
    how = settings(options, batch_size, form, terms)
    origin = Origin((options.pretrained,), students.begins_with(options.student), data_of(options.corpus))
    general.make_student(options.out / MODEL, teacher, student, layers, sequences, how, tokenizer, about, origin)
    hosts.on_first(lambda: write(options))
  hosts.wait_for_all()


def settings(options: Options, batch_size: int, form: Form, terms: TermChoice) -> general.Settings:
  """Returns how the run trains, as the options have it."""
  return general.Settings(
    recipe=Recipe(
      options.epochs,
      batch_size,
      options.learning_rate,
      options.steps,
      warmup=options.warmup,
      decay=options.decay,
      accumulate=options.accumulate,
      form=form,
    ),
    max_length=options.max_length,
    seed=options.seed,
    dtype=precision.choose(options.dtype).dtype,
    attention=options.attention,
    terms=terms,
    log_every=options.log_every,
    evaluate_every=options.evaluate_every,
    checkpoint_every=options.checkpoint_every,
    inherits=options.student_from == "teacher",
  )


def check_together(options: Options) -> None:
  """Raises InputError for options that do not go together."""
  from tinybert_jax.models.fused_attention import MAX_LENGTH  # loads Pallas

  if options.attention == "fused" and options.max_length > MAX_LENGTH:
    raise InputError(f"--max-length {options.max_length}: --attention fused takes {MAX_LENGTH} tokens at most")
  if options.weights and len(options.weights) != len(options.corpus):
    raise InputError(f"--weights: {len(options.weights)} of them, and {len(options.corpus)} are in --corpus")


def load_student(options: Options, teacher: Pretrained, tokenizer: Tokenizer) -> Pretrained:
  """Returns the student to begin with, an encoder without labels."""
  own = students.own_tokenizer(options.student, tokenizer)
  students.check_same_tokens(options.student, own, tokenizer, "general distillation needs a student of the same tokens")
  config, params = students.load_student(
    options.student, options.student_layers, options.student_dropout, teacher.config, own, options.seed
  )
  for config_of in (teacher.config, config):
    if options.attention == "fused" and not config_of.family.fits_fused_attention:
      raise InputError(
        f"--attention fused: it computes scores of queries and keys alone, and the attention of a "
        f"{config_of.family.title} is {config_of.family.attention}; use plain"
      )
  students.check_start(options.student_from, options.student, params, config, teacher.config)
  # Of Glorot's scale, without which narrow students learn slowly; see `model.initialize`.
  return Pretrained(config, params or initialize(Encoder(config), jax.random.key(options.seed), kernels="glorot"), ())


def trim(options: Options, tokenizer: Tokenizer) -> Trimmed:
  """Returns the vocabulary of the corpus, which all processes read from a file in --out."""
  hosts.check_shared(options.out)
  padding = load_config(local_directory(options.pretrained)).pad_token_id
  return trimming.of_corpus(
    options.out / VOCABULARY, tokenizer, options.corpus, options.text_column, options.vocabulary or 0, [padding]
  )


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
  say(f"corpus   {'; '.join([counts, *corpus.notes])}")
  if corpus.held_out is None:
    say("         no document is held out, so losses are measured in training alone; --held-out takes a larger share")


def write(options: Options) -> None:
  """Writes the last losses, the picture of all, and the run's options."""
  history = read_log(options.out / MODEL / "training", None)
  metrics = {name: value for row in history for name, value in row.items()}
  for name, content in (("metrics.json", metrics), ("config.json", command_line.as_json(options))):
    (options.out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
  figures.general_losses(options.out / "losses.png", history)
  loss = metrics.get("held_out_loss", metrics["loss"])
  where = "on held-out text" if "held_out_loss" in metrics else "in training"
  print(
    f"Loss {loss:.4f} {where}, {general.by_term(metrics)}. The student is in {options.out / MODEL}; give it to "
    f"glue or distil as --student. Its losses are in {options.out / 'losses.png'}."
  )


def global_batch_size(options: Options) -> int:
  """Returns the sequences in a batch of all devices; InputError where the devices and parts cannot share them."""
  devices = jax.device_count()
  if options.batch_size_per_device:
    if options.batch_size_per_device % options.accumulate:
      raise InputError(
        f"--batch-size-per-device {options.batch_size_per_device}: it must be a multiple of --accumulate "
        f"({options.accumulate})"
      )
    return options.batch_size_per_device * devices
  size = options.batch_size
  parts = devices * options.accumulate
  if size % parts:
    raise InputError(
      f"--batch-size {size}: it must be a multiple of {parts}, the number of devices ({devices}) times "
      f"--accumulate ({options.accumulate})"
    )
  return size


def parallel_form(options: Options) -> Form:
  """Returns how the devices share the work; InputError for options that contradict each other."""
  if options.shard_params and options.parallel == "pmap":
    raise InputError("--shard-params goes with --parallel mesh: pmap keeps all parameters on every device")
  return "sharded" if options.shard_params else options.parallel

"""Teachers, student and data of a run that go together, before anything trains."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinybert_jax.distillation import inherited
from tinybert_jax.distillation.term_choice import PAPERS_TERMS, TermChoice
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, load_config
from tinybert_jax.models.encoder import Encoder, count_parameters
from tinybert_jax.models.pretrained import Pretrained, check_fits, load_pretrained, load_tokenizer, local_directory
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import in_words
from tinybert_jax.models.vocabulary import Trimmed, trim_config, trim_params
from tinybert_jax.pipeline import kinds, own_data, segments, students, teachers, trimming
from tinybert_jax.pipeline.distil_settings import Settings, StudentOptions
from tinybert_jax.pipeline.kinds import Kind
from tinybert_jax.pipeline.own_data import Length, OwnData
from tinybert_jax.pipeline.student_choice import Student, choose_student
from tinybert_jax.tasks.own_task import with_loss
from tinybert_jax.training import hosts
from tinybert_jax.training.hosts import say
from tinybert_jax.training.precision import choose


class Tokens(NamedTuple):
  """What a model reads: its tokenizer, and the length that texts are cut to."""

  tokenizer: Tokenizer
  length: Length


@dataclasses.dataclass(frozen=True)
class Prepared:
  """What a run works with.

  Attributes:
    data: before it is tokens.
    read: what the student reads.
    taught: what the teachers read; the same object where that is what the student reads.
    trimmed: the part of the teachers' vocabulary that the student has; None where it has all, or another.
    teachers: one or several; none where targets came with the data.
    student: to begin with.
    layers: the teacher's that the student's learn from.
    terms: of the loss by which they do.
    has_weights: whether the student begins with trained weights.
    dtype: of the inputs of matrix products.
    inherits: whether the student's first weights are made from the teacher's.
  """

  data: OwnData
  read: Tokens
  taught: Tokens
  trimmed: Trimmed | None
  teachers: list[Pretrained]
  student: Pretrained
  layers: tuple[int, ...]
  terms: TermChoice
  has_weights: bool
  dtype: np.dtype
  inherits: bool

  @property
  def shares_tokens(self) -> bool:
    """Whether teachers and student read the same tokens."""
    return self.read is self.taught

  @property
  def compares_layers(self) -> bool:
    """Whether the first teacher can read the student's tokens, so that its layers can be distilled."""
    return self.shares_tokens or self.trimmed is not None


def prepare(settings: Settings) -> Prepared:
  """Returns data and models that go together; prints what was found."""
  options, shape, products = settings.teachers, settings.shape, choose(settings.dtype)
  kind = kinds.find_kind(settings.data.kind)
  given = teachers.load_given(options, kind.head)
  data = kind.load(settings, given, _name(settings))
  how = settings.training
  data = dataclasses.replace(data, task=with_loss(data.task, how.prediction_loss, how.temperature))
  source = options.teacher[0] if options.teacher else options.pretrained or shape.student
  if source is None:
    raise InputError("--target-columns need a tokenizer: give --student, a model directory, or --pretrained")
  tokenizer = load_tokenizer(source)
  own = students.own_tokenizer(shape.student, tokenizer)
  models = _teachers(settings, given, data, tokenizer)
  if models and "intermediate" in settings.stages:
    students.check_same_tokens(str(shape.student), own, tokenizer, f"leave that stage out ({_without(settings)})")
  like = models[0].config if models else load_pretrained(source, Encoder).config
  for name, model in zip(options.teacher, models, strict=False):
    _check_same_tokens(name, model, tokenizer)
  check_fits(source, tokenizer, like.vocab_size)
  longest = _longest(settings, like)
  taught = Tokens(tokenizer, own_data.choose_length(data, tokenizer, longest, _asked(settings, kind, longest)))
  length = taught.length.tokens
  for name, model in zip(options.teacher or ["the teacher"], models, strict=False):
    students.check_length(name, model.config, length)
  _say_data(data)
  trimmed = None
  if shape.vocabulary is not None:
    trimmed = _trimmed(shape.vocabulary, own or tokenizer, data, like if own is None else _config_of(shape))
  chosen = _student(settings, like, own, trimmed, length, may_trim=bool(models) and shape.vocabulary is None)
  if chosen.vocabulary is not None:
    chosen, trimmed = _with_fewer_tokens(settings, chosen, chosen.vocabulary, tokenizer, data, like, length)
  inherits_weights = inherits(
    shape, chosen, trim_config(like, trimmed) if trimmed and own is None else like, bool(models)
  )
  read = taught
  if reads := trimmed.tokenizer if trimmed else own:
    positions = min(longest, chosen.config.longest)
    read = Tokens(reads, own_data.choose_length(data, reads, positions, _asked(settings, kind, positions)))
  students.check_length("the student", chosen.config, read.length.tokens)
  _say_tokens(read, taught if models else read)
  compares_layers = bool(models) and own is None
  if "pair" in data.transfer.column_names and compares_layers:
    shapes = dict(zip(options.teacher or ["the teacher"], (model.config for model in models), strict=False))
    segments.check_alike({**shapes, "the student": chosen.config})
  student = teachers.with_new_classifier(chosen.config, chosen.params, data.task, settings.seed)
  layers: tuple[int, ...] = ()
  terms = PAPERS_TERMS
  if compares_layers:
    terms = students.choose_terms(shape.student or "of that shape", settings.intermediate, student.config, like)
    layers = students.match_layers(shape.layer_map, student.config, like, read.length.tokens)
  if models:
    sizes = ", ".join(f"{count_parameters(model.params):,}" for model in models)
    say(f"teacher  {', '.join(options.teacher or [str(options.pretrained)])}: {sizes} parameters")
  weights = ", its first weights made from the teacher's" if inherits_weights else ""
  say(f"student  {chosen.reason}; {count_parameters(student.params):,} parameters{weights}")
  say(f"devices  {hosts.describe()}, {products}\nwrites   {settings.out}")
  has_weights = chosen.params is not None
  kept = trimmed if own is None else None
  return Prepared(
    data, read, taught, kept, models, student, layers, terms, has_weights, products.dtype, inherits_weights
  )


def inherits(shape: StudentOptions, chosen: Student, teacher: EncoderConfig, has_teacher: bool) -> bool:
  """Whether the student's first weights are made from the teacher's: where that is asked for, and else where it can be.

  Raises:
    InputError: they cannot be what is asked for.
  """
  students.check_start(shape.student_from, shape.student, chosen.params, chosen.config, teacher)
  if shape.student_from is not None:
    return shape.student_from == "teacher"
  if not has_teacher or chosen.params is not None:
    return False
  try:
    inherited.check(chosen.config, teacher)
  except InputError as error:
    reason = str(error).partition(": ")[2]
    say(f"student  begins with random weights, as it cannot have its teacher's: {reason}")
    return False
  return True


def _longest(settings: Settings, teacher: EncoderConfig) -> int:
  """Returns the most tokens of a text that the teacher reads; InputError where an option asks for more.

  sentence-transformers cuts texts to a length that may be less than there are positions.
  """
  cut_to = teacher.sentence.max_length if teacher.sentence else None
  if cut_to is None:
    return teacher.longest
  if settings.max_length is not None and settings.max_length > cut_to:
    raise InputError(
      f"--max-length {settings.max_length}: the teacher reads {cut_to} tokens of a text (max_seq_length)"
    )
  return min(cut_to, teacher.longest)


def _asked(settings: Settings, kind: Kind, positions: int) -> int | None:
  """Returns the tokens that an option or the kind of task asks for; None where the texts decide."""
  return settings.max_length or (None if kind.length is None else min(kind.length, positions))


def _trimmed(size: int, tokenizer: Tokenizer, data: OwnData, config: EncoderConfig) -> Trimmed:
  """Returns the vocabulary of the texts to distil over."""
  held_out = [data.dev] if data.test is None else [data.dev, data.test]
  return trimming.of_rows(tokenizer, data.transfer, held_out, size, [config.pad_token_id])


def _with_fewer_tokens(
  settings: Settings, chosen: Student, size: int, tokenizer: Tokenizer, data: OwnData, like: EncoderConfig, length: int
) -> tuple[Student, Trimmed | None]:
  """Returns the student with the `size` tokens that it has room for; one of another shape if they cannot be fewer."""
  try:
    trimmed = _trimmed(size, tokenizer, data, like)
    return chosen._replace(config=trim_config(chosen.config, trimmed)), trimmed
  except InputError as error:
    say(f"student  keeps all tokens, and is narrower for it: {error}")
    return _student(settings, like, None, None, length), None


def _config_of(shape: StudentOptions) -> EncoderConfig:
  return load_config(local_directory(str(shape.student)))


def _student(
  settings: Settings,
  like: EncoderConfig,
  own: Tokenizer | None,
  trimmed: Trimmed | None,
  length: int,
  may_trim: bool = False,
) -> Student:
  """Returns the student to begin with, of the trimmed vocabulary where there is one."""
  smaller = trim_config(like, trimmed) if trimmed and own is None else None
  dtype = choose(settings.dtype).dtype
  chosen = choose_student(
    settings.shape,
    like,
    own,
    length,
    out=settings.out,
    seed=settings.seed,
    dtype=dtype,
    trimmed=smaller,
    may_trim=may_trim,
  )
  if trimmed is None:
    return chosen
  params = None if chosen.params is None else trim_params(chosen.params, trimmed)
  return chosen._replace(config=trim_config(chosen.config, trimmed), params=params)


def _without(settings: Settings) -> str:
  """Returns the options that leave intermediate distillation out."""
  return " ".join(["--stages", *(stage for stage in settings.stages if stage != "intermediate")])


def _name(settings: Settings) -> str:
  first = (settings.data.train or settings.data.unlabelled or ("task",))[0]
  stem = Path(first.split(":")[0]).name.split(".")[0]
  return stem.replace("*", "") or "task"


def _teachers(settings: Settings, given: list[Pretrained], data: OwnData, tokenizer: Tokenizer) -> list[Pretrained]:
  options, task = settings.teachers, data.task
  if data.targets is not None:
    return []
  if not given:
    return [teachers.with_pretrained(str(options.pretrained), task, tokenizer, settings.seed)]
  if task.labels:
    given = [teachers.in_order(model, task.labels, name) for model, name in zip(given, options.teacher, strict=True)]
  return [teachers.for_task(model, task) for model in given]


def _check_same_tokens(name: str, model: Pretrained, tokenizer: Tokenizer) -> None:
  """Raises InputError where one of several teachers reads other tokens than the first."""
  check_fits(name, tokenizer, model.config.vocab_size)
  own = load_tokenizer(name)
  if own.get_vocab() != tokenizer.get_vocab():
    raise InputError(f"--teacher {name}: its tokenizer is not the first teacher's; teachers together read one's tokens")


def _say_data(data: OwnData) -> None:
  labelled = "no labels" if data.labelled is None else f"{len(data.labelled):,} labelled rows"
  tested = "" if data.test is None else f", {len(data.test):,} to test"
  kind = data.task.kind.replace("_", "-")
  classes = f" of {len(data.task.labels)} classes" if len(data.task.labels) > 1 else ""
  say(f"task     {data.task.name}: {kind}{classes}")
  say(f"data     {labelled}, {len(data.transfer):,} rows to distil over, {len(data.dev):,} to choose by{tested}")
  for note in data.notes:
    say(f"         {note}")


def _say_tokens(read: Tokens, taught: Tokens) -> None:
  """Prints which tokenizers read the texts, and what they cut."""
  sides = {"teacher and student": read} if read is taught else {"the teacher": taught, "the student": read}
  for who, (tokenizer, length) in sides.items():
    say(f"tokens   {in_words(tokenizer)}, for {who}")
    say(f"length   {length.tokens} tokens, {length.share_cut:.1%} of the texts are longer and cut")

"""The student that a command line names, and the layers that it learns from."""

import dataclasses
import json
from pathlib import Path

from tinybert_jax.choices import StudentFrom
from tinybert_jax.distillation import inherited
from tinybert_jax.distillation.layer_map import LayerMap, layer_map
from tinybert_jax.distillation.term_choice import TermChoice, TermOptions, check_heads
from tinybert_jax.distillation.term_choice import choose_terms as choose
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS, EncoderConfig, config_to_dict, load_config
from tinybert_jax.models.directories import replace_file
from tinybert_jax.models.encoder import Encoder
from tinybert_jax.models.pretrained import check_fits, load_pretrained, load_tokenizer, local_directory
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import has_tokenizer, read_alike
from tinybert_jax.models.tokenizers import in_words as words_of


def load_student(
  name: str,
  layers: int | None,
  dropout: float | None,
  teacher: EncoderConfig,
  own: Tokenizer | None,
  seed: int,
) -> tuple[EncoderConfig, dict | None]:
  """Returns the student's shape and its encoder's parameters, None where `name` is a shape alone.

  Args:
    name: preset, config.json, model directory or hub id.
    layers: of a preset, in place of its own number.
    dropout: in place of the student's own.
    teacher: whose vocabulary a student without its own tokenizer must have; a preset takes it.
    own: the student's own tokenizer, see `own_tokenizer`.
    seed: of parameters that a model lacks.

  Raises:
    InputError: no such student, or one of another vocabulary.
  """
  params = None
  if name in PRESETS:
    config = of_preset(name, layers, teacher)
  elif layers:
    raise InputError(f"--student-layers goes with a preset ({', '.join(PRESETS)}), and --student is {name}")
  elif Path(name).is_file():
    config = load_config(name)
  elif "/" not in name and not Path(name).exists():
    raise InputError(f"--student {name}: no such preset ({', '.join(PRESETS)}), file or directory, and no hub id")
  else:
    config, params, _ = load_pretrained(name, Encoder, kernels="glorot", seed=seed)
  if own is not None:
    check_fits(name, own, config.vocab_size)
  elif config.vocab_size != teacher.vocab_size:
    raise InputError(
      f"--student {name}: its vocabulary has {config.vocab_size} tokens, and the teacher's {teacher.vocab_size}; "
      "a student without a tokenizer of its own reads its teacher's tokens"
    )
  if dropout is not None:
    config = dataclasses.replace(config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
  return config, params


def write_shape(path: Path, config: EncoderConfig) -> None:
  """Writes a shape as a `config.json`, which `load_student` reads."""
  with replace_file(path) as new:
    new.write_text(json.dumps(config_to_dict(config), indent=2) + "\n", encoding="utf-8")


def of_preset(name: str, layers: int | None, teacher: EncoderConfig) -> EncoderConfig:
  """Returns a preset as a student of the teacher: of its family, with its vocabulary.

  Args:
    name: of the preset.
    layers: in place of its own number.
    teacher: of another family than the preset, it gives all but layers, widths and heads.
  """
  preset, family = PRESETS[name], teacher.family
  number = layers or preset.num_hidden_layers
  if preset.family is family:
    return dataclasses.replace(
      preset, vocab_size=teacher.vocab_size, pad_token_id=teacher.pad_token_id, num_hidden_layers=number
    )
  config = teacher.resized(number, preset.hidden_size, preset.num_attention_heads)
  return dataclasses.replace(
    config,
    intermediate_size=config.intermediate_size if family.gated else preset.intermediate_size,
    labels=preset.labels,
    problem_type=None,
  )


def check_start(
  start: StudentFrom | None, name: str | None, params: dict | None, student: EncoderConfig, teacher: EncoderConfig
) -> None:
  """Raises InputError where a student's first weights cannot be what is asked for.

  Args:
    start: what they are made from, see the option --student-from.
    name: the student's, for errors.
    params: that it brings itself.
    student: its shape.
    teacher: its shape.
  """
  if start is not None and params is not None:
    raise InputError(
      f"--student-from {start}: --student {name} has weights of its own; give a preset or a config.json, or leave out "
      "--student-from"
    )
  if start == "teacher":
    inherited.check(student, teacher)


def begins_with(name: str | None) -> str | None:
  """Returns the name of a student that brings weights; None where it is a preset or a shape alone."""
  return None if name is None or name in PRESETS or Path(name).is_file() else name


def own_tokenizer(name: str | None, tokenizer: Tokenizer) -> Tokenizer | None:
  """Returns the tokenizer of a student that reads texts otherwise than its teacher; None where it reads them alike.

  Args:
    name: the student's; a preset, a config.json, and a directory without a tokenizer read the teacher's tokens.
    tokenizer: the teacher's.
  """
  if begins_with(name) is None or name is None or ("/" not in name and not Path(name).exists()):
    return None  # `load_student` says what a name is that is nothing
  if not has_tokenizer(local_directory(name)):
    return None
  own = load_tokenizer(name)
  return None if read_alike(own, tokenizer) else own


def check_same_tokens(name: str, own: Tokenizer | None, tokenizer: Tokenizer, instead: str) -> None:
  """Raises InputError where student and teacher read other tokens, and layers are to be compared.

  Args:
    name: the student's.
    own: its tokenizer, None where that is the teacher's.
    tokenizer: the teacher's.
    instead: what to do, for the error.
  """
  if own is not None:
    raise InputError(
      f"--student {name}: its tokenizer ({words_of(own)}) is not the teacher's ({words_of(tokenizer)}), so "
      "a text has other tokens for each, and intermediate distillation has no pairs of hidden states and attention "
      f"scores to compare; {instead}"
    )


def in_words(name: str, config: EncoderConfig) -> str:
  """Returns what a student is called and its shape, as `name` may be a preset of more layers."""
  return f"{shape_in_words(config)} ({name})"


def shape_in_words(config: EncoderConfig) -> str:
  """Returns layers and width, and the family where that is not BERT, such as "4 layers x 312 of RoBERTa"."""
  return config.shape if config.model_type == "bert" else f"{config.shape} of {config.family.title}"


def choose_terms(name: str, options: TermOptions, student: EncoderConfig, teacher: EncoderConfig) -> TermChoice:
  """Returns the terms of intermediate distillation; InputError where student and teacher cannot be compared by them.

  Args:
    name: the student's, for errors.
    options: of the run.
    student: its shape.
    teacher: its shape.
  """
  choice = choose(student, teacher, **dataclasses.asdict(options))
  check_heads(name, choice.terms, student, teacher)
  return choice


def match_layers(spec: str, student: EncoderConfig, teacher: EncoderConfig, max_length: int) -> LayerMap:
  """Returns the layer map; InputError where student and teacher cannot be matched layer by layer.

  Args:
    spec: uniform, top, bottom, or numbers such as 3,6,9,12.
    student: its shape.
    teacher: its shape.
    max_length: that both need positions for.
  """
  for role, config in (("student", student), ("teacher", teacher)):
    check_length(f"the {role}", config, max_length)
  wanted: str | tuple[int, ...] = spec
  if any(character.isdigit() for character in spec):
    try:
      wanted = tuple(int(number) for number in spec.split(","))
    except ValueError as error:
      raise InputError(f"--layer-map {spec}: uniform, top, bottom, or numbers such as 3,6,9,12") from error
  try:
    return layer_map(wanted, student.num_hidden_layers, teacher.num_hidden_layers)
  except ValueError as error:
    raise InputError(f"--layer-map {spec}: {error}") from error


def check_length(name: str, config: EncoderConfig, max_length: int) -> None:
  """Raises InputError where a model has too few positions for sequences of `max_length` tokens."""
  if max_length > config.longest:
    raise InputError(f"--max-length {max_length}: {name} has positions for {config.longest} tokens only")

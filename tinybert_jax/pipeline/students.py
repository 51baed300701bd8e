"""The student that a command line names, and the layers that it learns from."""

import dataclasses
from pathlib import Path

from tinybert_jax.distillation.layer_map import LayerMap, layer_map
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS, EncoderConfig, load_config
from tinybert_jax.models.encoder import Encoder
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, local_directory
from tinybert_jax.models.tokenizer_type import Tokenizer


def load_student(
  name: str,
  layers: int | None,
  dropout: float | None,
  teacher: EncoderConfig,
  tokenizer: Tokenizer,
  seed: int,
) -> tuple[EncoderConfig, dict | None]:
  """Returns the student's shape and its encoder's parameters, None where `name` is a shape alone.

  Args:
    name: preset, config.json, model directory or hub id.
    layers: of a preset, in place of its own number.
    dropout: in place of the student's own.
    teacher: whose vocabulary it must have; a preset takes it.
    tokenizer: the teacher's.
    seed: of parameters that a model lacks.

  Raises:
    InputError: no such student, or one of another vocabulary.
  """
  params = None
  if name in PRESETS:
    config = dataclasses.replace(
      PRESETS[name],
      vocab_size=teacher.vocab_size,
      pad_token_id=teacher.pad_token_id,
      num_hidden_layers=layers or PRESETS[name].num_hidden_layers,
    )
  elif layers:
    raise InputError(f"--student-layers goes with a preset ({', '.join(PRESETS)}), and --student is {name}")
  elif Path(name).is_file():
    config = load_config(name)
  elif "/" not in name and not Path(name).exists():
    raise InputError(f"--student {name}: no such preset ({', '.join(PRESETS)}), file or directory, and no hub id")
  else:
    config, params, _ = load_pretrained(name, Encoder, kernels="glorot", seed=seed)
    _check_tokenizer(name, tokenizer)
  if config.vocab_size != teacher.vocab_size:
    raise InputError(
      f"--student {name}: its vocabulary has {config.vocab_size} tokens, and the teacher's {teacher.vocab_size}; "
      "a student reads its teacher's tokens"
    )
  if dropout is not None:
    config = dataclasses.replace(config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
  return config, params


def begins_with(name: str | None) -> str | None:
  """Returns the name of a student that brings weights; None where it is a preset or a shape alone."""
  return None if name is None or name in PRESETS or Path(name).is_file() else name


def in_words(name: str, config: EncoderConfig) -> str:
  """Returns what a student is called and its shape, as `name` may be a preset of more layers."""
  return f"{config.shape} ({name})"


def match_layers(name: str, spec: str, student: EncoderConfig, teacher: EncoderConfig, max_length: int) -> LayerMap:
  """Returns the layer map; InputError where student and teacher cannot be matched layer by layer.

  Args:
    name: the student's, for errors.
    spec: uniform, top, bottom, or numbers such as 3,6,9,12.
    student: its shape.
    teacher: its shape.
    max_length: that both need positions for.
  """
  if student.num_attention_heads != teacher.num_attention_heads:
    raise InputError(
      f"--student {name}: {student.num_attention_heads} attention heads, and the teacher has "
      f"{teacher.num_attention_heads}; attention scores are compared head by head, so both need as many"
    )
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
  if max_length > config.max_position_embeddings:
    raise InputError(
      f"--max-length {max_length}: {name} has positions for {config.max_position_embeddings} tokens only"
    )


def _check_tokenizer(name: str, tokenizer: Tokenizer) -> None:
  """Raises InputError where the student's own tokenizer, if it has one, reads texts otherwise than the teacher's."""
  directory = local_directory(name)
  if not any((directory / file).is_file() for file in ("tokenizer.json", "vocab.txt")):
    return
  own = load_tokenizer(name)
  probe = "The Café, naïvely: 中文 COSTS €3.50…"
  if own.get_vocab() != tokenizer.get_vocab() or own(probe)["input_ids"] != tokenizer(probe)["input_ids"]:
    raise InputError(
      f"--student {name}: its tokenizer is not the teacher's (another vocabulary, or another treatment of case); "
      "a student reads its teacher's tokens"
    )

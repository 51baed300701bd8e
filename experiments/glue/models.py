"""Teacher and student before they are trained, and whether they go together."""

import dataclasses
from pathlib import Path

import jax
from transformers import PreTrainedTokenizerBase

from experiments.glue.options import Options
from tinybert_jax.config import PRESETS, EncoderConfig, load_config
from tinybert_jax.data.glue_tasks import Task
from tinybert_jax.errors import InputError
from tinybert_jax.labels import match_labels, order_classes
from tinybert_jax.layer_map import LayerMap, layer_map
from tinybert_jax.model import Encoder, SequenceClassifier, initialize
from tinybert_jax.pretrained import Pretrained, load_pretrained, load_tokenizer, local_directory


def load_teacher(options: Options, task: Task, tokenizer: PreTrainedTokenizerBase) -> Pretrained:
  """Returns the teacher to begin with, its classes in the data's order.

  `--pretrained` gets a new classifier; `--teacher` keeps its own, whose classes are matched by name.
  """
  teacher = _load_teacher(options, task)
  if len(tokenizer) > teacher.config.vocab_size:
    raise InputError(
      f"{options.teacher or options.pretrained}: its tokenizer has {len(tokenizer)} tokens, and the model only "
      f"{teacher.config.vocab_size}; they are not of the same model"
    )
  return teacher


def _load_teacher(options: Options, task: Task) -> Pretrained:
  if not options.teacher:
    encoder = load_pretrained(options.pretrained, Encoder, seed=options.seed)
    return with_new_classifier(encoder.config, encoder.params, task, options.seed)
  loaded = load_pretrained(options.teacher, SequenceClassifier, labels=options.teacher_labels or None)
  if any(path.startswith("classifier") for path in loaded.initialized):
    raise InputError(
      f"--teacher {options.teacher}: no classifier in its weights, so it is not fine-tuned; give it as --pretrained"
    )
  try:
    order = match_labels(loaded.config.labels, task.labels, task.written)
  except InputError as error:
    hint = "" if len(loaded.config.labels) != len(task.labels) else f" (--teacher-labels {' '.join(task.labels)})"
    raise InputError(f"--teacher {options.teacher}: {error}{hint}") from error
  return Pretrained(*order_classes(loaded.config, loaded.params, order, task.labels), loaded.initialized)


def load_student(
  options: Options, task: Task, teacher: EncoderConfig, tokenizer: PreTrainedTokenizerBase
) -> Pretrained:
  """Returns the student to begin with: a general one, or a shape with fresh parameters; with a new classifier.

  Raises:
    InputError: no such student, or one of another vocabulary than the teacher's.
  """
  name, params = options.student, None
  if name in PRESETS:
    # Presets are shapes: the vocabulary is the teacher's.
    changes = {"num_hidden_layers": options.student_layers} if options.student_layers else {}
    config = dataclasses.replace(
      PRESETS[name], vocab_size=teacher.vocab_size, pad_token_id=teacher.pad_token_id, **changes
    )
  elif options.student_layers:
    raise InputError(f"--student-layers goes with a preset ({', '.join(PRESETS)}), and --student is {name}")
  elif Path(name).is_file():
    config = load_config(name)
  elif "/" not in name and not Path(name).exists():
    raise InputError(f"--student {name}: no such preset ({', '.join(PRESETS)}), file or directory, and no hub id")
  else:
    config, params, _ = load_pretrained(name, Encoder, kernels="glorot", seed=options.seed)
    _check_tokenizer(name, tokenizer)
  if config.vocab_size != teacher.vocab_size:
    raise InputError(
      f"--student {name}: its vocabulary has {config.vocab_size} tokens, and the teacher's {teacher.vocab_size}; "
      "a student reads its teacher's tokens"
    )
  if options.student_dropout is not None:
    rate = options.student_dropout
    config = dataclasses.replace(config, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate)
  return with_new_classifier(config, params, task, options.seed)


def with_new_classifier(config: EncoderConfig, encoder_params: dict | None, task: Task, seed: int) -> Pretrained:
  """Returns a classifier of the task's labels on the encoder; without its parameters all are drawn.

  Draws are of Glorot's scale, without which narrow students learn slowly; see `model.initialize`.
  """
  config = dataclasses.replace(config, labels=task.labels)
  params = initialize(SequenceClassifier(config), jax.random.key(seed), kernels="glorot")
  if encoder_params is not None:
    params["encoder"] = encoder_params
  return Pretrained(config, params, ())


def check_pair(options: Options, student: EncoderConfig, teacher: EncoderConfig, max_length: int) -> LayerMap:
  """Returns the layer map; InputError where student and teacher cannot be matched layer by layer."""
  if student.num_attention_heads != teacher.num_attention_heads:
    raise InputError(
      f"--student {options.student}: {student.num_attention_heads} attention heads, and the teacher has "
      f"{teacher.num_attention_heads}; attention scores are compared head by head, so both need as many"
    )
  for name, config in (("student", student), ("teacher", teacher)):
    if max_length > config.max_position_embeddings:
      raise InputError(
        f"--max-length {max_length}: the {name} has positions for {config.max_position_embeddings} tokens only"
      )
  spec = options.layer_map
  if any(character.isdigit() for character in spec):
    try:
      spec = tuple(int(number) for number in spec.split(","))
    except ValueError as error:
      raise InputError(f"--layer-map {spec}: uniform, top, bottom, or numbers such as 3,6,9,12") from error
  try:
    return layer_map(spec, student.num_hidden_layers, teacher.num_hidden_layers)
  except ValueError as error:
    raise InputError(f"--layer-map {options.layer_map}: {error}") from error


def _check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
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

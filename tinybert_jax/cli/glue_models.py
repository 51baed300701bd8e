"""Teacher, student and tokenizers that the options of `glue` name."""

from pathlib import Path

from tinybert_jax.cli.glue_options import Options
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.term_choice import PAPERS_TERMS, TermChoice
from tinybert_jax.models.config import EncoderConfig, load_config
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.pretrained import Pretrained, local_directory
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.vocabulary import Trimmed, trim_config, trim_params
from tinybert_jax.pipeline import inheritance, stages, students, teachers
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.tasks.glue import GlueTask
from tinybert_jax.training.hosts import say


def trains_student(options: Options) -> bool:
  """Whether a stage trains a student, and does not only measure one."""
  return bool({"intermediate", "prediction", "labels"} & set(options.stages))


def padding_token(options: Options, own: Tokenizer | None, finished: stages.Finished | None) -> int:
  """Returns the id of the padding token of the model whose vocabulary is trimmed."""
  if finished and own is None:
    return finished.model.config.pad_token_id
  name = options.student if own is not None else options.teacher or options.pretrained
  return load_config(local_directory(name)).pad_token_id


def student_tokenizer(options: Options, folder: Path, tokenizer: Tokenizer) -> Tokenizer | None:
  """Returns the tokenizer of a student that reads other tokens than its teacher; None where it reads the same.

  Raises:
    InputError: it reads other tokens, and its layers are to be distilled.
  """
  if trains_student(options):
    own = students.own_tokenizer(options.student, tokenizer)
  else:
    made = folder / "prediction"
    own = students.own_tokenizer(str(made), tokenizer) if stages.holds_anything(made) else None
  if "intermediate" in options.stages:
    without = " ".join(["--stages", *(stage for stage in options.stages if stage != "intermediate")])
    students.check_same_tokens(options.student, own, tokenizer, f"leave that stage out ({without})")
  return own


def load_student(
  options: Options, run: TaskRun, teacher: EncoderConfig, own: Tokenizer | None, trimmed: Trimmed | None
) -> tuple[Pretrained | None, LayerMap, TermChoice]:
  """Returns the student to begin with, the teacher's layers that it learns from, and the terms by which it does.

  The student is None where no stage needs it.

  One that does not go with the teacher is refused before anything trains.
  """
  needed = {"intermediate", "labels"} if own is None else {"prediction", "labels"}
  if own is None and options.student_from == "teacher" and inheritance.is_enough(run.folder, options.stages):
    needed.add("prediction")
  if not needed & set(options.stages):
    return None, LayerMap(), PAPERS_TERMS
  config, params = students.load_student(
    options.student, options.student_layers, options.student_dropout, teacher, own, options.seed
  )
  students.check_start(options.student_from, options.student, params, config, teacher)
  if trimmed is not None:
    params = None if params is None else trim_params(params, trimmed)
    config = trim_config(config, trimmed)
  student = teachers.with_new_classifier(config, params, run.task, options.seed)
  shape, size = students.in_words(options.student, student.config), count_parameters(student.params)
  if own is not None:
    students.check_length("the student", student.config, run.max_length)
    say(f"{'':13} student {shape}, {size:,} parameters; it learns from the teacher's predictions alone")
    return student, LayerMap(), PAPERS_TERMS
  terms = students.choose_terms(options.student, options.intermediate, student.config, teacher)
  layers = students.match_layers(options.layer_map, student.config, teacher, run.max_length)
  say(f"{'':13} student {shape}, {size:,} parameters; its layers learn from the teacher's {layers}")
  if "intermediate" in options.stages:
    say(f"{'':13} compared are {terms.in_words()}")
  return student, layers, terms


def load_teacher(options: Options, row: GlueTask, run: TaskRun, tokenizer: Tokenizer) -> Pretrained:
  """Returns the teacher to begin with: `--teacher` with its classes in the data's order, or `--pretrained`."""
  if not options.teacher:
    return teachers.with_pretrained(options.pretrained, run.task, tokenizer, options.seed)
  return teachers.load_finished(
    options.teacher, run.task, tokenizer, labels=options.teacher_labels, written=row.written
  )

"""What a run of `distil` does: its options in groups, each written once for the command line and the library."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Literal

from tinybert_jax import settings
from tinybert_jax.augmentation.masked_words import Context
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import student_choice, teachers
from tinybert_jax.pipeline.own_tables import Sources
from tinybert_jax.pipeline.recipes import TrainingOptions
from tinybert_jax.pipeline.student_choice import StudentOptions
from tinybert_jax.pipeline.teachers import TeacherOptions
from tinybert_jax.settings import AT_LEAST_1, LENGTH, SEED
from tinybert_jax.training.precision import Precision

Stage = Literal["augmented", "teacher", "intermediate", "prediction", "labels", "evaluate"]


@dataclasses.dataclass(frozen=True)
class AugmentOptions:
  """Texts again with some of their words replaced, to distil over."""

  augment: bool = False
  """Distil over augmented texts too; needs --mlm or --glove."""
  mlm: str | None = None
  """Model directory or hub id of the masked language model that augments."""
  glove: Path | None = None
  """Word vectors that augment words of several pieces, or all without --mlm."""
  copies: Annotated[int, AT_LEAST_1] = 10
  """Copies of each text in the augmented data."""
  context: Context = "masked"
  """What the masked language model reads: the masked sentence alone, or a pair of it and the unmasked one."""


@dataclasses.dataclass(frozen=True)
class Settings:
  """What is run, and where."""

  teachers: TeacherOptions = dataclasses.field(default_factory=TeacherOptions)
  """Who teaches."""
  data: Sources = dataclasses.field(default_factory=Sources)
  """Where the data is."""
  shape: StudentOptions = dataclasses.field(default_factory=StudentOptions)
  """The student."""
  training: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
  """How the stages train."""
  augmentation: AugmentOptions = dataclasses.field(default_factory=AugmentOptions)
  """Augmented texts."""
  out: Path = Path("runs/distil")
  """Folder for everything that the run writes; the student is in its folder student."""
  stages: tuple[Stage, ...] = ("teacher", "intermediate", "prediction", "evaluate")
  """Stages to run. The stage labels trains the same student on the labels alone, to compare with."""
  max_length: Annotated[int | None, LENGTH] = None
  """Tokens that a text or pair is cut to. Default: as many as 99% of the texts have, at most 512."""
  threshold: Literal["half", "tuned"] = "half"
  """Probability from which a class is assigned, for several labels at once. half: 0.5. tuned: the best for each
  class on dev. It is built into the saved student, for which 0.5 is right then."""
  seed: Annotated[int, SEED] = 0
  """Random seed for the dev split, initialisation, order of rows, dropout and augmentation."""
  dtype: Precision = "auto"
  """Type of the inputs of matrix products; sums, and all else, are float32. auto: bfloat16 on TPUs, on GPUs of compute
  capability 8.0 or more, and on CPUs with avx512_bf16 or amx_bf16, which multiply it about twice as fast; float32
  elsewhere."""


def check(chosen: Settings) -> None:
  """Raises InputError for settings that are outside their bounds or contradict each other."""
  settings.check(chosen)
  teachers.check(chosen.teachers)
  student_choice.check(chosen.shape)
  given, sources = chosen.teachers, chosen.data
  if given.teacher and sources.target_columns:
    raise InputError("--target-columns take a teacher's place; give them or --teacher, not both")
  if chosen.augmentation.augment and sources.target_columns:
    raise InputError("--augment makes new texts, for which --target-columns have no targets; leave out one of them")
  if not given.teacher and not given.pretrained and not sources.target_columns:
    raise InputError("who teaches? Give --teacher (fine-tuned), --pretrained (fine-tuned here) or --target-columns")
  if given.pretrained and not sources.train and not sources.target_columns:
    raise InputError("--pretrained is fine-tuned on labels; give --train, or a --teacher that is fine-tuned already")
  if chosen.augmentation.augment and not (chosen.augmentation.mlm or chosen.augmentation.glove):
    raise InputError("--augment needs --mlm, a masked language model, or --glove, word vectors")
  if "labels" in chosen.stages and not sources.train:
    raise InputError("the stage labels trains on labels; give --train")
  if not chosen.stages:
    raise InputError("--stages names no stage")
  _check_out(chosen.out)


def _check_out(out: Path) -> None:
  """Raises InputError where the run cannot write its folder."""
  if out == Path():
    raise InputError("--out is empty or the current folder; give the run a folder of its own, such as runs/distil")
  there = next(path for path in (out, *out.absolute().parents) if path.exists())
  if not there.is_dir():
    raise InputError(f"--out {out}: {there} is a file, and a folder is needed")
  if not os.access(there, os.W_OK | os.X_OK):
    raise InputError(f"--out {out}: {there} cannot be written to")

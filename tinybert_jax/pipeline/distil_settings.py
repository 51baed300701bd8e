"""What a run of `distil` does: its options in groups, each written once for the command line and the library."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Literal

from tinybert_jax import settings
from tinybert_jax.choices import (
  AS_FOUND,
  EMBEDDING_LOSSES,
  RANKING_LOSSES,
  SIMILARITY_TEMPERATURE,
  Context,
  EmbeddingLoss,
  Kind,
  Narrower,
  Precision,
  PredictionLoss,
  RankingLoss,
  Reading,
  StudentFrom,
)
from tinybert_jax.distillation.term_choice import TermOptions, check_terms
from tinybert_jax.errors import InputError
from tinybert_jax.settings import AT_LEAST_1, DROPOUT, LENGTH, POSITIVE, RATE, SEED, Bound

Stage = Literal["augmented", "teacher", "intermediate", "prediction", "labels", "evaluate"]


_RATIO = Bound(least=1)
DISTILLED: frozenset[Stage] = frozenset({"intermediate", "prediction"})


@dataclasses.dataclass(frozen=True)
class TeacherOptions:
  """Who teaches."""

  teacher: tuple[str, ...] = ()
  """Model directories or hub ids of classifiers that are fine-tuned already. They need no labels. The
  probabilities of several are averaged."""
  teacher_weights: Annotated[tuple[float, ...], POSITIVE] = ()
  """Weight of each --teacher in that average. Default: equal."""
  teacher_labels: tuple[str, ...] = ()
  """Class names in the order of the teacher's logits, if its configuration does not name them."""
  pretrained: str | None = None
  """Model directory or hub id of an encoder. It is fine-tuned on --train first; then it is the teacher."""


@dataclasses.dataclass(frozen=True)
class Sources:
  """Where the data is, and how it is read."""

  train: tuple[str, ...] = ()
  """Tables of texts with labels, to train on."""
  unlabelled: tuple[str, ...] = ()
  """Tables of more texts to distil over. Labels in them are not read."""
  dev: tuple[str, ...] = ()
  """Tables of texts with labels, to choose the best step by. Default: a share of --train (see --dev-share)."""
  test: tuple[str, ...] = ()
  """Tables of texts with labels, to measure teacher and student on. Default: the rows that chose the best step."""
  text: str | None = None
  """Column of the texts. Default: found by name or content."""
  pair: str | None = None
  """Column of second texts, where a row has two."""
  label: tuple[str, ...] = ()
  """Column of the label, or several columns of 0 and 1. Default: found by name."""
  target_columns: tuple[str, ...] = ()
  """Columns of probabilities or scores, one per class, in place of a teacher: from a large language model, say."""
  kind: Kind | None = None
  """Kind of task. tokens: a tag for each word, from files of words in columns (CoNLL), or lists of words and of tags.
  spans: answers to questions that stand in a text, from SQuAD's JSON or tables with its columns.
  Default: found from the labels, or from --teacher."""
  label_names: Path | None = None
  """Text file with a class name a line. Labels in the tables are then their numbers, from 0."""
  separator: str | None = None
  """Text between several labels in one cell, with --kind multi_label. Default: found."""
  reading: Reading = AS_FOUND
  """How text files are read."""
  dev_share: Annotated[float, Bound(above=0, below=1)] = 0.1
  """Share of --train (0 to 1) that is kept to choose the best step, if there is no --dev; at most 2,000 rows."""
  doc_stride: Annotated[int, AT_LEAST_1] = 128
  """Tokens that the parts of a text share which is longer than --max-length, with --kind tokens or spans; at most half
  of a part."""
  max_query_length: Annotated[int, AT_LEAST_1] = 64
  """Tokens that a question is cut to, with --kind spans."""
  max_answer_length: Annotated[int, AT_LEAST_1] = 30
  """The most tokens of an answer, with --kind spans."""
  null_threshold: float = 0.0
  """How much the score of no answer has to be above the best answer's to be given, with --kind spans, where some
  questions have no answer."""
  max_train_examples: Annotated[int | None, AT_LEAST_1] = None
  """Take only this many rows of --train and of --unlabelled, for a trial."""

  def __post_init__(self):
    if self.kind == "multi-label":  # as most people write it
      object.__setattr__(self, "kind", "multi_label")


@dataclasses.dataclass(frozen=True)
class StudentOptions:
  """The student, and the teacher's layers that it learns from."""

  student: str | None = None
  """Student to begin with: preset (tinybert-4l-312d, tinybert-6l-768d), config.json, model directory or hub id."""
  student_from: StudentFrom | None = None
  """What the student's first weights are made from. teacher: the teacher's weights, in seconds and without labels.
  random: nothing. Default: teacher, where a student of that shape can be made so, or the weights of --student."""
  student_layers: Annotated[int | None, AT_LEAST_1] = None
  """Number of layers of the student. Default: a third of the teacher's."""
  student_width: Annotated[int | None, AT_LEAST_1] = None
  """Hidden size of the student, a multiple of the teacher's attention heads."""
  student_dropout: Annotated[float | None, DROPOUT] = None
  """Dropout rate of the student. Default: 0 for a new shape, else what its configuration says."""
  smaller: Annotated[float | None, _RATIO] = None
  """Choose a shape with this many times fewer parameters than the teacher. Default, if no option names a student:
  7.5, with --faster 9.4, as in the paper."""
  faster: Annotated[float | None, _RATIO] = None
  """Choose a shape that is this many times faster than the teacher on this machine."""
  vocabulary: Annotated[int | None, AT_LEAST_1] = None
  """The most tokens that the student has: those that the task's texts have most often, and all special tokens and
  single characters; where the texts have fewer, the tokenizer's next ones. The teacher keeps its own, and in
  intermediate distillation reads the student's. Default: all, or as many as a student that is chosen by --smaller has
  room for."""
  layer_map: str = "uniform"
  """The teacher's layer for each of the student's: uniform, top, bottom, or numbers such as 3,6,9,12."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
  """How long and how fast the stages train."""

  minutes: Annotated[float, POSITIVE] = 30.0
  """Minutes for all stages together. They bound the passes that no option gives, at most the paper's."""
  teacher_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of fine-tuning --pretrained. Default: 3; more for few rows, fewer if --minutes are too short."""
  teacher_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of fine-tuning the teacher."""
  teacher_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of the teacher. Default: 3e-5 if it is 512 or more wide, else 1e-4."""
  intermediate_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of intermediate distillation. Default: 20; more for few rows, fewer if --minutes are too short."""
  intermediate_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of intermediate distillation."""
  intermediate_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of intermediate distillation. Default: 5e-5 for a student with weights of its own. For one that
  begins with its teacher's 3e-4, or 5e-4 if it is at most 192 wide; for a random one 5e-4, or 1e-3 if it is at most 128
  wide."""
  prediction_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of prediction distillation. Default: 3 for a student with weights, 10 for a new one;
  fewer if --minutes are too short."""
  prediction_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of prediction distillation."""
  prediction_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of prediction distillation. Default: 3e-5 for a student with weights, else that of
  intermediate distillation."""
  sweep: bool = False
  """Run prediction distillation six times: batches of 16 and 32 rows, each with a third, two thirds and all of its
  learning rate. Keep the best on dev."""
  temperature: Annotated[float, POSITIVE] = 1.0
  """Temperature of the softmax or sigmoid in prediction distillation."""
  prediction_loss: PredictionLoss | None = None
  """What prediction distillation compares, of classes. soft: the probabilities, by cross-entropy. logits: the numbers
  before the softmax or sigmoid, by squared error. Default: soft, as in the paper."""
  half_targets: bool = False
  """Keep the teacher's predictions in half precision, which takes half of the memory and the disk. That counts where
  there is one for each token."""


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
class EmbeddingOptions:
  """With --kind embeddings: how embeddings are compared, and what stands before the texts."""

  embedding_losses: tuple[EmbeddingLoss, ...] = EMBEDDING_LOSSES
  """What prediction distillation compares. mse: squared error of the numbers; cosine: 1 - cosine of the two embeddings
  of a text; similarity: which texts of a batch are near each other."""
  embedding_loss_weights: Annotated[tuple[float, ...], POSITIVE] = ()
  """Weight of each of --embedding-losses. Default: 1."""
  similarity_temperature: Annotated[float, POSITIVE] = SIMILARITY_TEMPERATURE
  """Temperature of the softmax over the cosines of a batch's texts."""
  narrower: Narrower = "dense"
  """What becomes of a narrower student. dense: a layer that it keeps brings its embeddings to the teacher's width;
  truncate: they stay narrow, and learn the first numbers of the teacher's."""
  prompt_names: tuple[str, ...] = ()
  """Names of the teacher's prompts that are put before texts; of several each text gets one in turn. Default: its
  default prompt."""
  prompts: tuple[str, ...] = ()
  """The same as texts, such as "query: " and "passage: ", for teachers that do not tell theirs."""
  retrieval: tuple[str, ...] = ()
  """Tables of queries and passages, on which teacher and student rank all passages for each query. JSON lines with
  query, passages and perhaps scores."""


@dataclasses.dataclass(frozen=True)
class RankingOptions:
  """With --kind ranking: how the scores of passages are compared."""

  ranking_losses: tuple[RankingLoss, ...] = RANKING_LOSSES
  """What prediction distillation compares. mse: the scores; margin: the differences between two passages of a query;
  listwise: the softmax over the passages of a query, at --temperature."""
  ranking_loss_weights: Annotated[tuple[float, ...], POSITIVE] = ()
  """Weight of each of --ranking-losses. Default: 1."""


@dataclasses.dataclass(frozen=True)
class Settings:
  """What is run, and where."""

  teachers: TeacherOptions = dataclasses.field(default_factory=TeacherOptions)
  """Who teaches."""
  data: Sources = dataclasses.field(default_factory=Sources)
  """Where the data is."""
  shape: StudentOptions = dataclasses.field(default_factory=StudentOptions)
  """The student."""
  intermediate: TermOptions = dataclasses.field(default_factory=TermOptions)
  """What intermediate distillation compares."""
  training: TrainingOptions = dataclasses.field(default_factory=TrainingOptions)
  """How the stages train."""
  augmentation: AugmentOptions = dataclasses.field(default_factory=AugmentOptions)
  """Augmented texts."""
  embeddings: EmbeddingOptions = dataclasses.field(default_factory=EmbeddingOptions)
  """Sentence embeddings."""
  ranking: RankingOptions = dataclasses.field(default_factory=RankingOptions)
  """Rerankers."""
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
  """Type of the inputs of matrix products; sums are float32. auto: bfloat16 on TPUs, on GPUs of compute
  capability 8.0 or more, and on CPUs with avx512_bf16 or amx_bf16, which multiply it about twice as fast; float32
  elsewhere."""


def check_values(chosen: Settings) -> None:
  """Raises InputError for settings that are outside their bounds, or whose groups contradict themselves."""
  settings.check(chosen)
  _check_teachers(chosen.teachers)
  _check_student(chosen.shape)
  check_terms(chosen.intermediate.terms, chosen.intermediate.term_weights)


def check_together(chosen: Settings) -> None:
  """Raises InputError for settings that contradict each other, whatever the kind of task is."""
  given, sources = chosen.teachers, chosen.data
  if given.teacher and sources.target_columns:
    raise InputError("--target-columns take a teacher's place; give them or --teacher, not both")
  if chosen.augmentation.augment and sources.target_columns:
    raise InputError("--augment makes new texts, for which --target-columns have no targets; leave out one of them")
  if given.pretrained and not sources.train and not sources.target_columns:
    raise InputError("--pretrained is fine-tuned on labels; give --train, or a --teacher that is fine-tuned already")
  if chosen.augmentation.augment and not (chosen.augmentation.mlm or chosen.augmentation.glove):
    raise InputError("--augment needs --mlm, a masked language model, or --glove, word vectors")
  if chosen.shape.student_from == "teacher" and sources.target_columns:
    raise InputError("--student-from teacher: --target-columns take a teacher's place, and have no weights")
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


def _check_teachers(options: TeacherOptions) -> None:
  """Raises InputError for options that contradict each other."""
  if options.teacher and options.pretrained:
    raise InputError("--teacher is fine-tuned already, and --pretrained is fine-tuned here; give one of them")
  if options.teacher_weights and len(options.teacher_weights) != len(options.teacher):
    raise InputError(f"--teacher-weights: {len(options.teacher_weights)} weights for {len(options.teacher)} teachers")
  if options.teacher_labels and not options.teacher:
    raise InputError("--teacher-labels names the classes of --teacher, which is not given")


def _check_student(options: StudentOptions) -> None:
  """Raises InputError for options that contradict each other."""
  if options.student and (options.smaller or options.faster or options.student_width):
    raise InputError("--student names a shape; --smaller, --faster and --student-width choose one: give either")
  if (options.smaller or options.faster) and (options.student_layers or options.student_width):
    raise InputError("--student-layers and --student-width are a shape; --smaller and --faster choose one: give either")

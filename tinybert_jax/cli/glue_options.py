"""The options of `tinybert-jax glue`, with the paper's defaults."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tinybert_jax.choices import Context, Hosts, PredictionLoss, StudentFrom
from tinybert_jax.cli.options import DtypeOption, HostOptions, IntermediateOptions
from tinybert_jax.distillation.term_choice import TermOptions
from tinybert_jax.settings import AT_LEAST_1, DROPOUT, LENGTH, POSITIVE, RATE, SEED

AUTO = "auto"  # as --student: what --recipe says
PAPERS_STUDENT, PAPERS_EPOCHS = "tinybert-4l-312d", 3  # of teacher and prediction distillation
PRETRAINED = "pretrained"  # as --mlm: the model of --pretrained
Stage = Literal["augmented", "teacher", "intermediate", "prediction", "labels", "evaluate"]


@dataclasses.dataclass(frozen=True)
class Options:
  """Distil a BERT into a small student on a GLUE task: augment the data, fine-tune the teacher, distil its layers
  (intermediate), then its predictions, and measure both.

  Finished stages are reused when their inputs and options are the same; the same command goes on where it stopped.
  """

  task: str
  """cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte or wnli; or all, for every task whose data is there."""
  data: Path | None = None
  """Folder of GLUE's official TSV files, one folder a task; by default the hub's nyu-mll/glue."""
  recipe: Literal["paper", "small-data"] = "paper"
  """What is done where other options say nothing. paper: TinyBERT's student, passes and rates, and augmented data.
  small-data: what the command distil does: a student that begins with its teacher's weights, the data as it is, higher
  rates, and passes that fit into --minutes."""
  minutes: Annotated[float, POSITIVE] = 30.0
  """Minutes for all stages together, with --recipe small-data. They bound the passes that no option gives."""
  out: Path = Path("runs/glue")
  """Everything is written to a folder of the task's name in here."""
  stages: tuple[Stage, ...] = ("augmented", "teacher", "intermediate", "prediction", "evaluate")
  """Stages to run. The stage labels trains the same student on the labels alone, to compare with."""
  pretrained: str = "bert-base-uncased"
  """Model directory or hub id of the encoder, such as a BERT, that becomes the teacher."""
  teacher: str | None = None
  """Model directory or hub id of a teacher that is fine-tuned on the task already, instead of --pretrained."""
  teacher_labels: tuple[str, ...] = ()
  """Class names in the order of the teacher's logits, if its configuration does not name them."""
  student: str = AUTO
  """Preset (tinybert-4l-312d, tinybert-6l-768d, bert-base), config.json, model directory or hub id, such as
  huawei-noah/TinyBERT_General_4L_312D. auto: tinybert-4l-312d; with --recipe small-data a shape of the teacher's kind
  that is 7.5 times smaller and 9.4 times faster here."""
  student_from: StudentFrom | None = None
  """What the student's first weights are made from. teacher: the teacher's weights, in seconds and without labels.
  Default: random, as in the paper, or the weights of --student; with --recipe small-data the teacher's."""
  student_layers: Annotated[int | None, AT_LEAST_1] = None
  """Number of layers of the student, if --student is a preset or auto."""
  student_width: Annotated[int | None, AT_LEAST_1] = None
  """Hidden size of the student, if --recipe is small-data and --student is auto."""
  student_dropout: Annotated[float | None, DROPOUT] = None
  """Dropout rate of the student; by default its configuration's."""
  vocabulary: Annotated[int | None, AT_LEAST_1] = None
  """The most tokens that the student has: those that the training texts have most often, and all special tokens and
  single characters. The teacher keeps its own, and in intermediate distillation reads the student's. By default all."""
  layer_map: str = "uniform"
  """The teacher's layer for each of the student's: uniform, top, bottom, or numbers such as 3,6,9,12."""
  intermediate: IntermediateOptions = dataclasses.field(default_factory=TermOptions)
  augment: tyro.conf.FlagCreatePairsOff[bool] = False
  """Distil over augmented data in any task; by default in all but STS-B, as in the paper, and with --recipe small-data
  in none."""
  no_augment: tyro.conf.FlagCreatePairsOff[bool] = False
  """Distil over the data as it is in any task."""
  mlm: str | None = PRETRAINED
  """Model directory or hub id of the masked language model that replaces words. pretrained: the head of --pretrained,
  if it has one. None: --glove replaces every word."""
  glove: Path | None = None
  """Word vectors that replace words of several pieces, or all words without a masked language model; see the command
  augment for their formats."""
  copies: Annotated[int | None, AT_LEAST_1] = None
  """Copies of each text in the augmented data; by default 10 for MNLI and QQP, 20 for QNLI and SST-2, else 30."""
  context: Context = "masked"
  """What the masked language model reads: the masked sentence alone, or a pair of it and the unmasked one."""
  max_length: Annotated[int | None, LENGTH] = None
  """Tokens that a text or pair is cut to; by default 64 for single sentences, 128 for pairs."""
  max_train_examples: Annotated[int | None, AT_LEAST_1] = None
  """Take only this many training rows, for a trial."""
  seed: Annotated[int, SEED] = 0
  """Random seed for initialisation, order of rows, dropout and augmentation."""
  dtype: DtypeOption = "auto"
  teacher_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes over the data in fine-tuning the teacher; by default 3."""
  teacher_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of fine-tuning the teacher."""
  teacher_learning_rate: Annotated[float | None, RATE] = None
  """The teacher's peak learning rate; by default 3e-5. The defaults of passes and rates are those of --recipe paper."""
  intermediate_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of intermediate distillation; by default 50 for CoLA, 10 for MNLI, QQP and QNLI, 20 else."""
  intermediate_steps: Annotated[int | None, AT_LEAST_1] = None
  """Steps (batches) of intermediate distillation, in place of --intermediate-epochs."""
  intermediate_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of intermediate distillation."""
  intermediate_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of intermediate distillation; by default 5e-5."""
  prediction_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of prediction distillation; by default 3."""
  prediction_steps: Annotated[int | None, AT_LEAST_1] = None
  """Steps (batches) of prediction distillation, in place of --prediction-epochs."""
  prediction_batch_size: Annotated[int, AT_LEAST_1] = 32
  """Rows in a batch of prediction distillation."""
  prediction_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of prediction distillation; by default 3e-5."""
  sweep: bool = False
  """Run prediction distillation with batches of 16 and 32 and rates of 1e-5, 2e-5 and 3e-5, or with --recipe small-data
  a third, two thirds and all of its rate; keep the best on dev."""
  temperature: Annotated[float, POSITIVE] = 1.0
  """Temperature of the soft cross-entropy of prediction distillation."""
  prediction_loss: PredictionLoss | None = None
  """What prediction distillation compares, of classes. soft: the probabilities, by cross-entropy. logits: the numbers
  before the softmax, by squared error. Default: soft, as in the paper."""
  prediction_targets: Literal["teacher", "labels"] = "teacher"
  """What the stage prediction learns from. labels: those of the data, an augmented copy's being its row's, to compare
  with the teacher's predictions."""
  labels_epochs: Annotated[int | None, AT_LEAST_1] = None
  """Passes of the stage labels; by default as many as both stages of distillation together."""
  labels_steps: Annotated[int | None, AT_LEAST_1] = None
  """Steps (batches) of the stage labels, in place of --labels-epochs; by default as many as both stages of distillation
  together, where both have theirs in steps."""
  labels_learning_rate: Annotated[float | None, RATE] = None
  """Peak learning rate of the stage labels; by default that of prediction distillation."""
  leaderboard: bool = True
  """Write the leaderboard's file from the test split; --no-leaderboard does without the test split."""
  zip: bool = False
  """Put the leaderboard's files of all tasks under --out into submission.zip."""
  hosts: HostOptions = dataclasses.field(default_factory=Hosts)
  debug: bool = False
  """Show the traceback of an error."""

"""The table of the GLUE tasks; adding a task is adding a row."""

import dataclasses
import re
from collections.abc import Mapping

from tinybert_jax.errors import InputError
from tinybert_jax.tasks.classification import Classification
from tinybert_jax.tasks.regression import Regression
from tinybert_jax.tasks.task import Task

_FILES = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}


@dataclasses.dataclass(frozen=True, eq=False)
class GlueTask:
  """A row of the table of tasks.

  Attributes:
    name: GLUE's own spelling; the folder of the official layout.
    hub: its name in the hub's data set.
    texts: the columns of the one or two texts in the official files.
    label: the column of the label there; None where no file has any.
    labels: class names, numbered as on the hub; a single one means a regression.
    written: the classes as the official files and the leaderboard spell them.
    metrics: names from `metrics.METRICS`.
    max_length: tokens that a text or pair is cut to (64 and 128, as in the paper).
    intermediate_epochs: passes of intermediate distillation (the paper's).
    copies: that data augmentation draws of each text (the original program's).
    is_augmented: whether it is augmented by default; the paper's STS-B is not.
    hub_texts: the columns of the texts on the hub, where they differ.
    files: the official file of each split; a dev split besides "dev" is measured as well.
    leaderboard: the file that the GLUE server takes for each test split.
    headerless: the columns of train and dev files that have no header line.
    skip_incomplete: whether a labelled row with another number of cells is left out and counted, and no error.
    folders: further names of the folder.
  """

  name: str
  hub: str
  texts: tuple[str, ...]
  label: str | None
  labels: tuple[str, ...]
  written: tuple[str, ...]
  metrics: tuple[str, ...]
  max_length: int = 128
  intermediate_epochs: int = 20
  copies: int = 30
  is_augmented: bool = True
  hub_texts: tuple[str, ...] = ()
  files: Mapping[str, str] = dataclasses.field(default_factory=lambda: _FILES)
  leaderboard: Mapping[str, str] = dataclasses.field(default_factory=dict)
  headerless: tuple[str, ...] = ()
  skip_incomplete: bool = False
  folders: tuple[str, ...] = ()

  @property
  def is_regression(self) -> bool:
    return len(self.labels) == 1

  def as_task(self) -> Task:
    """Returns the kind of task that it is, with GLUE's metrics, whose mean is the score."""
    kind = Regression if self.is_regression else Classification
    return kind(self.name, self.labels, metrics=self.metrics, ranked_by=self.metrics)

  @property
  def dev_splits(self) -> tuple[str, ...]:
    return tuple(split for split in self.files if split.startswith("dev"))

  @property
  def test_splits(self) -> tuple[str, ...]:
    return tuple(split for split in self.files if split.startswith("test"))

  def leaderboard_file(self, split: str) -> str:
    return self.leaderboard.get(split, f"{self.name}.tsv")


_PAIR = ("sentence1", "sentence2")
_BINARY = ("0", "1")
_NLI = ("entailment", "neutral", "contradiction")
_TWO_WAY_NLI = ("entailment", "not_entailment")
_TABLE = (
  GlueTask(
    "CoLA",
    "cola",
    texts=("sentence",),
    label="label",
    labels=("unacceptable", "acceptable"),
    written=_BINARY,
    metrics=("matthews_correlation",),
    max_length=64,
    intermediate_epochs=50,
    headerless=("source", "label", "author's mark", "sentence"),
  ),
  GlueTask(
    "SST-2",
    "sst2",
    texts=("sentence",),
    label="label",
    labels=("negative", "positive"),
    written=_BINARY,
    metrics=("accuracy",),
    max_length=64,
    copies=20,
  ),
  GlueTask(
    "MRPC",
    "mrpc",
    texts=("#1 String", "#2 String"),
    hub_texts=_PAIR,
    label="Quality",
    labels=("not_equivalent", "equivalent"),
    written=_BINARY,
    metrics=("f1", "accuracy"),
  ),
  GlueTask(
    "STS-B",
    "stsb",
    texts=_PAIR,
    label="score",
    labels=("similarity",),
    written=(),
    metrics=("spearman", "pearson"),
    is_augmented=False,
  ),
  GlueTask(
    "QQP",
    "qqp",
    texts=("question1", "question2"),
    label="is_duplicate",
    labels=("not_duplicate", "duplicate"),
    written=_BINARY,
    metrics=("f1", "accuracy"),
    intermediate_epochs=10,
    copies=10,
    skip_incomplete=True,
  ),
  GlueTask(
    "MNLI",
    "mnli",
    texts=_PAIR,
    hub_texts=("premise", "hypothesis"),
    label="gold_label",
    labels=_NLI,
    written=_NLI,
    metrics=("accuracy",),
    intermediate_epochs=10,
    copies=10,
    files={
      "train": "train.tsv",
      "dev": "dev_matched.tsv",
      "dev_mismatched": "dev_mismatched.tsv",
      "test": "test_matched.tsv",
      "test_mismatched": "test_mismatched.tsv",
    },
    leaderboard={"test": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
  ),
  GlueTask(
    "QNLI",
    "qnli",
    texts=("question", "sentence"),
    label="label",
    labels=_TWO_WAY_NLI,
    written=_TWO_WAY_NLI,
    metrics=("accuracy",),
    intermediate_epochs=10,
    copies=20,
  ),
  GlueTask("RTE", "rte", texts=_PAIR, label="label", labels=_TWO_WAY_NLI, written=_TWO_WAY_NLI, metrics=("accuracy",)),
  GlueTask(
    "WNLI",
    "wnli",
    texts=_PAIR,
    label="label",
    labels=("not_entailment", "entailment"),
    written=_BINARY,
    metrics=("accuracy",),
  ),
)
TASKS = {task.name: task for task in _TABLE}
# Sentences for the test only, which GLUE has an MNLI model predict.
DIAGNOSTIC = GlueTask(
  "AX",
  "ax",
  texts=_PAIR,
  hub_texts=("premise", "hypothesis"),
  label=None,
  labels=_NLI,
  written=_NLI,
  metrics=(),
  files={"test": "diagnostic.tsv"},
  folders=("diagnostic",),
)
_OTHER_SPELLINGS = {"sts": "STS-B", "sst": "SST-2", "mnlim": "MNLI", "mnlimm": "MNLI"}


def find_task(name: str) -> GlueTask:
  """Returns the task of that name in any usual spelling ("sst2", "SST-2", "sts-b"); InputError if there is none."""
  by_name = {spelling(task.name): task for task in TASKS.values()}
  plain = spelling(name)
  if plain in _OTHER_SPELLINGS:
    return TASKS[_OTHER_SPELLINGS[plain]]
  if plain in by_name:
    return by_name[plain]
  if plain in ("ax", "diagnostic"):
    raise InputError("AX has nothing to train on: the task mnli predicts it where its file is there")
  raise InputError(f"{name}: no such task; there are {', '.join(TASKS)}")


def spelling(name: str) -> str:
  """Returns a name without case and punctuation, the same for all its usual spellings."""
  return re.sub(r"[\W_]", "", name).casefold()

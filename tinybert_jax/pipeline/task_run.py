"""A task under way: its rows, its folder, and how its stages are made."""

import copy
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax.numpy as jnp
from jax.typing import DTypeLike

from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.models.directories import make_directory, replace_link
from tinybert_jax.models.model_card import ModelCard
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.models.tokenizers import in_words, load_tokenizer
from tinybert_jax.pipeline import cards, stages, students
from tinybert_jax.pipeline.cards import Origin
from tinybert_jax.pipeline.stages import Finished, Made
from tinybert_jax.tasks.task import Task
from tinybert_jax.training import hosts, precision
from tinybert_jax.training.fit import Recipe


@dataclasses.dataclass(frozen=True)
class TaskRows:
  """The rows of a task.

  Attributes:
    texts: the training rows before they are tokens: `text`, and any of `pair`, `label` and `index`.
    labelled: token rows with labels, which the teacher learns from; None where there are none.
    transfer: token rows that the student learns from the teacher on.
    dev: token rows that choose the best step, by the name of the split; all with labels, or none.
  """

  texts: datasets.Dataset
  labelled: datasets.Dataset | None
  transfer: datasets.Dataset
  dev: Mapping[str, datasets.Dataset]

  @functools.cached_property
  def of_labelled(self) -> str:
    """The fingerprint of the labelled rows; of the transfer rows where there are none."""
    return self.of_transfer if self.labelled is None else fingerprint.of_rows(self.labelled)

  @functools.cached_property
  def of_transfer(self) -> str:
    """The fingerprint of the transfer rows."""
    return fingerprint.of_rows(self.transfer)

  @functools.cached_property
  def of_dev(self) -> Mapping[str, str]:
    """The fingerprint of each dev split, by the name that a stage's inputs have for it."""
    return {f"{split}_rows": fingerprint.of_rows(rows) for split, rows in self.dev.items()}


@dataclasses.dataclass(frozen=True)
class Recipes:
  """How each stage trains; of several for prediction distillation the best on dev is kept."""

  teacher: Recipe
  intermediate: Recipe
  prediction: tuple[Recipe, ...]
  labels: Recipe
  temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class TaskRun:
  """One task under way.

  Attributes:
    task: its kind, labels and metrics.
    rows: cut to `max_length` tokens.
    tokenizer: of the models that read the rows.
    max_length: of a row.
    folder: of everything that the run writes.
    seed: random seed for initialisation, order of rows and dropout.
    evaluations: on dev in a stage; by default two for each pass over the training texts.
    log_every: steps between two rows of a stage's log.
    standardizes: whether the numbers of a regression are learnt standardised, see `scale.Scale`.
    half_targets: whether the teacher's targets are kept in half precision.
    origin: what models and data are called where they came from, for the model cards.
    dtype: of the inputs of matrix products, see `models.products`.
    shared: folder of what several runs have in common, see `place`; by default each run has its own.
  """

  task: Task
  rows: TaskRows
  tokenizer: Tokenizer
  max_length: int
  folder: Path
  seed: int = 0
  evaluations: int | None = None
  log_every: int = 20
  standardizes: bool = False
  half_targets: bool = False
  origin: Origin = dataclasses.field(default_factory=Origin)
  dtype: DTypeLike = jnp.float32
  shared: Path | None = None

  def place(self, name: str, made_from: Any) -> Path:
    """Returns where a stage's folder, or a file, is that was made from these JSON values: by its name in `folder`.

    With `shared` it is there, under the fingerprint of the values, and `folder` has a link to it. So runs have what
    they make from the same in common, and none replaces what another needs.
    """
    path = self.folder / name
    if self.shared is None:
      return path
    values = fingerprint.of_text(json.dumps(made_from, sort_keys=True))
    place = self.shared / values / name

    def link() -> None:
      make_directory(place.parent)
      replace_link(path, place)

    hosts.on_first(link)
    return place

  def read_by(self, rows: TaskRows, tokenizer: Tokenizer, max_length: int) -> "TaskRun":
    """Returns the run as a model reads it that has another tokenizer: the same texts as other tokens."""
    return dataclasses.replace(self, rows=rows, tokenizer=tokenizer, max_length=max_length)

  @functools.cached_property
  def saved_tokenizer(self) -> Tokenizer:
    """The tokenizer, told to cut texts to `max_length` where a program does not say: no further positions trained."""
    tokenizer = copy.copy(self.tokenizer)
    tokenizer.model_max_length = self.max_length
    return tokenizer

  def stage(
    self,
    name: str,
    training_rows: str,
    inputs: Mapping[str, Any],
    make: Callable[[Path], Made],
    description: str,
    before: Sequence[str] = (),
  ) -> Finished:
    """Returns the finished stage `name`, made now if need be from rows of that fingerprint and `inputs`.

    `before` are the stages that it builds on, for its model card.
    """
    everything = {
      "task": self.task.name,
      "stage": name,
      "seed": self.seed,
      "training_rows": training_rows,
      **self.rows.of_dev,
      **precision.as_inputs(self.dtype),
      **inputs,
    }
    rows = self.rows.transfer if training_rows == self.rows.of_transfer else self.rows.labelled

    def make_with_rows(work: Path) -> Made:
      made = make(work)
      return made._replace(about={**made.about, "rows": 0 if rows is None else len(rows)})

    def card(about: Mapping[str, Any], seconds: float) -> ModelCard:
      split = next(iter(self.rows.dev), "dev")
      return cards.of_stage(self.folder, everything, about, seconds, self.origin, before=before, split=split)

    return stages.run(
      self.place(name, everything),
      everything,
      make_with_rows,
      self.saved_tokenizer,
      description,
      card,
      self.dtype,
      self.task.head,
    )

  def finished(self, name: str) -> Finished:
    """Returns the stage `name` as it stands.

    Raises:
      InputError: it is not there, its vocabulary is not that of the rows, or rows are too long for its model.
    """
    finished = stages.load(self.folder / name, self.task.name, self.dtype, self.task.head)
    made_with = load_tokenizer(self.folder / name)
    if made_with.get_vocab() != self.tokenizer.get_vocab():
      raise InputError(
        f"{self.folder / name}: reads other tokens ({in_words(made_with)}) than this run ({in_words(self.tokenizer)}); "
        f"run that stage again (--stages {name} …), or give the options that it was made with"
      )
    students.check_length(f"{self.folder / name}", finished.model.config, self.max_length)
    return finished

"""Task distillation in stages: teacher, intermediate and prediction distillation; the labels alone to compare with."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import jax
import numpy as np

from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import with_teacher_logits
from tinybert_jax.distillation import objectives
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.model_card import ModelCard
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import cards, stages, students
from tinybert_jax.pipeline.cards import Origin
from tinybert_jax.pipeline.stages import Finished, Made
from tinybert_jax.tasks.task import Task
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.fit import Recipe, fit
from tinybert_jax.training.loop import Every, TrainResult


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
    tokenizer: of teacher and student.
    max_length: of a row.
    folder: of everything that the run writes.
    recipes: of the stages.
    seed: random seed for initialisation, order of rows and dropout.
    evaluations: on dev in a stage; by default two for each pass over the training texts.
    log_every: steps between two rows of a stage's log.
    origin: what models and data are called where they came from, for the model cards.
  """

  task: Task
  rows: TaskRows
  tokenizer: Tokenizer
  max_length: int
  folder: Path
  recipes: Recipes
  seed: int = 0
  evaluations: int | None = None
  log_every: int = 20
  origin: Origin = dataclasses.field(default_factory=Origin)

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
      **inputs,
    }
    rows = self.rows.transfer if training_rows == self.rows.of_transfer else self.rows.labelled

    def make_with_rows(work: Path) -> Made:
      made = make(work)
      return made._replace(about={**made.about, "rows": 0 if rows is None else len(rows)})

    def card(about: Mapping[str, Any], seconds: float) -> ModelCard:
      split = next(iter(self.rows.dev), "dev")
      return cards.of_stage(self.folder, everything, about, seconds, self.origin, before=before, split=split)

    return stages.run(self.folder / name, everything, make_with_rows, self.tokenizer, description, card)

  def finished(self, name: str) -> Finished:
    """Returns the stage `name` as it stands; InputError where it is not there, or rows are too long for its model."""
    finished = stages.load(self.folder / name, self.task.name)
    students.check_length(f"{self.folder / name}", finished.model.config, self.max_length)
    return finished


def make_teacher(
  run: TaskRun, start: Pretrained, about: str, *, name: str = "teacher", trains: bool = True
) -> Finished:
  """Returns the teacher: `start` fine-tuned on the labels, or as it is.

  Args:
    run: the task.
    start: a classifier of the task's labels.
    about: a sentence for the model card.
    name: of the stage.
    trains: whether it is fine-tuned.
  """
  recipe, model = run.recipes.teacher, SequenceClassifier(start.config)
  inputs = {"start": fingerprint.of_model(start.config, start.params)}
  if not trains:
    return run.stage(
      name,
      run.rows.of_labelled,
      inputs,
      lambda work: Made(*start[:2], dev_scores(run, model, start.params, name=name)),
      about,
    )
  loss_fn = objectives.fine_tuning(model, label_loss=run.task.label_loss)

  def make(work: Path) -> Made:
    result = fit_stage(run, work, model, start.params, loss_fn, run.rows.labelled, recipe, name)
    return Made(start.config, result.params, result.metrics)

  return run.stage(name, run.rows.of_labelled, inputs | recipe.as_inputs(), make, about)


def make_intermediate(run: TaskRun, teacher: Finished, student: Pretrained, layers: LayerMap, about: str) -> Finished:
  """Returns the student whose embeddings, hidden states and attention scores are distilled."""
  recipe, model = run.recipes.intermediate, SequenceClassifier(student.config)

  def make(work: Path) -> Made:
    key = jax.random.key(run.seed + 1)
    projections = objectives.initialize_projections(student.config, teacher.model.config, key)
    start = {**student.params, "projections": projections}
    loss_fn = objectives.intermediate_distillation(model, teacher.model, layers)
    rows = without_labels(run.rows.transfer)
    result = fit_stage(
      run, work, model, start, loss_fn, rows, recipe, "intermediate", teacher_params=teacher.params, has_logits=False
    )
    return Made(student.config, {name: result.params[name] for name in student.params}, {})

  inputs = {
    "teacher": teacher.fingerprint,
    "student": fingerprint.of_model(student.config, student.params),
    "layer_map": layers,
    **recipe.as_inputs(),
  }
  return run.stage("intermediate", run.rows.of_transfer, inputs, make, about, ("teacher",))


def make_prediction(
  run: TaskRun,
  targets: "Targets | GivenTargets",
  student: Finished | Pretrained,
  about: str,
  *,
  name: str = "prediction",
  recipes: tuple[Recipe, ...] = (),
) -> Finished:
  """Returns the student whose logits are distilled as well: the best on dev, of all recipes.

  Args:
    run: the task.
    targets: of the transfer rows.
    student: to start from.
    about: a sentence for the model card.
    name: of the stage.
    recipes: in place of the run's.
  """
  recipes = recipes or run.recipes.prediction
  config, params = (student.model.config, student.params) if isinstance(student, Finished) else student[:2]
  model, temperature = SequenceClassifier(config), run.recipes.temperature
  loss_fn = objectives.prediction_distillation(
    model, target_loss=functools.partial(run.task.target_loss, temperature=temperature)
  )

  def make(work: Path) -> Made:
    rows = with_teacher_logits(without_labels(run.rows.transfer), targets.values())
    best, tried = None, []
    for recipe in recipes:
      title = f"batch{recipe.batch_size}-rate{recipe.learning_rate:g}"
      result = fit_stage(run, work / title, model, params, loss_fn, rows, recipe, f"{name} {title}", targets=targets)
      tried.append(recipe.as_inputs() | dict(result.metrics))
      if best is None or result.metrics["score"] > best.metrics["score"]:
        best = result
    return Made(config, best.params, dict(best.metrics) | ({"sweep": tried} if len(recipes) > 1 else {}))

  inputs = {
    "teacher": targets.fingerprint,
    "student": fingerprint.of_model(config, params),
    "recipes": [recipe.as_inputs() for recipe in recipes],
    "temperature": temperature,
  }
  before = (() if isinstance(targets, GivenTargets) else ("teacher",)) + (
    ("intermediate",) if isinstance(student, Finished) else ()
  )
  return run.stage(name, run.rows.of_transfer, inputs, make, about, before)


def make_labels(run: TaskRun, student: Pretrained, about: str, *, name: str = "labels") -> Finished:
  """Returns the same student trained on the labels alone, what distillation is up against."""
  recipe, model = run.recipes.labels, SequenceClassifier(student.config)
  loss_fn = objectives.fine_tuning(model, label_loss=run.task.label_loss)

  def make(work: Path) -> Made:
    result = fit_stage(run, work, model, student.params, loss_fn, run.rows.labelled, recipe, name)
    return Made(student.config, result.params, result.metrics)

  inputs = {"student": fingerprint.of_model(student.config, student.params), **recipe.as_inputs()}
  return run.stage(name, run.rows.of_labelled, inputs, make, about)


class Targets:
  """What the student learns from in prediction distillation: the logits of one teacher, or of several together."""

  def __init__(self, run: TaskRun, teachers: Sequence[Finished], weights: Sequence[float] = ()):
    """Args:
    run: the task.
    teachers: one or more; their targets are combined as the task says.
    weights: of the teachers; by default equal.
    """
    self._run, self._teachers = run, list(teachers)
    self._weights = tuple(weights) or (1.0,) * len(self._teachers)
    self._dev = {}

  @property
  def fingerprint(self) -> str:
    """The fingerprint of the teacher, or of all and their weights."""
    if len(self._teachers) == 1:
      return self._teachers[0].fingerprint
    return fingerprint.of_text(f"{[teacher.fingerprint for teacher in self._teachers]} {self._weights}")

  def values(self) -> np.ndarray:
    """Returns the targets of the transfer rows, stored in the run's folder."""
    rows = self._run.rows.transfer
    return stages.stored_logits(
      self._run.folder / "teacher_logits.npz",
      f"{self.fingerprint} {self._run.rows.of_transfer}",
      lambda: self.of(rows),
    )

  def dev(self, split: str) -> np.ndarray:
    """Returns the targets of a dev split's rows."""
    if split not in self._dev:
      self._dev[split] = self.of(self._run.rows.dev[split])
    return self._dev[split]

  def of(self, rows: datasets.Dataset) -> np.ndarray:
    """Returns the targets of any token rows."""
    logits = [predict(teacher.model, teacher.params, rows, name="the teacher") for teacher in self._teachers]
    return self._run.task.combine_targets(logits, self._weights)


class GivenTargets:
  """Targets that came from elsewhere, such as a large language model or an ensemble, for the transfer rows."""

  def __init__(self, logits: np.ndarray, dev: Mapping[str, np.ndarray]):
    """Args:
    logits: of the transfer rows.
    dev: of the rows of each dev split, where they are not all labelled.
    """
    self._logits, self._dev = logits, dev
    self.fingerprint = fingerprint.of_params({"targets": logits})

  def values(self) -> np.ndarray:
    """Returns the targets of the transfer rows."""
    return self._logits

  def dev(self, split: str) -> np.ndarray:
    """Returns the targets of a dev split's rows."""
    return self._dev[split]


def dev_scores(
  run: TaskRun,
  model: SequenceClassifier,
  params: objectives.Params,
  targets: "Targets | GivenTargets | None" = None,
  *,
  name: str = "the model",
) -> dict[str, float]:
  """Returns the metrics on the dev splits by name, and the mean of those that rank, the `score`.

  Where dev has no labels, the score is the agreement with `targets`. `name` is the model's, for errors.
  """
  scores, ranking = {}, []
  for split, rows in run.rows.dev.items():
    suffix, logits = split.removeprefix("dev"), predict(model, params, rows, name=name)
    if "labels" in rows.column_names:
      metrics = run.task.score(logits, rows["labels"][:])
    elif targets is None:
      continue
    else:
      metrics = {"agreement": run.task.agreement(logits, targets.dev(split))}
    scores |= {name + suffix: value for name, value in metrics.items()}
    ranking += [metrics[name] for name in (run.task.ranked_by if "agreement" not in metrics else metrics)]
  return scores | ({"score": float(np.mean(ranking))} if ranking else {})


def fit_stage(
  run: TaskRun,
  directory: Path,
  model: SequenceClassifier,
  params: objectives.Params,
  loss_fn: objectives.LossFn,
  rows: datasets.Dataset,
  recipe: Recipe,
  title: str,
  *,
  teacher_params: objectives.Params | None = None,
  has_logits: bool = True,
  targets: "Targets | GivenTargets | None" = None,
) -> TrainResult:
  """Returns the result of training `params` over `rows`: the best on dev, or where there are no logits to judge by
  yet the last.
  """
  if run.evaluations:
    evaluate_every = -(-recipe.total_steps(len(rows)) // run.evaluations)
  else:
    # Of the task's own rows, also where augmented ones are many times as many.
    own_epoch = -(-len(run.rows.texts) // recipe.batch_size)
    evaluate_every = -(-own_epoch // 2)
  return fit(
    directory,
    loss_fn,
    params,
    rows,
    recipe,
    seed=run.seed,
    pad_id=model.config.pad_token_id,
    at_most=run.max_length,
    teacher_params=teacher_params,
    evaluate=(lambda params, *_: dev_scores(run, model, params, targets, name=title)) if has_logits else None,
    best_metric="score" if has_logits else None,
    every=Every(log=run.log_every, evaluate=evaluate_every, checkpoint=min(evaluate_every, 1000)),
    title=f"{run.task.name} {title}",
  )


def without_labels(rows: datasets.Dataset) -> datasets.Dataset:
  """Returns token rows without the column `labels`, which distillation does not read."""
  return rows.remove_columns("labels") if "labels" in rows.column_names else rows

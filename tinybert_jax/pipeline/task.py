"""Task distillation in stages: teacher, intermediate and prediction distillation; the labels alone to compare with."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import with_teacher_targets
from tinybert_jax.distillation import objectives
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.distillation.term_choice import PAPERS_TERMS, TermChoice
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import rounded_once
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.pipeline import inheritance, stage_records
from tinybert_jax.pipeline.scale import UNSCALED, scale_of
from tinybert_jax.pipeline.stage_fit import AnyTargets, dev_scores, fit_stage, without_labels
from tinybert_jax.pipeline.stages import Finished, Made
from tinybert_jax.pipeline.targets import GivenTargets, Targets
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import say
from tinybert_jax.training.loop import TrainResult


def make_teacher(
  run: TaskRun, start: Pretrained, recipe: Recipe | None, about: str, *, name: str = "teacher"
) -> Finished:
  """Returns the teacher: `start` fine-tuned on the labels, or as it is.

  Args:
    run: the task.
    start: a classifier of the task's labels.
    recipe: how it is fine-tuned; None leaves it as it is.
    about: a sentence for the model card.
    name: of the stage.
  """
  inputs = {"start": fingerprint.of_model(start.config, start.params)}
  if recipe is None:
    model = run.task.head.module(start.config, run.dtype)
    return run.stage(
      name,
      run.rows.of_labelled,
      inputs,
      lambda work: Made(*start[:2], dev_scores(run, model, start.params, name=name)),
      about,
    )
  return _from_labels(run, start, recipe, inputs, about, name)


def make_intermediate(
  run: TaskRun,
  teacher: Finished,
  student: Finished | Pretrained,
  layers: LayerMap,
  recipe: Recipe,
  about: str,
  *,
  terms: TermChoice = PAPERS_TERMS,
) -> Finished:
  """Returns the student whose layers are distilled: embeddings, hidden states and attention scores, or other terms.

  Args:
    run: the task.
    teacher: to learn from.
    student: to start from; the stage `inherited`, or a model. Projections are fitted to the first, and else drawn.
    layers: the teacher's that the student's learn from.
    recipe: how it trains.
    about: a sentence for the model card.
    terms: of the loss.
  """
  config, params = (student.model.config, student.params) if isinstance(student, Finished) else student[:2]
  model = run.task.head.module(config, run.dtype)

  def make(work: Path) -> Made:
    if isinstance(student, Finished):
      projections = inheritance.projections(run, teacher, student, layers)
    else:
      projections = objectives.initialize_projections(config, teacher.model.config, jax.random.key(run.seed + 1))
    start = {**params, "projections": projections}
    loss_fn = objectives.intermediate_distillation(model, teacher.model, layers, **terms._asdict())
    rows = without_labels(run, run.rows.transfer)
    teacher_params = rounded_once(teacher.model, teacher.params)
    result = fit_stage(
      run, work, model, start, loss_fn, rows, recipe, "intermediate", teacher_params=teacher_params, has_logits=False
    )
    return Made(config, {name: result.params[name] for name in params}, {})

  inputs = {
    "teacher": teacher.fingerprint,
    "student": fingerprint.of_model(config, params),
    "layer_map": layers,
    **terms.as_inputs(),
    **recipe.as_inputs(),
    **({"projections": "fitted"} if isinstance(student, Finished) else {}),
  }
  return run.stage("intermediate", run.rows.of_transfer, inputs, make, about, ("teacher",))


def make_prediction(
  run: TaskRun,
  targets: AnyTargets,
  student: Finished | Pretrained,
  recipes: Sequence[Recipe],
  about: str,
  *,
  name: str = "prediction",
  temperature: float = 1.0,
) -> Finished:
  """Returns the student whose logits are distilled as well.

  Args:
    run: the task.
    targets: of the transfer rows.
    student: to start from.
    recipes: how it trains; of several the best on dev is kept.
    about: a sentence for the model card.
    name: of the stage.
    temperature: of the loss.
  """
  config, params = (student.model.config, student.params) if isinstance(student, Finished) else student[:2]
  model = run.task.head.module(config, run.dtype)
  loss_fn = objectives.prediction_distillation(
    model, target_loss=functools.partial(run.task.target_loss, temperature=temperature)
  )

  def make(work: Path) -> Made:
    values = targets.values()
    scale = scale_of(values) if run.standardizes else UNSCALED
    rows = with_teacher_targets(without_labels(run, run.rows.transfer), scale.standardized(values))
    # A head that was made from the teacher's gives the data's numbers already.
    start = scale.unfolded(params) if isinstance(student, Finished) and _inherits(student) else params
    best: TrainResult | None = None  # alone: the state of each would be memory for as many models
    tried = []
    for recipe in recipes:
      title = f"batch{recipe.batch_size}-rate{recipe.learning_rate:g}"
      result = fit_stage(
        run, work / title, model, start, loss_fn, rows, recipe, f"{name} {title}", scale=scale, targets=targets
      )
      tried.append(recipe.as_inputs() | dict(result.metrics))
      if best is None or result.metrics["score"] > best.metrics["score"]:
        best = result
    if best is None:
      raise ValueError("no recipe is given")
    return Made(config, scale.folded(best.params), dict(best.metrics) | ({"sweep": tried} if len(recipes) > 1 else {}))

  inputs = {
    "teacher": targets.fingerprint,
    "student": fingerprint.of_model(config, params),
    "recipes": [recipe.as_inputs() for recipe in recipes],
    "temperature": temperature,
    **_loss_settings(run),
    **_standardized(run),
    **_other_tokens(run, targets),
    **({"targets": "float16"} if run.half_targets else {}),
  }
  before = (() if isinstance(targets, GivenTargets) else ("teacher",)) + (
    ("intermediate",) if isinstance(student, Finished) else ()
  )
  made = run.stage(name, run.rows.of_transfer, inputs, make, about, before)
  if points := made.record.get("sweep"):
    say(stage_records.sweep_table(points))
  return made


def make_labels(
  run: TaskRun, student: Finished | Pretrained, recipe: Recipe, about: str, *, name: str = "labels"
) -> Finished:
  """Returns the same student trained on the labels alone, what distillation is up against."""
  start = student.pretrained() if isinstance(student, Finished) else student
  inputs = {"student": fingerprint.of_model(start.config, start.params)}
  is_inherited = isinstance(student, Finished) and _inherits(student)
  return _from_labels(run, start, recipe, inputs, about, name, is_inherited)


def _from_labels(
  run: TaskRun,
  start: Pretrained,
  recipe: Recipe,
  inputs: Mapping[str, Any],
  about: str,
  name: str,
  is_inherited: bool = False,
) -> Finished:
  """Returns the stage `name`: a classifier or regression that is trained on the labels."""
  model, labelled = run.task.head.module(start.config, run.dtype), run.rows.labelled
  if labelled is None:
    raise InputError(f"the stage {name} trains on labels, and there are none")
  loss_fn = objectives.fine_tuning(model, label_loss=run.task.label_loss)

  def make(work: Path) -> Made:
    scale = scale_of(labelled["labels"][:]) if run.standardizes else UNSCALED
    rows = scale.with_labels(labelled)
    params = scale.unfolded(start.params) if is_inherited else start.params
    result = fit_stage(run, work, model, params, loss_fn, rows, recipe, name, scale=scale)
    return Made(start.config, scale.folded(result.params), result.metrics)

  inputs = {**inputs, **recipe.as_inputs(), **_standardized(run)}
  return run.stage(name, run.rows.of_labelled, inputs, make, about)


def _other_tokens(run: TaskRun, targets: AnyTargets) -> dict[str, Any]:
  """Returns the fingerprint of the teacher's rows, where they are other tokens than the student's."""
  is_other = isinstance(targets, Targets) and targets.of_rows != run.rows.of_transfer
  return {"teacher_rows": targets.of_rows} if is_other and isinstance(targets, Targets) else {}


def _inherits(student: Finished) -> bool:
  """Whether a student's head was made from its teacher's."""
  inputs = student.record["inputs"]
  return inputs["stage"] == inheritance.STAGE or inputs.get("projections") == "fitted"


def _loss_settings(run: TaskRun) -> dict[str, Any]:
  """Returns what the loss on the targets has of settings, of tasks that have some; with others a stage is made anew."""
  return getattr(run.task, "loss_settings", {})


def _standardized(run: TaskRun) -> dict[str, Any]:
  return {"standardized": True} if run.standardizes else {}

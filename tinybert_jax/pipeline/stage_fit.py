"""Training within a stage, judged on dev."""

from pathlib import Path

import datasets
import numpy as np

from tinybert_jax.distillation import objectives
from tinybert_jax.models.heads import TaskModel
from tinybert_jax.pipeline.scale import UNSCALED, Scale
from tinybert_jax.pipeline.targets import GivenTargets, Targets
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.fit import Recipe, fit
from tinybert_jax.training.loop import Every, TrainResult

SAVE_SECONDS = 30  # between two saves; what a kill loses at most, but for what a step and an evaluation take
AnyTargets = Targets | GivenTargets


def dev_scores(
  run: TaskRun,
  model: TaskModel,
  params: objectives.Params,
  targets: AnyTargets | None = None,
  *,
  scale: Scale = UNSCALED,
  name: str = "the model",
) -> dict[str, float]:
  """Returns the metrics on the dev splits by name, and the mean of those that rank, the `score`.

  Args:
    run: the task.
    model: the module.
    params: its parameters.
    targets: where dev has no labels, the score is the agreement with these.
    scale: of what the model learns, where it is not that of the data.
    name: the model's, for errors.
  """
  scores: dict[str, float] = {}
  ranking: list[float] = []
  for split, rows in run.rows.dev.items():
    suffix, logits = split.removeprefix("dev"), scale.raw(predict(model, params, rows, name=name))
    outputs, truth = run.task.joined(logits, rows), run.task.truth(rows)
    if truth is not None:
      metrics = run.task.score(outputs, truth)
    elif targets is None:
      continue
    else:
      metrics = {"agreement": run.task.agreement(outputs, targets.dev(split))}
    scores |= {name + suffix: value for name, value in metrics.items()}
    ranking += [metrics[name] for name in (run.task.ranked_by if "agreement" not in metrics else metrics)]
  return scores | ({"score": float(np.mean(ranking))} if ranking else {})


def fit_stage(
  run: TaskRun,
  directory: Path,
  model: TaskModel,
  params: objectives.Params,
  loss_fn: objectives.LossFn,
  rows: datasets.Dataset,
  recipe: Recipe,
  title: str,
  *,
  teacher_params: objectives.Params | None = None,
  has_logits: bool = True,
  scale: Scale = UNSCALED,
  targets: AnyTargets | None = None,
) -> TrainResult:
  """Returns the result of training `params` over `rows`: the best on dev, or where there are no logits to judge by
  yet the last.

  Args:
    run: the task.
    directory: of the work under way.
    model: the module.
    params: to start from.
    loss_fn: from `distillation.objectives`.
    rows: token rows.
    recipe: how long and how fast.
    title: on the progress bar.
    teacher_params: handed to the loss.
    has_logits: whether the model's logits are trained, so that dev can judge them.
    scale: of the labels or targets in `rows`.
    targets: of dev rows without labels.
  """
  if run.evaluations:
    evaluate_every = -(-recipe.total_steps(len(rows)) // run.evaluations)
  else:
    # Of the task's own rows, also where augmented ones are many times as many.
    own_epoch = -(-len(run.rows.texts) // recipe.batch_size)
    evaluate_every = -(-own_epoch // 2)

  def judge(params: objectives.Params, *_: object) -> dict[str, float]:
    return dev_scores(run, model, params, targets, scale=scale, name=title)

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
    evaluate=judge if has_logits else None,
    best_metric="score" if has_logits else None,
    every=Every(log=run.log_every, evaluate=evaluate_every, checkpoint=min(evaluate_every, 1000), seconds=SAVE_SECONDS),
    title=f"{run.task.name} {title}",
  )


def without_labels(run: TaskRun, rows: datasets.Dataset) -> datasets.Dataset:
  """Returns token rows without the columns of labels, which distillation does not read."""
  return rows.remove_columns([name for name in run.task.label_columns if name in rows.column_names])

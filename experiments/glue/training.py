"""What each stage of a GLUE task trains."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import jax
import numpy as np

from experiments.glue.data import Data
from experiments.glue.options import Options
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import BatchSource, bucket_lengths, row_length, with_teacher_logits
from tinybert_jax.distillation import objectives
from tinybert_jax.distillation.layer_map import LayerMap
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.pretrained import Pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import stages, students
from tinybert_jax.pipeline.stages import Finished, Made
from tinybert_jax.tasks.glue import Task
from tinybert_jax.tasks.metrics import score
from tinybert_jax.training import optim, steps
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.loop import Every, TrainResult, train
from tinybert_jax.training.parallel import data_parallel

SWEEP = tuple(itertools.product((16, 32), (1e-5, 2e-5, 3e-5)))  # batch sizes and rates that the paper chooses from


@dataclasses.dataclass(frozen=True)
class Run:
  """One task under way; its rows are cut to `max_length` tokens."""

  options: Options
  task: Task
  data: Data
  tokenizer: Tokenizer
  max_length: int
  folder: Path

  @property
  def intermediate_epochs(self) -> int:
    """The options' number of passes, or the task's."""
    return self.options.intermediate_epochs or self.task.intermediate_epochs

  def stage(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], Made], description: str) -> Finished:
    """Returns the finished stage `name`; see `stages.run`."""
    everything = {"task": self.task.name, "stage": name, "seed": self.options.seed, **self.data.inputs, **inputs}
    return stages.run(self.folder / name, everything, make, self.tokenizer, description)

  def finished(self, name: str) -> Finished:
    """Returns the stage `name` as it stands; InputError where it is not there, or rows are too long for its model."""
    finished = stages.load(self.folder / name, self.task.name)
    students.check_length(f"{self.folder / name}", finished.model.config, self.max_length)
    return finished


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How long and how fast a stage trains; `steps`, where it is given, in place of `epochs`."""

  epochs: int
  batch_size: int
  learning_rate: float
  steps: int | None = None

  def as_inputs(self) -> dict[str, Any]:
    """Returns what a stage's result depends on."""
    left_out = "steps" if self.steps is None else "epochs"
    return {name: value for name, value in dataclasses.asdict(self).items() if name != left_out}


def make_teacher(run: Run, start: Pretrained) -> Finished:
  """Returns the teacher: `start` fine-tuned on the labels, or as it is where the options give a finished one."""
  options = run.options
  recipe = Recipe(options.teacher_epochs, options.teacher_batch_size, options.teacher_learning_rate)
  model = SequenceClassifier(start.config)
  inputs = {"start": fingerprint.of_model(start.config, start.params)}
  if options.teacher:
    about = f"A teacher for {run.task.name}, from {options.teacher}."
    return run.stage("teacher", inputs, lambda work: Made(*start[:2], dev_scores(run, model, start.params)), about)

  def make(work: Path) -> Made:
    result = fit(run, work, model, start.params, objectives.fine_tuning(model), run.data.train, recipe, "teacher")
    return Made(start.config, result.params, result.metrics)

  about = f"{options.pretrained} fine-tuned on GLUE's {run.task.name}: a teacher for distillation."
  return run.stage("teacher", inputs | recipe.as_inputs(), make, about)


def make_intermediate(run: Run, teacher: Finished, student: Pretrained, layers: LayerMap) -> Finished:
  """Returns the student whose embeddings, hidden states and attention scores are distilled."""
  options = run.options
  recipe = Recipe(
    run.intermediate_epochs,
    options.intermediate_batch_size,
    options.intermediate_learning_rate,
    options.intermediate_steps,
  )
  model = SequenceClassifier(student.config)

  def make(work: Path) -> Made:
    key = jax.random.key(options.seed + 1)
    projections = objectives.initialize_projections(student.config, teacher.model.config, key)
    start = {**student.params, "projections": projections}
    loss_fn = objectives.intermediate_distillation(model, teacher.model, layers)
    rows = run.data.train.remove_columns("labels")
    result = fit(
      run, work, model, start, loss_fn, rows, recipe, "intermediate", teacher_params=teacher.params, has_logits=False
    )
    return Made(student.config, {name: result.params[name] for name in student.params}, {})

  inputs = {
    "teacher": teacher.fingerprint,
    "student": fingerprint.of_model(student.config, student.params),
    "layer_map": layers,
    **recipe.as_inputs(),
  }
  about = f"A student for GLUE's {run.task.name} after intermediate distillation; its classifier is not trained yet."
  return run.stage("intermediate", inputs, make, about)


def make_prediction(run: Run, teacher: Finished, student: Finished) -> Finished:
  """Returns the student whose logits are distilled as well: the best on dev, of all points of a sweep."""
  options = run.options
  if student.record["inputs"].get("teacher") != teacher.fingerprint:
    print(f"{'':13} note: the student's intermediate stage learned from another teacher than {run.folder / 'teacher'}")
  points = SWEEP if options.sweep else [(options.prediction_batch_size, options.prediction_learning_rate)]
  recipes = [
    Recipe(options.prediction_epochs, batch_size, rate, options.prediction_steps) for batch_size, rate in points
  ]
  loss_fn = objectives.prediction_distillation(student.model, temperature=options.temperature)

  def make(work: Path) -> Made:
    rows = run.data.train
    logits = stages.stored_logits(
      run.folder / "teacher_logits.npz",
      f"{teacher.fingerprint} {run.data.inputs['training_rows']}",
      lambda: predict(teacher.model, teacher.params, rows),
    )
    rows = with_teacher_logits(rows.remove_columns("labels"), logits)
    best, tried = None, []
    for recipe in recipes:
      title = f"batch{recipe.batch_size}-rate{recipe.learning_rate:g}"
      result = fit(run, work / title, student.model, student.params, loss_fn, rows, recipe, f"prediction {title}")
      tried.append(recipe.as_inputs() | dict(result.metrics))
      if best is None or result.metrics["score"] > best.metrics["score"]:
        best = result
    about = dict(best.metrics) | ({"sweep": tried} if options.sweep else {})
    return Made(student.model.config, best.params, about)

  inputs = {
    "teacher": teacher.fingerprint,
    "student": student.fingerprint,
    "recipes": [recipe.as_inputs() for recipe in recipes],
    "temperature": options.temperature,
  }
  about = f"A student for GLUE's {run.task.name}, distilled in both stages of TinyBERT (arXiv:1909.10351)."
  return run.stage("prediction", inputs, make, about)


def make_labels(run: Run, student: Pretrained) -> Finished:
  """Returns the same student trained on the labels alone, what distillation is up against."""
  options = run.options
  epochs = options.labels_epochs or run.intermediate_epochs + options.prediction_epochs
  rate = options.labels_learning_rate or options.prediction_learning_rate
  recipe = Recipe(epochs, options.prediction_batch_size, rate)
  model = SequenceClassifier(student.config)

  def make(work: Path) -> Made:
    result = fit(run, work, model, student.params, objectives.fine_tuning(model), run.data.train, recipe, "labels")
    return Made(student.config, result.params, result.metrics)

  inputs = {"student": fingerprint.of_model(student.config, student.params), **recipe.as_inputs()}
  return run.stage("labels", inputs, make, f"A student for GLUE's {run.task.name} trained on its labels alone.")


def dev_scores(run: Run, model: SequenceClassifier, params: objectives.Params) -> dict[str, float]:
  """Returns the task's metrics on its dev splits by name, and their mean, the `score`, by which GLUE ranks."""
  scores = {}
  for split, rows in run.data.dev.items():
    metrics = score(run.task.metrics, predict(model, params, rows), np.asarray(rows["labels"]))
    scores |= {name + split.removeprefix("dev"): value for name, value in metrics.items()}
  return scores | {"score": float(np.mean(list(scores.values())))}


def fit(
  run: Run,
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
) -> TrainResult:
  """Returns the result of training `params` over `rows`: the best on dev, or where there are no logits to judge by
  yet the last.
  """
  source = BatchSource(
    rows,
    batch_size=recipe.batch_size,
    lengths=bucket_lengths(row_length(rows), at_most=run.max_length),
    epochs=recipe.epochs,
    steps=recipe.steps,
    seed=run.options.seed,
    pad_id=model.config.pad_token_id,
  )
  optimizer = optim.adamw(optim.schedule(recipe.learning_rate, len(source)))
  update, state, teacher_params, place = data_parallel(
    functools.partial(steps.make_update, loss_fn, optimizer),
    steps.create_state(params, optimizer, steps.random_key(run.options.seed)),
    teacher_params or {},
    recipe.batch_size,
  )
  # Of the task's own rows, also where augmented ones are many times as many.
  own_epoch = -(-len(run.data.texts) // recipe.batch_size)
  twice_an_epoch = -(-own_epoch // 2)
  return train(
    directory,
    update,
    state,
    teacher_params,
    source,
    evaluate=functools.partial(dev_scores, run, model) if has_logits else None,
    best_metric="score" if has_logits else None,
    every=Every(evaluate=twice_an_epoch, checkpoint=min(twice_an_epoch, 1000)),
    title=f"{run.task.name} {title}",
    place=place,
  )

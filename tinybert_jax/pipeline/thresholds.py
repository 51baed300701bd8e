"""Thresholds of several labels at once, which dev chooses and a model's biases take in."""

import numpy as np
import scipy.special

from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.tasks.classification import MultiLabel
from tinybert_jax.tasks.task import Task
from tinybert_jax.training.evaluate import predict


def check(task: Task, *, has_labels: bool) -> None:
  """Raises InputError where no thresholds can be tuned: for another kind of task, or a dev without labels."""
  if not isinstance(task, MultiLabel) or not has_labels:
    raise InputError("--threshold tuned goes with several labels at once, and labelled rows to choose by")


def tuned(run: TaskRun, finished: Finished) -> Finished:
  """Returns a model with the thresholds that are best on dev moved into its biases.

  A class is then given from a probability of one half on, as every tool has it.

  Raises:
    InputError: another kind of task, or a dev without labels.
  """
  rows = run.rows.dev["dev"]
  check(run.task, has_labels="labels" in rows.column_names)
  assert isinstance(run.task, MultiLabel)
  name = finished.record["inputs"]["stage"]
  chosen = run.task.tuned(predict(finished.model, finished.params, rows, name=name), rows["labels"][:])
  shift = scipy.special.logit(np.clip(chosen.thresholds, 1e-4, 1 - 1e-4)).astype(np.float32)
  head = dict(finished.params["classifier"])
  head["bias"] = np.asarray(head["bias"]) - shift
  params = {**finished.params, "classifier": head}
  return finished._replace(params=params, fingerprint=fingerprint.of_model(finished.model.config, params))

"""Thresholds of several labels at once, which dev chooses and a model's biases take in."""

import numpy as np
import scipy.special

from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.task_run import TaskRun
from tinybert_jax.tasks.classification import MultiLabel
from tinybert_jax.training.evaluate import predict


def tuned(run: TaskRun, finished: Finished) -> Finished:
  """Returns a model with the thresholds that are best on dev moved into its biases.

  A class is then given from a probability of one half on, as every tool has it.

  Raises:
    InputError: another kind of task, or a dev without labels.
  """
  rows = run.rows.dev["dev"]
  if not isinstance(run.task, MultiLabel) or "labels" not in rows.column_names:
    raise InputError("--threshold tuned goes with several labels at once, and labelled rows to choose by")
  name = finished.record["inputs"]["stage"]
  chosen = run.task.tuned(predict(finished.model, finished.params, rows, name=name), rows["labels"][:])
  shift = scipy.special.logit(np.clip(chosen.thresholds, 1e-4, 1 - 1e-4)).astype(np.float32)
  head = dict(finished.params["classifier"])
  head["bias"] = np.asarray(head["bias"]) - shift
  params = {**finished.params, "classifier": head}
  return finished._replace(params=params, fingerprint=fingerprint.of_model(finished.model.config, params))

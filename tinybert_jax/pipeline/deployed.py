"""What a run's models cost where they are deployed: in ONNX Runtime, whole and of 8-bit integers."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import datasets
import numpy as np

from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import count_parameters
from tinybert_jax.models.finished import AnyModel
from tinybert_jax.pipeline.measurement import Models
from tinybert_jax.tasks.task import Task

_LARGEST = 2**28  # parameters; the file of more, and its copies in memory, would be too much at the end of a run
_TURNS, _CALLS = 5, 20
_SECONDS = 3.0  # for the rows that integers are checked on
_MOST = 2000  # rows
_FEWEST = 50
# A row of these is answered by itself, so that some of them can be taken; of other kinds `export` checks the integers.
_BY_ROW = ("classification", "multi_label", "regression")


def measure(task: Task, models: Models, answers: Any, rows: datasets.Dataset, tokens: int) -> dict[str, Any]:
  """Returns what `metrics.json` holds as `deployed`; within some seconds for models of some tens of megabytes.

  `engine` names ONNX Runtime's version. `sides` has, by model and kind of weights, the milliseconds for one text
  (`latency_ms`) and the `bytes` of the file; of a classifier's or a regression's integers also `agreement` with the
  student and the number of `rows` that it was found on. `note` says in a sentence what is missing.

  Args:
    task: of the run.
    models: teacher and student; teachers larger than a gigabyte in float32 are left out.
    answers: of the student to the rows, as the task joins them.
    rows: token rows of the student.
    tokens: of the text whose time is taken.
  """
  try:
    return _measure(task, models, answers, rows, tokens)
  except InputError as error:
    return {"note": f"Not measured as deployed: {error}"}
  except Exception as error:  # of an engine that the run can do without: hours of training are not lost for it
    return {"note": f"Not measured as deployed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def _measure(task: Task, models: Models, answers: Any, rows: datasets.Dataset, tokens: int) -> dict[str, Any]:
  # Not at the top: without the extra `onnx` these raise InputError.
  from tinybert_jax.export.encoder import onnx_model
  from tinybert_jax.export.session import Session
  from tinybert_jax.pipeline.calibration import Calibration
  from tinybert_jax.pipeline.quantization import variants

  def content(name: str, **options: Any) -> bytes:
    model, params = models.by_name()[name][:2]
    return onnx_model(model.config, params, _class_of(model), **options).SerializeToString()

  teachers = [name for name in models.by_name() if models.is_teacher(name)]
  config, model_class = models.student.model.config, _class_of(models.student.model)
  each_channel = next(
    one.quantization for one in variants(config.num_hidden_layers, {}) if one.quantization.per_channel
  )
  made = {"teacher": [content(name) for name in teachers]} if _small_enough(models, teachers) else {}
  made |= {"student": [content("student")], "int8": [content("student", quantization=each_channel)]}
  sessions = {name: [Session(file) for file in files] for name, files in made.items()}
  ones = np.ones((1, tokens), np.int64)

  def run(name: str) -> Callable[[], None]:
    def call() -> None:  # the members of an ensemble one after the other
      for session in sessions[name]:
        session({"input_ids": ones, "attention_mask": ones})

    return call

  seconds = _median_seconds({name: run(name) for name in sessions})
  sides: dict[str, dict[str, Any]] = {
    name: {"latency_ms": 1e3 * seconds[name], "bytes": sum(map(len, files))} for name, files in made.items()
  }
  chosen = _chosen_rows(task, len(rows), seconds["int8"])
  if chosen is not None:
    some = Calibration(rows.select(chosen), config, model_class, task).answers(sessions["int8"][0])
    whole = answers if len(chosen) == len(rows) else answers[chosen]
    sides["int8"] |= {"agreement": task.agreement(some, whole), "rows": len(chosen)}
  return {"engine": f"ONNX Runtime {_version()}", "cores": _cores(), "tokens": tokens, "sides": sides}


def _class_of(model: Any) -> type[AnyModel]:
  """Returns a model's class; one of a head of somebody's own is refused, in a sentence, when it is exported."""
  return type(model)


def _small_enough(models: Models, names: list[str]) -> bool:
  sizes = [count_parameters(models.by_name()[name].params) for name in names]
  return bool(sizes) and sum(sizes) <= _LARGEST


def _median_seconds(runs: Mapping[str, Callable[[], None]]) -> dict[str, float]:
  """Returns the median seconds of each run.

  A turn is of several calls, of which the first does not count: after a call ONNX Runtime's threads wait for the next
  one busily, and would take the cores from what comes then.
  """
  seconds: dict[str, list[float]] = {name: [] for name in runs}
  for _ in range(_TURNS):
    for name, run in runs.items():
      turn = [_seconds(run) for _ in range(3)]
      while len(turn) < _CALLS and sum(turn) < 0.1:
        turn.append(_seconds(run))
      seconds[name] += turn[1:]
  return {name: float(np.median(values)) for name, values in seconds.items()}


def _seconds(run: Callable[[], None]) -> float:
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


def _chosen_rows(task: Task, number: int, seconds: float) -> np.ndarray | None:
  """Returns the numbers of rows, evenly spread, that are answered in a few seconds; None for kinds not checked here."""
  most = min(_MOST, int(_SECONDS / seconds))
  if task.kind not in _BY_ROW:
    return None
  if number <= most:
    return np.arange(number)
  if most < _FEWEST:
    return None
  return np.linspace(0, number - 1, most).astype(int)


def _version() -> str:
  import onnxruntime

  return onnxruntime.__version__


def _cores() -> int:
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

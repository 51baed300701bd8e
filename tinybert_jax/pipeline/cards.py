"""Model cards of a run's folders: what is told of each stage, and of the finished student."""

import contextlib
import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from tinybert_jax.distillation.terms import HELD_OUT
from tinybert_jax.models.model_card import ModelCard, front_matter
from tinybert_jax.pipeline import stage_records
from tinybert_jax.pipeline.report.results import metric_names

_NOT_METRICS = {"score", "rows", "seconds", "skipped"}  # of stage.json
_MISMATCHED = "_mismatched"  # MNLI's second split
_COUNTS = ("labelled", "unlabelled", "augmented", "transfer", "dev", "test")


class Data(NamedTuple):
  """What data is called: a name, and where it is of the hub its id and configuration there."""

  name: str | None = None
  hub_id: str | None = None
  config: str | None = None


@dataclasses.dataclass(frozen=True)
class Origin:
  """What a run's models and data are called where they came from.

  Attributes:
    teachers: hub ids or directories of the models that teach, or that the teacher is fine-tuned from.
    student: hub id or directory of the weights that the student begins with; None for a fresh one.
    data: that the stages learn from and are measured on.
    test: that the finished student is measured on, where it is other data.
    splits: names of its splits, by their names here.
    license: of the models; by default that in the README of the model which the new one is made from.
    language: of the data, a code such as "en".
  """

  teachers: tuple[str, ...] = ()
  student: str | None = None
  data: Data = dataclasses.field(default_factory=Data)
  test: Data | None = None
  splits: Mapping[str, str] = dataclasses.field(default_factory=dict)
  license: str | None = None
  language: str | None = None

  def of_student(self) -> tuple[str, ...]:
    """Returns what a student is made from: its own first weights, else its teachers."""
    return (self.student,) if self.student else self.teachers


def data_of(where: Sequence[str]) -> Data:
  """Returns what data is called that is in files, or in a data set NAME:CONFIG:SPLIT of the hub."""
  first, *rest = where[0].split(":") if len(where) == 1 else ("",)
  is_file = not first or Path(where[0]).exists() or Path(first).suffix or any(letter in first for letter in "*?[~")
  if is_file:
    return Data(", ".join(dict.fromkeys(Path(name).name for name in where)) or None)
  return Data(first, first, rest[0] if rest else None)


def of_stage(
  folder: Path,
  inputs: Mapping[str, Any],
  about: Mapping[str, Any],
  seconds: float,
  origin: Origin,
  *,
  before: Sequence[str] = (),
  split: str = "dev",
) -> ModelCard:
  """Returns the card of a stage's model.

  Args:
    folder: of the run.
    inputs: of the stage, its name and recipe among them.
    about: what `stage.json` keeps about it.
    seconds: that it took.
    origin: of models and data.
    before: names of the stages that it builds on.
    split: that its metrics were measured on.
  """
  name = str(inputs["task"] if inputs["stage"] == "model" else inputs["stage"])  # a model without further stages
  row = stage_records.stage_row(name, {"inputs": inputs, **about, "seconds": round(seconds, 1)})
  base = origin.of_student()
  if name.startswith("teacher"):
    number = int(name.partition("-")[2] or 1)
    base = origin.teachers[number - 1 : number]
  elif "teacher" not in inputs:
    base = (origin.student,) if origin.student else ()
  # A stage of an earlier run may be of other models than this run's options name.
  earlier = None if origin.student and "intermediate" not in before else next(iter(before[::-1]), None)
  return _card(
    origin,
    base,
    split,
    folder / earlier if earlier and len(base) == 1 else None,
    metrics=_numbers({key.removeprefix(HELD_OUT): value for key, value in about.items() if key not in _NOT_METRICS}),
    stages=[*stage_records.stage_rows(folder, before), *([row] if "batch_size" in row else [])],
  )


def of_student(folder: Path, metrics: Mapping[str, Any], origin: Origin) -> ModelCard:
  """Returns the card of a run's finished student.

  Args:
    folder: of the run.
    metrics: what `metrics.json` holds.
    origin: of models and data.
  """
  origin = dataclasses.replace(origin, data=origin.test or origin.data)
  sides = [metrics.get(side, {}) for side in ("student", "teacher", "majority")]
  names = metric_names(metrics)
  scores, others = _numbers(sides[0]), {name for name in names if name.endswith(_MISMATCHED)}
  split, data = metrics["split"], metrics["data"]
  made_it = {"teacher", "intermediate", "prediction"}
  return _card(
    origin,
    origin.of_student(),
    split,
    folder / "prediction",
    metrics={name: scores[name] for name in names if name in scores and name not in others},
    further_metrics={
      origin.splits.get(f"{split}{_MISMATCHED}", f"{split}{_MISMATCHED}"): {
        name.removesuffix(_MISMATCHED): scores[name] for name in sorted(others & scores.keys())
      }
    }
    if others
    else {},
    teacher_metrics={name: value for name, value in _numbers(sides[1]).items() if name in names},
    baseline_metrics={name: value for name, value in _numbers(sides[2]).items() if name in names},
    stages=[stage for stage in metrics["stages"] if stage["name"] in made_it],
    data={f"{key} rows": data[key] for key in _COUNTS if data.get(key)},
    notes=tuple(data.get("notes", ())),
  )


def _card(origin: Origin, base: Sequence[str], split: str, earlier: Path | None, **known: Any) -> ModelCard:
  """Returns the card of a model that is made from the models `base`, or those that the card in `earlier` names."""
  base = list(dict.fromkeys(map(str, base)))
  told = _metadata(earlier) if earlier else {}
  names = told.get("base_model") or (base[0] if len(base) == 1 else base or None)
  own = told.get("license") if told.get("base_model") else next(filter(None, map(license_of, base)), None)
  return ModelCard(
    base_model=names,
    dataset=origin.data.name,
    dataset_id=origin.data.hub_id,
    dataset_config=origin.data.config,
    split=origin.splits.get(split, split),
    license=origin.license or (own if isinstance(own, str) else None),
    language=origin.language,
    **known,
  )


def license_of(name: str) -> str | None:
  """Returns the licence that a model's README names; of the hub's models where it is in the cache."""
  if Path(name).is_dir():
    found = _metadata(Path(name)).get("license")
  else:
    cached = None
    with contextlib.suppress(HFValidationError, OSError):
      cached = try_to_load_from_cache(name, "README.md")
    found = _metadata(Path(cached).parent).get("license") if isinstance(cached, str) else None
  return found if isinstance(found, str) else None


def _metadata(directory: Path) -> dict[str, Any]:
  """Returns the metadata of a directory's README; empty where there is none that can be read."""
  with contextlib.suppress(OSError, yaml.YAMLError):
    return front_matter((directory / "README.md").read_text(encoding="utf-8", errors="replace"))
  return {}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
  return {
    name: float(value)
    for name, value in values.items()
    if isinstance(value, numbers.Real) and not isinstance(value, bool)
  }

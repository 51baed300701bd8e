"""A student of one's own task from one's own data: what the command `distil` and `distil_task` run."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import scipy.special

from tinybert_jax.augmentation.masked_words import Context
from tinybert_jax.data import fingerprint
from tinybert_jax.data.batches import row_length
from tinybert_jax.data.tables import AS_FOUND, Reading
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier, count_parameters
from tinybert_jax.models.pretrained import Pretrained, load_pretrained, load_tokenizer
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.pipeline import augment, budget, evaluation, own_data, shape, stages, students, task, teachers
from tinybert_jax.pipeline.budget import Passes
from tinybert_jax.pipeline.cards import Origin
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.pipeline.own_data import Known, OwnData, Sources
from tinybert_jax.pipeline.stages import Finished
from tinybert_jax.pipeline.task import Recipes, TaskRun
from tinybert_jax.tasks.classification import MultiLabel
from tinybert_jax.tasks.labels import order_classes
from tinybert_jax.tasks.task import Task
from tinybert_jax.training import hosts
from tinybert_jax.training.evaluate import predict
from tinybert_jax.training.fit import Recipe
from tinybert_jax.training.hosts import say

Stage = Literal["augmented", "teacher", "intermediate", "prediction", "labels", "evaluate"]
SWEEP_BATCHES, SWEEP_RATES = (16, 32), (1 / 3, 2 / 3, 1)  # the paper's, as shares of the rate of this run
_PLAN = "plan.json"
_OPTIONS = ("train", "unlabelled", "dev", "test")


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a run does; see the options of `tinybert-jax distil`, which these are."""

  sources: Sources
  out: Path
  teacher: tuple[str, ...] = ()
  teacher_weights: tuple[float, ...] = ()
  teacher_labels: tuple[str, ...] = ()
  pretrained: str | None = None
  student: str | None = None
  student_layers: int | None = None
  student_width: int | None = None
  student_dropout: float | None = None
  smaller: float | None = None
  faster: float | None = None
  layer_map: str = "uniform"
  stages: tuple[Stage, ...] = ("teacher", "intermediate", "prediction", "evaluate")
  augment: bool = False
  mlm: str | None = None
  glove: Path | None = None
  copies: int = 10
  context: Context = "masked"
  max_length: int | None = None
  threshold: Literal["half", "tuned"] = "half"
  minutes: float = 30.0
  teacher_epochs: int | None = None
  teacher_batch_size: int = 32
  teacher_learning_rate: float | None = None
  intermediate_epochs: int | None = None
  intermediate_batch_size: int = 32
  intermediate_learning_rate: float | None = None
  prediction_epochs: int | None = None
  prediction_batch_size: int = 32
  prediction_learning_rate: float | None = None
  sweep: bool = False
  temperature: float = 1.0
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class _Parts:
  """What a run works with, before anything trains."""

  data: OwnData
  tokenizer: Tokenizer
  max_length: int
  teachers: list[Pretrained]
  student: Pretrained
  layers: tuple[int, ...]
  has_weights: bool


def distil_task(
  out: str | Path,
  *,
  train: own_data.Where = (),
  unlabelled: own_data.Where = (),
  dev: own_data.Where = (),
  test: own_data.Where = (),
  text: str | None = None,
  pair: str | None = None,
  label: str | Sequence[str] = (),
  reading: Reading = AS_FOUND,
  teacher: str | Path | Sequence[str | Path] = (),
  **settings: Any,
) -> dict[str, Any]:
  """Returns the metrics of a student that is distilled on one's own data; the student is in `out`/student.

  A call with the same arguments reuses what is finished in `out`, and goes on where it was stopped.

  Args:
    out: folder of everything that the run writes.
    train: tables with labels: files, globs, directories, or data sets of the hub as name:config:split.
    unlabelled: tables without labels.
    dev: a table to choose the best step by; by default a share of `train`.
    test: a table to measure on.
    text: the column of the texts; by default found, as are the next two.
    pair: the column of second texts.
    label: the column of the label, or several of 0 and 1.
    reading: how text files are read.
    teacher: one or several fine-tuned classifiers: model directories or hub ids.
    **settings: any field of `Settings`, or of `Sources`.

  Raises:
    InputError: data or models that cannot be used, or do not fit together.
    RunStopped: Ctrl-C or SIGTERM; what is done is kept.
  """
  names = {field.name for field in dataclasses.fields(Sources)}
  of_sources = {name: value for name, value in settings.items() if name in names}
  others = {name: value for name, value in settings.items() if name not in names}
  unknown = others.keys() - {field.name for field in dataclasses.fields(Settings)}
  if unknown:
    raise InputError(f"distil_task has no argument {', '.join(sorted(unknown))}")
  sources = Sources(
    **{name: _several(value) for name, value in zip(_OPTIONS, (train, unlabelled, dev, test), strict=True)},
    text=text,
    pair=pair,
    label=_several(label),
    reading=reading,
    **of_sources,
  )
  return run(Settings(sources=sources, out=Path(out), teacher=_several(teacher), **others))


def _several(value: Any) -> tuple[str, ...]:
  return (str(value),) if isinstance(value, str | Path) else tuple(map(str, value))


def run(settings: Settings, *, command: str = "", options: Mapping[str, Any] | None = None) -> dict[str, Any]:
  """Returns what `metrics.json` holds, after running the stages that the settings name; empty without evaluation.

  Args:
    settings: of the run.
    command: that began it, for the report.
    options: of the command, as JSON values.
  """
  check(settings)
  parts = prepare(settings)
  with only_run(settings.out, process=jax.process_index()):
    return _run_stages(settings, parts, command, options or {})


def check(settings: Settings) -> None:
  """Raises InputError for settings that contradict each other."""
  sources = settings.sources
  if settings.teacher and sources.target_columns:
    raise InputError("--target-columns take a teacher's place; give them or --teacher, not both")
  if settings.teacher and settings.pretrained:
    raise InputError("--teacher is fine-tuned already, and --pretrained is fine-tuned here; give one of them")
  if not settings.teacher and not settings.pretrained and not sources.target_columns:
    raise InputError("who teaches? Give --teacher (fine-tuned), --pretrained (fine-tuned here) or --target-columns")
  if settings.pretrained and not sources.train and not sources.target_columns:
    raise InputError("--pretrained is fine-tuned on labels; give --train, or a --teacher that is fine-tuned already")
  if settings.teacher_weights and len(settings.teacher_weights) != len(settings.teacher):
    raise InputError(f"--teacher-weights: {len(settings.teacher_weights)} weights for {len(settings.teacher)} teachers")
  if settings.student and (settings.smaller or settings.faster or settings.student_width):
    raise InputError("--student names a shape; --smaller, --faster and --student-width choose one: give either")
  if settings.augment and not (settings.mlm or settings.glove):
    raise InputError("--augment needs --mlm, a masked language model, or --glove, word vectors")
  if "labels" in settings.stages and not sources.train:
    raise InputError("the stage labels trains on labels; give --train")


def prepare(settings: Settings) -> _Parts:
  """Returns data and models that go together; prints what was found."""
  name = _name(settings)
  given, known = _load_teachers(settings), None
  if given:
    config = given[0].config
    kinds = {"regression": "regression", "multi_label_classification": "multi_label"}
    kind = "regression" if config.num_labels == 1 else kinds.get(config.problem_type or "", "classification")
    known = Known(settings.sources.kind or kind, config.labels)
  data = own_data.load(settings.sources, name=name, known=known, seed=settings.seed)
  tokenizer_of = settings.teacher[0] if settings.teacher else settings.pretrained or settings.student
  if tokenizer_of is None:
    raise InputError("--target-columns need a tokenizer: give --student, a model directory, or --pretrained")
  tokenizer = load_tokenizer(tokenizer_of)
  if given:
    models = [
      _in_order(teacher, data.task, where, tokenizer) for teacher, where in zip(given, settings.teacher, strict=True)
    ]
  elif settings.sources.target_columns:
    models = []
  else:
    models = [teachers.with_pretrained(settings.pretrained, data.task, tokenizer, settings.seed)]
  like = models[0].config if models else load_pretrained(tokenizer_of).config
  students.check_vocabulary(str(tokenizer_of), like, tokenizer)
  length = settings.max_length or own_data.fitting_length(data, tokenizer, like.max_position_embeddings)
  students.check_length("the teacher", like, length)
  _say_data(settings, data, tokenizer, length)
  config, params, reason = _student(settings, like, tokenizer, length)
  student = teachers.with_new_classifier(config, params, data.task, settings.seed)
  layers: tuple[int, ...] = ()
  if models:
    layers = students.match_layers(
      settings.student or "of that shape", settings.layer_map, student.config, like, length
    )
    sizes = ", ".join(f"{count_parameters(model.params):,}" for model in models)
    say(f"teacher  {', '.join(map(str, settings.teacher or [settings.pretrained]))}: {sizes} parameters")
  say(f"student  {reason}; {count_parameters(student.params):,} parameters")
  say(f"devices  {hosts.describe()}\nwrites   {settings.out}")
  return _Parts(data, tokenizer, length, models, student, layers, params is not None)


def _name(settings: Settings) -> str:
  first = (settings.sources.train or settings.sources.unlabelled or ("task",))[0]
  stem = Path(first.split(":")[0]).name.split(".")[0]
  return stem.replace("*", "") or "task"


def _load_teachers(settings: Settings) -> list[Pretrained]:
  loaded = []
  for name in settings.teacher:
    model = load_pretrained(name, SequenceClassifier, labels=settings.teacher_labels or None)
    teachers.check_has_classifier(name, model)
    loaded.append(model)
  return loaded


def _in_order(teacher: Pretrained, task_: Task, name: str, tokenizer: Tokenizer) -> Pretrained:
  """Returns a finished teacher with its classes in the order of the task's."""
  if teacher.config.labels == task_.labels:
    return teacher
  if len(teacher.config.labels) == len(task_.labels) == 1:
    return Pretrained(*order_classes(teacher.config, teacher.params, (0,), task_.labels), teacher.initialized)
  places = {label.casefold(): number for number, label in enumerate(teacher.config.labels)}
  order = [places.get(label.casefold()) for label in task_.labels]
  if None in order or len(order) != len(places):
    raise InputError(
      f"--teacher {name}: its classes are {', '.join(teacher.config.labels)}, and the others have "
      f"{', '.join(task_.labels)}"
    )
  return Pretrained(*order_classes(teacher.config, teacher.params, order, task_.labels), teacher.initialized)


def _say_data(settings: Settings, data: OwnData, tokenizer: Tokenizer, length: int) -> None:
  labelled = "no labels" if data.labelled is None else f"{len(data.labelled):,} labelled rows"
  tested = "" if data.test is None else f", {len(data.test):,} to test"
  kind = data.task.kind.replace("_", "-")
  classes = "" if data.task.kind == "regression" else f" of {len(data.task.labels)} classes"
  say(f"task     {data.task.name}: {kind}{classes}")
  say(f"data     {labelled}, {len(data.transfer):,} rows to distil over, {len(data.dev):,} to choose by{tested}")
  for note in data.notes:
    say(f"         {note}")
  cut = own_data.share_cut(data, tokenizer, length)
  say(f"length   {length} tokens, {cut:.1%} of the texts are longer and cut")


def _student(
  settings: Settings, like: EncoderConfig, tokenizer: Tokenizer, length: int
) -> tuple[EncoderConfig, dict | None, str]:
  """Returns the student's shape, its encoder's parameters where it has some, and a sentence on it."""
  if settings.student:
    config, params = students.load_student(
      settings.student, settings.student_layers, settings.student_dropout, like, tokenizer, settings.seed
    )
    return config, params, str(settings.student)
  if settings.student_width or settings.student_layers:
    layers = settings.student_layers or max(1, like.num_hidden_layers // 3)
    width = (
      settings.student_width or max(1, like.hidden_size // 2 // like.num_attention_heads) * like.num_attention_heads
    )
    config = dataclasses.replace(
      like, num_hidden_layers=layers, hidden_size=width, intermediate_size=4 * width, classifier_dropout=None
    )
    reason = f"{layers} layers x {width}"
  else:
    config, reason = _chosen_shape(settings, like, length)
  rate = settings.student_dropout or 0.0
  return dataclasses.replace(config, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate), None, reason


def _chosen_shape(settings: Settings, like: EncoderConfig, length: int) -> tuple[EncoderConfig, str]:
  """Returns the shape that is small and fast enough; the one that an earlier run here chose, as timings vary."""
  default = settings.smaller is None and settings.faster is None
  smaller = settings.smaller or (shape.SMALLER if default else 1.0)
  faster = settings.faster or (shape.FASTER if default else 1.0)
  key = ["shape", repr(like), smaller, faster, length]

  def choose() -> dict[str, Any]:
    say("student  is chosen by measuring shapes on this machine")
    choice = shape.choose_shape(like, smaller, faster, min(128, length))
    config = choice.config
    return {
      "num_hidden_layers": config.num_hidden_layers,
      "hidden_size": config.hidden_size,
      "intermediate_size": config.intermediate_size,
      "reason": choice.reason,
    }

  found = dict(planned(settings.out, key, choose))
  reason = found.pop("reason")
  return dataclasses.replace(like, **found, classifier_dropout=None), reason


def planned(out: Path, key: Sequence[Any], choose: Any) -> dict[str, Any]:
  """Returns what `choose` gives, or gave in an earlier run in `out` with the same `key`.

  What depends on timings differs from run to run, and a run that goes on must go on with the same. Of several
  processes the first chooses.
  """
  path, name = out / _PLAN, fingerprint.of_text(json.dumps(list(key)))

  def choose_and_write() -> None:
    known = _read_plan(path)
    if name not in known:
      known[name] = {"of": list(key), **choose()}
      path.parent.mkdir(parents=True, exist_ok=True)
      new = path.with_suffix(".new")
      new.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
      new.replace(path)

  hosts.on_first(choose_and_write)
  return {name: value for name, value in _read_plan(path)[name].items() if name != "of"}


def _read_plan(path: Path) -> dict[str, Any]:
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError):
    return {}


def _recipes(settings: Settings, parts: _Parts, run: TaskRun) -> Recipes:
  """Returns how the stages train; passes that nobody gave are those of the paper that fit into `minutes`."""
  rows, width = run.rows, parts.student.config.hidden_size
  labelled = 0 if rows.labelled is None else math.ceil(len(rows.labelled) / settings.teacher_batch_size)
  transfer = math.ceil(len(rows.transfer) / settings.prediction_batch_size)
  trains_teacher = not settings.teacher and bool(parts.teachers)
  # Few rows need more passes: some 200 steps for the teacher, some 1,000 for the student.
  most = Passes(
    teacher=min(20, max(3, math.ceil(200 / labelled))) if labelled else 3,
    intermediate=min(50, max(20, math.ceil(1000 / transfer))),
    prediction=min(50, max(3 if parts.has_weights else 10, math.ceil(1000 / transfer))),
  )
  passes = most
  if None in (settings.teacher_epochs, settings.intermediate_epochs, settings.prediction_epochs):
    passes = _planned_passes(settings, parts, run, labelled, transfer, most, trains_teacher)
  # Pretrained weights want the paper's small rates; a fresh student, and a narrow teacher, learn nothing by them.
  fresh = 1e-3 if width <= 128 else 5e-4
  teacher_width = parts.teachers[0].config.hidden_size if parts.teachers else width
  teacher_rate = settings.teacher_learning_rate or (3e-5 if teacher_width >= 512 else 1e-4)
  intermediate_rate = settings.intermediate_learning_rate or (5e-5 if parts.has_weights else fresh)
  prediction_rate = settings.prediction_learning_rate or (3e-5 if parts.has_weights else fresh)
  intermediate, prediction = (
    settings.intermediate_epochs or passes.intermediate,
    settings.prediction_epochs or passes.prediction,
  )
  points = [(settings.prediction_batch_size, prediction_rate)]
  if settings.sweep:
    points = [(size, share * prediction_rate) for size in SWEEP_BATCHES for share in SWEEP_RATES]
  steps = intermediate * math.ceil(len(rows.transfer) / settings.intermediate_batch_size) + prediction * transfer
  return Recipes(
    teacher=Recipe(settings.teacher_epochs or passes.teacher or 1, settings.teacher_batch_size, teacher_rate, eps=1e-8),
    intermediate=Recipe(intermediate, settings.intermediate_batch_size, intermediate_rate, eps=1e-8),
    prediction=tuple(Recipe(prediction, size, rate, eps=1e-8) for size, rate in points),
    labels=Recipe(1, settings.prediction_batch_size, prediction_rate, steps, eps=1e-8),
    temperature=settings.temperature,
  )


def _planned_passes(
  settings: Settings, parts: _Parts, run: TaskRun, labelled: int, transfer: int, most: Passes, trains_teacher: bool
) -> Passes:
  teacher = SequenceClassifier(parts.teachers[0].config) if parts.teachers else None
  student = SequenceClassifier(parts.student.config)
  key = ["passes", repr(student.config), repr(teacher and teacher.config), settings.minutes, labelled, transfer]

  def choose() -> dict[str, Any]:
    length = int(np.quantile(row_length(run.rows.transfer), 0.7))
    speed = budget.measure(teacher, student, settings.prediction_batch_size, max(8, -(-length // 8) * 8))
    passes = budget.fit_passes(
      speed, settings.minutes, labelled=labelled, transfer=transfer, most=most, trains_teacher=trains_teacher
    )
    about = budget.estimate(speed, passes, labelled=labelled, transfer=transfer)
    return {"passes": passes._asdict(), "minutes": about}

  plan = planned(settings.out, key, choose)
  passes = Passes(**plan["passes"])
  teaches = f"{passes.teacher} of the teacher, " if trains_teacher else ""
  say(
    f"passes   {teaches}{passes.intermediate} of intermediate and {passes.prediction} of prediction distillation: "
    f"about {sum(plan['minutes'].values()):.0f} minutes (--minutes {settings.minutes:g}), compiling apart"
  )
  return passes


def _run_stages(settings: Settings, parts: _Parts, command: str, options: Mapping[str, Any]) -> dict[str, Any]:
  rows, test = own_data.tokenized(parts.data, parts.tokenizer, parts.max_length)
  bare = Recipes(*[Recipe(1, 32, 1e-4)] * 2, (Recipe(1, 32, 1e-4),), Recipe(1, 32, 1e-4))
  run = TaskRun(
    parts.data.task,
    rows,
    parts.tokenizer,
    parts.max_length,
    settings.out,
    bare,
    settings.seed,
    evaluations=10,
    origin=_origin(settings),
  )
  distilled = _augmented(settings, run)
  recipes = _recipes(settings, parts, distilled)
  run, distilled = (dataclasses.replace(each, recipes=recipes) for each in (run, distilled))
  made = _teachers(settings, parts, run)
  given = parts.data.targets is not None
  targets = (
    task.GivenTargets(parts.data.targets, {"dev": parts.data.dev_targets})
    if given
    else task.Targets(distilled, made, settings.teacher_weights)
  )
  start: Finished | Pretrained = parts.student
  name = f"the task {run.task.name}"
  if not given:
    if "intermediate" in settings.stages:
      if len(made) > 1:
        say(f"{'':13} the layers are distilled from the first teacher, the predictions from all")
      about = f"A student for {name} after intermediate distillation; its classifier is not trained yet."
      task.make_intermediate(distilled, made[0], parts.student, parts.layers, about)
    if {"prediction", "evaluate"} & set(settings.stages):
      start = run.finished("intermediate")
  if "prediction" in settings.stages:
    about = f"A student for {name}, distilled in the stages of TinyBERT (arXiv:1909.10351)."
    task.make_prediction(distilled, targets, start, about)
  if "labels" in settings.stages:
    task.make_labels(run, parts.student, f"A student for {name} trained on its labels alone.")
  if "evaluate" not in settings.stages:
    return {}
  others = {"labels alone": run.finished("labels")} if "labels" in settings.stages else {}
  student = run.finished("prediction")
  if settings.threshold == "tuned":
    made, student, others = _tuned(run, made, student, others)
  splits, texts = ({"dev": rows.dev["dev"]}, parts.data.dev) if test is None else ({"test": test}, parts.data.test)
  about_run = evaluation.About(command, options, _counts(parts, run, distilled))
  return evaluation.evaluate(
    distilled,
    evaluation.Models(made, student, others, settings.teacher_weights, parts.student),
    splits,
    texts,
    about_run,
  )


def _origin(settings: Settings) -> Origin:
  """Returns what models and data are called, for the model cards."""
  sources, given = settings.sources, settings.sources.target_columns
  pretrained = (settings.pretrained,) if settings.pretrained and not given else ()
  named = sources.test or sources.dev or sources.train or sources.unlabelled
  # A table of the hub is name:config:split; all others are files, of which the last name tells enough.
  first, *rest = named[0].split(":") if named else ("",)
  is_file = bool(Path(first).suffix) or Path(first).exists() or any(letter in first for letter in "*?[")
  names = [Path(name).name for name in named]
  return Origin(
    settings.teacher or pretrained,
    students.begins_with(settings.student),
    ", ".join(dict.fromkeys(names)) if is_file else first,
    None if is_file else first,
    rest[0] if rest and not is_file else None,
  )


def _augmented(settings: Settings, run: TaskRun) -> TaskRun:
  if not settings.augment:
    return run
  source = augment.load_with_default(
    augment.Settings(mlm=settings.mlm, glove=settings.glove, context=settings.context), False, "leave out --augment"
  )
  augment.make_for_run(run, settings.copies, source)
  return augment.with_augmented(run)


def _teachers(settings: Settings, parts: _Parts, run: TaskRun) -> list[Finished]:
  """Returns the finished stages of the teachers, made now where the settings say so."""
  made = []
  for number, model in enumerate(parts.teachers, start=1):
    name = "teacher" if number == 1 else f"teacher-{number}"
    if "teacher" not in settings.stages:
      made.append(stages.load(run.folder / name, run.task.name))
      continue
    where = Path(settings.teacher[number - 1] if settings.teacher else settings.pretrained).name
    about = f"A teacher for the task {run.task.name}, from {where}."
    made.append(task.make_teacher(run, model, about, name=name, trains=not settings.teacher))
  return made


def _tuned(
  run: TaskRun, made: list[Finished], student: Finished, others: Mapping[str, Finished]
) -> tuple[list[Finished], Finished, dict[str, Finished]]:
  """Returns the models with the thresholds that dev chooses, moved into their biases.

  A class is then given from a probability of one half on, as every tool has it.
  """
  rows = run.rows.dev["dev"]
  if not isinstance(run.task, MultiLabel) or "labels" not in rows.column_names:
    raise InputError("--threshold tuned goes with several labels at once, and labelled rows to choose by")

  def tune(finished: Finished) -> Finished:
    chosen = run.task.tuned(
      predict(finished.model, finished.params, rows, name=finished.record["inputs"]["stage"]), rows["labels"][:]
    )
    shift = scipy.special.logit(np.clip(chosen.thresholds, 1e-4, 1 - 1e-4)).astype(np.float32)
    head = dict(finished.params["classifier"])
    head["bias"] = np.asarray(head["bias"]) - shift
    params = {**finished.params, "classifier": head}
    return finished._replace(params=params, fingerprint=fingerprint.of_model(finished.model.config, params))

  return [tune(one) for one in made], tune(student), {name: tune(one) for name, one in others.items()}


def _counts(parts: _Parts, run: TaskRun, distilled: TaskRun) -> dict[str, Any]:
  data = parts.data
  return {
    "labelled": 0 if data.labelled is None else len(data.labelled),
    "unlabelled": len(data.transfer) - (0 if data.labelled is None else len(data.labelled)),
    "transfer": len(distilled.rows.transfer),
    "augmented": len(distilled.rows.transfer) - len(run.rows.transfer),
    "dev": len(data.dev),
    "test": 0 if data.test is None else len(data.test),
    "share_cut": own_data.share_cut(data, parts.tokenizer, parts.max_length),
    "notes": list(data.notes),
  }

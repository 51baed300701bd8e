"""The shape of a student that keeps most of its teacher's quality in a budget of time and size.

AutoTinyBERT (arXiv:2107.13686) asks this of a network that holds all students; here each begins with weights made from
its teacher's, and successive halving (Jamieson & Talwalkar, arXiv:1502.07943) spends the time on those that do best.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from tinybert_jax import settings as bounds
from tinybert_jax.data import fingerprint
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.directories import replace_file
from tinybert_jax.pipeline import distil, kinds, shape, stages, students
from tinybert_jax.pipeline.distil_models import Prepared, prepare
from tinybert_jax.pipeline.distil_settings import DISTILLED, Settings, StudentOptions
from tinybert_jax.pipeline.figures.search import scores_by_latency
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.pipeline.metric_names import score_of
from tinybert_jax.pipeline.plan import planned
from tinybert_jax.pipeline.search_settings import SearchOptions
from tinybert_jax.training.hosts import say
from tinybert_jax.training.precision import as_inputs

RESULTS, PICTURE, BEST = "search.json", "search.png", "best"
# The width of feed-forward layers as a share of the family's usual one (in BERT four times the hidden size), and the
# share of the time in the budget that a student takes; those that take less show what speed costs.
_TRIED = ((1.0, 1.0), (0.5, 1.0), (0.25, 1.0), (0.5, 0.5), (0.5, 0.25))


class Shape(NamedTuple):
  """A student's shape in the budget.

  Attributes:
    layers: their number.
    width: the hidden size.
    feed_forward: the width of its feed-forward layers.
    vocabulary: the most tokens that it may have.
    parameters: their number with as many tokens.
    times_faster: the teacher's time for one text as a ratio to its own.
  """

  layers: int
  width: int
  feed_forward: int
  vocabulary: int
  parameters: int
  times_faster: float

  @property
  def name(self) -> str:
    return f"{self.layers}x{self.width}x{self.feed_forward}"


def run(
  settings: Settings, options: SearchOptions, *, command: str = "", given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
  """Returns what `search.json` holds, after all rounds and the distillation of the best shape, in `out`/best.

  A call with the same arguments goes on where it stopped.

  Args:
    settings: of the distillation; its shape tells the budget alone.
    options: of the search.
    command: that began it, for the report.
    given: its options as JSON values.

  Raises:
    InputError: settings that contradict each other, data that cannot be used, or a budget in which no student is.
  """
  check(settings, options)
  if jax.process_count() > 1:
    raise InputError("search runs in one process; distil takes several for the shape that it finds")
  smallest = dataclasses.replace(settings.shape, smaller=None, faster=None, student_layers=1)
  prepared = prepare(dataclasses.replace(settings, shape=smallest))
  with only_run(settings.out):
    teacher_ms, shapes = _shapes(settings, options, prepared)
    scores, best = _rounds(settings, options, prepared, shapes)
  say(f"\nbest     {best.name}, which is distilled to the end now")
  metrics = distil.run(_of_shape(settings, prepared, best, settings.out / BEST), command=command, options=given)
  teacher_size = shape.size(prepared.teachers[0].config)
  found = {
    "teacher_ms": teacher_ms,
    "shapes": [_row(one, scores[one.name], teacher_size, teacher_ms) for one in shapes],
    "best": best.name,
    "score_name": metrics["main_metric"],
    "teacher_score": score_of(metrics["teacher"], metrics["main_metric"]),
    "best_score": score_of(metrics["student"], metrics["main_metric"]),
    "split": metrics["split"],
  }
  scores_by_latency(settings.out / PICTURE, found)
  with replace_file(settings.out / RESULTS) as new:
    new.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
  return found


def check(settings: Settings, search: SearchOptions) -> None:
  """Raises InputError for options that are outside their bounds or contradict each other."""
  kinds.check(settings)
  bounds.check(search)
  shape, sources = settings.shape, settings.data
  if len(settings.teachers.teacher) != 1:
    raise InputError("search needs one --teacher that is fine-tuned already; distil --stages teacher makes one")
  if shape.student or shape.student_layers or shape.student_width or shape.student_from == "random":
    raise InputError(
      "search finds the student's shape, and begins with the teacher's weights; leave out --student, --student-layers, "
      "--student-width and --student-from random"
    )
  if search.latency_ms is not None and shape.faster is not None:
    raise InputError("--latency-ms and --faster both say how fast the student is; give one of them")
  if not set(settings.stages) >= DISTILLED:
    raise InputError("search distils in both stages; leave out --stages, or name intermediate and prediction")
  if sources.kind == "embeddings" or sources.kind == "ranking":
    raise InputError(f"search is for classes, numbers and words, and not yet for --kind {sources.kind}")


def table(found: Mapping[str, Any]) -> str:
  """Returns the shapes of `search.json` as lines of text, the best first."""
  rows = sorted(found["shapes"], key=lambda row: (-len(row["scores"]), -row["scores"][-1]))
  rounds = max(len(row["scores"]) for row in rows)
  lines = [f"{'layers x width x feed-forward':30} {'parameters':>12} {'smaller':>8} {'ms':>7} {'faster':>7}"]
  lines[0] += "".join(f"{f'round {number + 1}':>9}" for number in range(rounds))
  for row in rows:
    scores = "".join(f"{100 * score:9.2f}" for score in row["scores"])
    lines.append(
      f"{row['name']:30} {row['parameters']:12,} {row['times_smaller']:7.1f}x {row['latency_ms']:7.2f} "
      f"{row['times_faster']:6.1f}x{scores}"
    )
  return "\n".join(lines)


def _shapes(settings: Settings, options: SearchOptions, prepared: Prepared) -> tuple[float, list[Shape]]:
  """Returns the teacher's milliseconds for one text, and the shapes in the budget; those of an earlier run."""
  like, given = prepared.teachers[0].config, settings.shape
  length = min(shape.MEASURED_LENGTH, prepared.read.length.tokens)
  is_default = given.smaller is None and given.faster is None and options.latency_ms is None
  smaller = given.smaller or (shape.SMALLER if is_default else 1.0)
  faster = given.faster or (shape.FASTER if is_default else 1.0)

  def measure() -> dict[str, Any]:
    say("shapes   in the budget are found by measuring them on this machine")
    teacher_ms = shape.latency_ms(like, length, prepared.dtype)
    wanted = shape.TO_SPARE * (faster if options.latency_ms is None else teacher_ms / options.latency_ms)
    found = in_budget(like, given.vocabulary, smaller, wanted, length, prepared.dtype)
    return {"teacher_ms": teacher_ms, "shapes": [list(one) for one in found]}

  budget = [smaller, faster, options.latency_ms, given.vocabulary, length]
  found = planned(settings.out, ["search", repr(like), *budget, *as_inputs(prepared.dtype).values()], measure)
  if not found["shapes"]:
    raise InputError(
      f"no student of this teacher ({found['teacher_ms']:.2f} ms for one text of {length} tokens here) is so small and "
      "so fast; allow more by --latency-ms, --faster or --smaller"
    )
  return found["teacher_ms"], [Shape(*one) for one in found["shapes"]]


def in_budget(
  teacher: EncoderConfig, vocabulary: int | None, smaller: float, faster: float, length: int, dtype: Any
) -> list[Shape]:
  """Returns the widest students in a budget, by layers and form of feed-forward layers, and some cheaper ones.

  Args:
    teacher: its shape.
    vocabulary: the most tokens of a student; None for as many as there is room for.
    smaller: the least ratio of the teacher's parameters to the student's.
    faster: the least ratio of the teacher's time for one text to the student's.
    length: of that text, in tokens.
    dtype: of the inputs of matrix products.
  """
  full, most = teacher.vocab_size, shape.size(teacher) / smaller
  like = dataclasses.replace(teacher, vocab_size=min(full, vocabulary or shape.LEAST_TOKENS))
  layers = [number for number in range(teacher.num_hidden_layers - 1, 0, -1) if not teacher.num_hidden_layers % number]

  def times_faster(config: EncoderConfig) -> float:
    return shape.times_faster(teacher, config, length, dtype)

  found: dict[str, Shape] = {}
  for number in layers or [1]:
    for form, share in _TRIED:
      shapes = [shape.student(like, number, width, form) for width in shape.widths(teacher)]
      ratio, config = shape.widest(shape.small_enough(shapes, most), times_faster, faster / share)
      if config is None or ratio < faster / share:
        continue
      if vocabulary is None:
        tokens = min(full, config.vocab_size + shape.tokens_of_room(config, most))
        config = dataclasses.replace(config, vocab_size=tokens)
      one = Shape(number, config.hidden_size, config.intermediate_size, config.vocab_size, shape.size(config), ratio)
      found.setdefault(one.name, one)
  return list(found.values())


def _rounds(
  settings: Settings, options: SearchOptions, prepared: Prepared, shapes: Sequence[Shape]
) -> tuple[dict[str, list[float]], Shape]:
  """Returns each shape's scores on dev, one a round that it was in, and the best shape."""
  teacher, data = prepared.teachers[0], prepared.data
  made_from = [fingerprint.of_model(teacher.config, teacher.params)]
  made_from += [fingerprint.of_rows(part) for part in (data.transfer, data.dev)]
  scores: dict[str, list[float]] = {one.name: [] for one in shapes}
  left = list(shapes)
  for number in range(options.rounds):
    for place, one in enumerate(left, start=1):
      short = _short(settings, options, prepared, one, passes=2**number)
      about = f"round {number + 1}  shape {place} of {len(left)}, {one.name}"
      scores[one.name].append(_known_score(settings.out, made_from, short, data.task.name, about))
    left = sorted(left, key=lambda one: -scores[one.name][-1])
    if len(left) <= 2:
      break
    left = left[: -(-len(left) // 2)]
  return scores, left[0]


def _known_score(out: Path, made_from: Sequence[str], short: Settings, task: str, about: str) -> float:
  """Returns the score on dev of a short distillation; that of an earlier run with the same models and rows."""

  def choose() -> dict[str, Any]:
    say(f"\n{about}")
    return {"score": _score(short, task)}

  return planned(out, ["round", *made_from, repr(short)], choose)["score"]


def _score(short: Settings, task: str) -> float:
  """Returns the score on dev of a short distillation, of which nothing else is kept."""
  distil.run(short)
  score = stages.read_record(short.out / "prediction", task)["score"]
  shutil.rmtree(short.out)
  return score


def _short(settings: Settings, options: SearchOptions, prepared: Prepared, one: Shape, passes: int) -> Settings:
  """Returns the settings of a distillation of so many passes, over so many rows as a round takes."""
  rows = min(options.search_rows, settings.data.max_train_examples or options.search_rows)
  return dataclasses.replace(
    _of_shape(settings, prepared, one, settings.out / f"round-{one.name}"),
    data=dataclasses.replace(settings.data, max_train_examples=rows),
    training=dataclasses.replace(settings.training, intermediate_epochs=passes, prediction_epochs=passes, sweep=False),
    stages=("teacher", "intermediate", "prediction"),
  )


def _of_shape(settings: Settings, prepared: Prepared, one: Shape, out: Path) -> Settings:
  """Returns the settings of the distillation of a shape, whose configuration is written beside `out`."""
  teacher = prepared.teachers[0].config
  config = dataclasses.replace(
    teacher.resized(one.layers, one.width),
    intermediate_size=one.feed_forward,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )
  path = settings.out / "shapes" / f"{one.name}.json"
  students.write_shape(path, config)
  tokens = one.vocabulary if one.vocabulary < teacher.vocab_size else None
  student = StudentOptions(
    student=str(path), student_from="teacher", vocabulary=tokens, layer_map=settings.shape.layer_map
  )
  return dataclasses.replace(settings, shape=student, out=out)


def _row(one: Shape, scores: Sequence[float], teacher_size: int, teacher_ms: float) -> dict[str, Any]:
  return {
    "name": one.name,
    **one._asdict(),
    "times_smaller": teacher_size / one.parameters,
    "latency_ms": teacher_ms / one.times_faster,
    "scores": list(scores),
  }

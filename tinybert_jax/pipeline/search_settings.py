"""What a run of `search` does: the options of `distil`, and the budget in which shapes are tried."""

import dataclasses
from typing import Annotated

from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import distil_settings
from tinybert_jax.pipeline.distil_settings import Settings
from tinybert_jax.settings import AT_LEAST_1, POSITIVE, check


@dataclasses.dataclass(frozen=True)
class SearchOptions:
  """The budget, with --smaller and --faster, and how shapes are tried."""

  latency_ms: Annotated[float | None, POSITIVE] = None
  """The most milliseconds that the student may take for one text on this machine; in place of --faster."""
  rounds: Annotated[int, AT_LEAST_1] = 3
  """Rounds of short distillations, of twice as many passes each; the better half of the shapes goes on to the next."""
  search_rows: Annotated[int, AT_LEAST_1] = 4000
  """Rows of --train and of --unlabelled that the rounds distil over."""


def check_search(settings: Settings, search: SearchOptions) -> None:
  """Raises InputError for options that are outside their bounds or contradict each other."""
  distil_settings.check(settings)
  check(search)
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
  if not set(settings.stages) >= distil_settings.DISTILLED:
    raise InputError("search distils in both stages; leave out --stages, or name intermediate and prediction")
  if sources.kind == "embeddings" or sources.kind == "ranking":
    raise InputError(f"search is for classes, numbers and words, and not yet for --kind {sources.kind}")

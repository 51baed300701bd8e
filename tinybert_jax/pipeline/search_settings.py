"""What a run of `search` has of options beside those of `distil`."""

import dataclasses
from typing import Annotated

from tinybert_jax.settings import AT_LEAST_1, POSITIVE


@dataclasses.dataclass(frozen=True)
class SearchOptions:
  """The budget, with --smaller and --faster, and how shapes are tried."""

  latency_ms: Annotated[float | None, POSITIVE] = None
  """The most milliseconds that the student may take for one text on this machine; in place of --faster."""
  rounds: Annotated[int, AT_LEAST_1] = 3
  """Rounds of short distillations, of twice as many passes each; the better half of the shapes goes on to the next."""
  search_rows: Annotated[int, AT_LEAST_1] = 4000
  """Rows of --train and of --unlabelled that the rounds distil over."""

"""Data sets of the Hugging Face hub, without a long wait where it cannot be reached."""

import contextlib
from collections.abc import Iterator
from typing import Any

import datasets
from huggingface_hub import constants, get_session

_SECONDS = 5  # for an answer of the hub's, twice


def load_rows(name: str, config: str | None, split: str) -> datasets.Dataset:
  """Returns a split of a data set, fetched or from the cache; raises what `datasets.load_dataset` does.

  Where the hub gives no sign of life, only the cache is looked at: `datasets` would try again and again for half a
  minute.
  """
  with contextlib.nullcontext() if _is_there() else _offline():
    return datasets.load_dataset(name, config, split=split)


def _is_there() -> bool:
  for _ in range(2):
    with contextlib.suppress(Exception):  # of whichever HTTP library the hub's client has
      get_session().head(constants.ENDPOINT, timeout=_SECONDS)
      return True
  return False


@contextlib.contextmanager
def _offline() -> Iterator[None]:
  """Has both libraries do as HF_HUB_OFFLINE=1 does."""
  places: tuple[Any, ...] = (constants, datasets.config)
  before = [place.HF_HUB_OFFLINE for place in places]
  try:
    for place in places:
      place.HF_HUB_OFFLINE = True
    yield
  finally:
    for place, value in zip(places, before, strict=True):
      place.HF_HUB_OFFLINE = value

"""Imports that do not find PyTorch, for libraries that would load it, for seconds, to no use here."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_torch() -> Iterator[None]:
  """Lets imports inside find no PyTorch, unless it is loaded already."""
  hides = "torch" not in sys.modules
  if hides:
    sys.modules["torch"] = None  # type: ignore[assignment]
  try:
    yield
  finally:
    if hides:
      del sys.modules["torch"]

"""What timings decide in a run: kept beside its stages, so that a run that goes on goes on with the same."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.data import fingerprint
from tinybert_jax.models.directories import replace_file
from tinybert_jax.training import hosts

_FILE = "plan.json"


def planned(out: Path, key: Sequence[Any], choose: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
  """Returns what `choose` gives, or gave in an earlier run in `out` with the same `key`.

  Timings differ from run to run. Of several processes the first chooses.

  Args:
    out: folder of the run.
    key: JSON values on which the choice depends, timings apart.
    choose: measures and chooses; returns JSON values.
  """
  path, name = out / _FILE, fingerprint.of_text(json.dumps(list(key)))

  def choose_and_write() -> None:
    known = _read(path)
    if name not in known:
      known[name] = {"of": list(key), **choose()}
      with replace_file(path) as new:
        new.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")

  hosts.on_first(choose_and_write)
  return {name: value for name, value in _read(path)[name].items() if name != "of"}


def _read(path: Path) -> dict[str, Any]:
  try:
    return json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError):
    return {}

"""What two runs of one command must have in common: all that they wrote, but for what times make different."""

import json
import re

import numpy as np
from safetensors.numpy import load_file

# Of these every bit; reports, cards and pictures tell of times, and curves of the log are in `log.jsonl`.
_BITS = (".safetensors", ".npz", ".npy", ".parquet", ".arrow", ".tsv", ".csv", ".onnx", ".txt")
_TIMES = re.compile("seconds|per_second|latency|throughput|times_faster|deployed|environment|command|summary")


def assert_same_results(ours, theirs):
  """Compares the folder `out` of two runs, file by file."""
  mine, other = (_results(folder / "out") for folder in (ours, theirs))
  assert mine.keys() == other.keys()
  for name, value in other.items():
    assert mine[name] == value, f"{name} differs from that of a run that nothing interrupted"


def assert_same_weights(ours, theirs):
  """Compares two students that other numbers of devices have trained: only the order of sums differs."""
  mine, other = (load_file(folder / "out" / "model" / "model.safetensors") for folder in (ours, theirs))
  for name, value in other.items():
    np.testing.assert_allclose(mine[name], value, atol=1e-5 * max(np.abs(value).max(), 1e-6), err_msg=name)


def assert_nothing_left(folder):
  """Checks that a finished run has left no work under way and no file that was to be renamed."""
  paths = [path.relative_to(folder) for path in (folder / "out").rglob("*")]
  hidden = [path for path in paths if path.name.startswith(".") and path.name != ".lock"]
  assert not hidden + [path for path in paths if re.search(r"\.unfinished|\.new$|\.tmp|\.saving", path.name)]


def _results(out):
  files = [path for path in sorted(out.rglob("*")) if path.is_file()]
  return {str(path.relative_to(out)): _content(path) for path in files if path.suffix in (*_BITS, ".json", ".jsonl")}


def _content(path):
  """Returns what must be the same of a file."""
  if path.suffix in _BITS:
    return path.read_bytes()
  if path.name == "plan.json":  # what timings decided
    return None
  if path.suffix == ".jsonl":
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    # The means in the first line after a run went on are of the steps since then.
    return [line["step"] for line in lines] if path.name == "log.jsonl" else [_without_times(line) for line in lines]
  return _without_times(json.loads(path.read_text(encoding="utf-8")))


def _without_times(value):
  if isinstance(value, dict):
    return {name: _without_times(one) for name, one in value.items() if not _TIMES.search(name)}
  return [_without_times(one) for one in value] if isinstance(value, list) else value

"""How long real texts are: stored histograms of four GLUE tasks, a file of numbers, or any task's own files."""

import json
from pathlib import Path

import numpy as np

from tinybert_jax.data.batches import bucket_lengths, row_length, tokenize
from tinybert_jax.errors import InputError
from tinybert_jax.models.pretrained import load_tokenizer
from tinybert_jax.tasks.glue import find_task
from tinybert_jax.tasks.glue_files import load_rows

LENGTHS = Path(__file__).with_name("lengths.json")


def read_lengths(
  source: str, max_length: int | None = None, data: Path | None = None, tokenizer: str = "bert-base-uncased"
) -> tuple[str, np.ndarray, int]:
  """Returns a title, the lengths of a task's or a file's sentences, and the length to cut them to.

  Args:
    source: a task whose lengths are stored beside this file, a text file of whole numbers, or with `data` any task.
    max_length: to cut to; by default the task's.
    data: GLUE's official files, whose training rows are tokenised and counted.
    tokenizer: model directory or hub id, for `data`.

  Raises:
    InputError: no such task and no such file, or something in it that is no positive whole number.
  """
  if data is not None:
    task = find_task(source)
    rows = load_rows(task, "train", data).rows
    tokens = tokenize(
      load_tokenizer(tokenizer),
      rows["text"][:],
      rows["pair"][:] if "pair" in rows.column_names else None,
      max_length=max_length or task.max_length,
    )
    return task.name, row_length(tokens), max_length or task.max_length
  tasks = json.loads(LENGTHS.read_text(encoding="utf-8"))
  if source in tasks:
    task = tasks[source]
    values, times = zip(*task["counts"].items(), strict=True)
    return task["task"], np.repeat([int(value) for value in values], times), max_length or task["max_length"]
  path = Path(source)
  if not path.is_file():
    raise InputError(f"{source}: no such file, and no task whose lengths are here ({', '.join(tasks)})")
  lengths = []
  for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
    for word in line.split():
      if not (word.isascii() and word.isdigit() and 0 < int(word[:10]) < 10**9):
        raise InputError(f"{path}, line {number}: {word!r} is no length; positive whole numbers are needed")
      lengths.append(int(word))
  if not lengths:
    raise InputError(f"{path}: no lengths in it")
  return path.name, np.array(lengths), max_length or 128


def draw(out: Path) -> None:
  """Prints how long the tasks' texts are and how much of a batch is padding, and draws it to `out`."""
  import matplotlib

  matplotlib.use("Agg")  # before pyplot: a run has no screen
  import matplotlib.pyplot as plt

  names = list(json.loads(LENGTHS.read_text(encoding="utf-8")))
  figure, axes = plt.subplots(2, 2, figsize=(10, 6), layout="constrained")
  handles = {}
  print(f"{'':8}{'rows':>6}{'mean':>7}{'50%':>6}{'90%':>6}{'99%':>6}{'longest':>9}   padding at one length, in buckets")
  for axis, name in zip(axes.flat, names, strict=True):
    title, lengths, max_length = read_lengths(name)
    cut = np.minimum(lengths, max_length)
    buckets = bucket_lengths(cut)
    at_maximum, bucketed = 1 - cut.mean() / max_length, 1 - cut.mean() / in_buckets(cut, buckets).mean()
    percentiles = "".join(f"{value:6.0f}" for value in np.percentile(lengths, (50, 90, 99)))
    print(
      f"{title:8}{len(lengths):6}{lengths.mean():7.1f}{percentiles}{lengths.max():9}   "
      f"{at_maximum:.0%} at {max_length}, {bucketed:.0%} at {', '.join(map(str, buckets))}"
    )
    axis.hist(np.minimum(lengths, 136), bins=np.arange(0, 137, 2), color="#4063a8")
    for bucket in buckets:
      in_bucket = axis.axvline(bucket, color="#d9742b", linestyle="--", linewidth=1.2, zorder=3)
    for maximum in (64, 128):
      line = axis.axvline(maximum, color="black" if maximum == max_length else "#aaaaaa", linewidth=1.5)
      handles |= {"padded to by the original" if maximum == max_length else "other tasks' length": line}
    handles["our buckets"] = in_bucket
    axis.set(title=f"{title}: padding is {at_maximum:.0%} at {max_length}, {bucketed:.0%} in buckets", xlim=(0, 138))
  figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles), frameon=False)
  figure.supxlabel("tokens of a training row (the last bar: all that are longer)", fontsize="medium")
  figure.supylabel("rows", fontsize="medium")
  out.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(out, dpi=110)
  plt.close(figure)
  print(f"The picture is {out}")


def in_buckets(lengths: np.ndarray, buckets: tuple[int, ...]) -> np.ndarray:
  """Returns the length that each is padded to."""
  return np.asarray(buckets)[np.searchsorted(buckets, lengths)]

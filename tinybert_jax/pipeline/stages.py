"""Stage folders: finished or not there, reused when made from the same inputs, and never lost half-way."""

import contextlib
import json
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from tinybert_jax.data import fingerprint
from tinybert_jax.data.ragged import Ragged
from tinybert_jax.distillation.objectives import Params
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, read_json
from tinybert_jax.models.directories import (
  clear_leftovers,
  make_directory,
  remove_directory,
  replace_directory,
  replace_file,
)
from tinybert_jax.models.heads import SEQUENCES, Head, TaskModel
from tinybert_jax.models.model_card import ModelCard
from tinybert_jax.models.pretrained import Pretrained, save_pretrained
from tinybert_jax.models.tokenizer_type import Tokenizer
from tinybert_jax.tasks.task import Logits
from tinybert_jax.training import hosts

RECORD = "stage.json"
INPUTS = "inputs.json"  # of work under way


# Of what `stage.json` keeps about a model, and the seconds that it took.
Card = Callable[[Mapping[str, Any], float], ModelCard]


class Made(NamedTuple):
  """What a stage made: a model, and what is to be kept about it in `stage.json`."""

  config: EncoderConfig
  params: Params
  about: Mapping[str, Any]


class Finished(NamedTuple):
  """A stage folder's content.

  Attributes:
    model: the module.
    params: its parameters.
    fingerprint: of the model.
    record: `stage.json`.
  """

  model: TaskModel
  params: Params
  fingerprint: str
  record: dict[str, Any]

  def pretrained(self) -> Pretrained:
    """Returns the same as a loaded model."""
    return Pretrained(self.model.config, dict(self.params), ())


def run(
  folder: Path,
  inputs: Mapping[str, Any],
  make: Callable[[Path], Made],
  tokenizer: Tokenizer,
  description: str,
  card: Card | None = None,
  dtype: DTypeLike = jnp.float32,
  head: Head = SEQUENCES,
) -> Finished:
  """Returns the stage in `folder` of a model with this head, made now if it is not there or was made from other inputs.

  The arguments and errors are those of `build_model`; the stage computes in `dtype` from then on.
  """
  build_model(folder, inputs, make, tokenizer, description, card, save=head.save)
  return load(folder, inputs["task"], dtype, head)


def build_model(
  folder: Path,
  inputs: Mapping[str, Any],
  make: Callable[[Path], Made],
  tokenizer: Tokenizer,
  description: str,
  card: Card | None = None,
  *,
  save: Callable[..., None] = save_pretrained,
) -> None:
  """Sees to it that `folder` holds the model of a stage made from these inputs; see `build`.

  The folder is a Hugging Face directory with the log of its training in `training/`.

  Args:
    folder: see `build`.
    inputs: likewise.
    make: makes the model, working in the directory that it is given.
    tokenizer: saved with it.
    description: for the model card.
    card: what else that tells.
    save: writes the directory, with the arguments of `save_pretrained`.
  """

  def make_and_write(work: Path) -> Callable[[Path], Mapping[str, Any]]:
    start = time.perf_counter()
    made = make(work)
    told = card(made.about, time.perf_counter() - start) if card else None

    def write(new: Path) -> Mapping[str, Any]:
      save(new, made.config, made.params, tokenizer=tokenizer, description=description, card=told)
      shutil.copytree(work, new / "training", ignore=shutil.ignore_patterns("checkpoints", INPUTS))
      return made.about

    return write

  build(folder, inputs, make_and_write)


def build(folder: Path, inputs: Mapping[str, Any], make: Callable[[Path], Callable[[Path], Mapping[str, Any]]]) -> None:
  """Sees to it that `folder` holds a stage made from these inputs, with `stage.json`: makes it, or finds it there.

  The folder is written beside its place and put there when complete, so what was there before stays until then. Work
  under way is in `<folder>.unfinished`. Of several processes all call this and make it, and the first writes.

  Args:
    folder: its name is the stage's, its parent's name the task's.
    inputs: JSON values on which the result depends; "task" and "stage" are among them.
    make: does the work in the directory that it is given, and returns what writes the stage's files to another one
      and gives what `stage.json` keeps about them.

  Raises:
    InputError: the folder is another task's, or was not made here.
  """
  inputs = json.loads(json.dumps(inputs))
  hosts.on_first(lambda: clear_leftovers(folder))
  if hosts.first_says(lambda: _is_there(folder, inputs)):
    hosts.on_first(lambda: _clear_work(folder, inputs))
    return
  hosts.on_first(lambda: _work_directory(folder, inputs))
  work, start = unfinished(folder), time.perf_counter()
  write = make(work)
  seconds = time.perf_counter() - start

  def put() -> None:
    with replace_directory(folder) as new:
      record = {"inputs": inputs, **write(new), "seconds": round(seconds, 3)}
      (new / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    remove_directory(work)
    score = f"score {record['score']:.4f}, " if "score" in record else ""
    print(f"{'':13} {score}{seconds:.0f} s; it is in {folder}", flush=True)

  hosts.on_first(put)


def _is_there(folder: Path, inputs: Mapping[str, Any]) -> bool:
  """Whether the folder holds the stage of these inputs; says so, or why it is made again."""
  name = folder.name
  if not holds_anything(folder):
    print(f"{name:13} …", flush=True)
    return False
  before = read_record(folder, inputs["task"])["inputs"]
  if before == inputs:
    print(f"{name:13} reused from {folder}", flush=True)
    return True
  print(f"{name:13} done again: {_changes(before, inputs)}", flush=True)
  return False


def _clear_work(folder: Path, inputs: Mapping[str, Any]) -> None:
  """Removes the work of a finished stage, which a process that was killed as it ended has left."""
  if is_made_from(unfinished(folder), inputs):
    remove_directory(unfinished(folder))


def holds_anything(folder: Path) -> bool:
  """Whether a folder is there and not empty; a user may have made it, or a link to it, beforehand."""
  return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def refuse_older_run(directory: Path) -> None:
  """Raises InputError where `directory` holds the checkpoints of a run by version 0.1, which had them there."""
  if (directory / "checkpoints").is_dir():
    raise InputError(
      f"{directory}: holds a run of version 0.1, which this one does not go on with; move it, or give another --out"
    )


def load(folder: Path, task: str, dtype: DTypeLike = jnp.float32, head: Head = SEQUENCES) -> Finished:
  """Returns the finished stage in `folder`, to compute in `dtype`; InputError where there is none of this task."""
  record = read_record(folder, task)
  loaded = head.load(folder, finished=True)
  return Finished(head.module(loaded.config, dtype), loaded.params, fingerprint.of_model(*loaded[:2]), record)


def read_record(folder: Path, task: str) -> dict[str, Any]:
  """Returns a stage folder's `stage.json`; InputError where it is none of this task."""
  if not holds_anything(folder):
    raise InputError(f"{folder}: not there yet; run that stage first (--stages {folder.name} …)")
  if not (folder / RECORD).is_file():
    raise InputError(f"{folder}: holds no {RECORD}, so it was not made by this program; move it, or give another --out")
  record = read_json(folder / RECORD)
  if not isinstance(record.get("inputs"), dict):
    raise InputError(f"{folder / RECORD}: does not tell what the stage was made from; move {folder} away")
  found = record["inputs"].get("task")
  if found != task:
    raise InputError(f"{folder}: holds a stage of the task {found}, not of {task}; move it, or give another --out")
  return record


def made_from_rows(folder: Path, task: str) -> str:
  """Returns the fingerprint of the training rows that the stage in `folder` was made from; errors as `read_record`."""
  return read_record(folder, task)["inputs"]["training_rows"]


def unfinished(folder: Path) -> Path:
  """Returns the directory of the work under way for a stage."""
  return folder.with_name(f"{folder.name}.unfinished")


def is_made_from(directory: Path, inputs: Mapping[str, Any]) -> bool:
  """Whether a stage folder, or the directory of work under way, is there and was begun with these inputs."""
  inputs = json.loads(json.dumps(inputs))
  for name in (RECORD, INPUTS):
    if (directory / name).is_file():
      found = read_json(directory / name)
      return (found["inputs"] if name == RECORD else found) == inputs
  return False


def stored_logits(path: Path, made_from: str, compute: Callable[[], Logits]) -> Logits:
  """Returns the logits in the file `path`, computed and written first where it has none of that fingerprint."""
  # The first process decides for all, as it may have written the file before the others look.
  if hosts.first_says(lambda: _holds_logits(path, made_from)):
    with np.load(path) as file:
      return Ragged(file["logits"], file["lengths"]) if "lengths" in file else file["logits"]
  logits = compute()
  arrays: dict[str, Any] = {"logits": logits}
  if isinstance(logits, Ragged):
    arrays = {"logits": logits.values, "lengths": logits.lengths}

  def write() -> None:
    with replace_file(path) as new, new.open("wb") as file:
      np.savez(file, **arrays, made_from=made_from)

  hosts.on_first(write)
  return logits


def _holds_logits(path: Path, made_from: str) -> bool:
  """Whether the file has the logits of that fingerprint; says so where it has others."""
  if not path.is_file():
    return False
  with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path) as file:
    if str(file["made_from"]) == made_from and file["logits"].ndim:
      return True
  print(f"{'':13} {path.name}: of another teacher or other data, or damaged; computed anew", flush=True)
  return False


def _work_directory(folder: Path, inputs: Mapping[str, Any]) -> Path:
  """Returns the directory of the work under way; that of work from other inputs is put aside."""
  work = unfinished(folder)
  note = work / INPUTS
  new = note.with_suffix(".new")
  if work.exists() and set(work.iterdir()) - {new}:  # what a full disk left of the note alone is no work
    before = read_json(note) if note.is_file() else {}
    if before == inputs:
      return work
    number = next(n for n in range(1, 1_000_000) if not work.with_name(f"{work.name}-{n}").exists())
    aside = work.with_name(f"{work.name}-{number}")
    work.rename(aside)
    print(f"{folder.name:13} an unfinished run is kept in {aside}: {_changes(before, inputs)}", flush=True)
  make_directory(work)
  new.write_text(json.dumps(inputs, indent=2) + "\n", encoding="utf-8")
  new.replace(note)  # other processes may read it at any time
  return work


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
  before, now = ({"dtype": "float32", **inputs} for inputs in (before, now))
  names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
  return ", ".join(_change(name.replace("_", " "), before.get(name), now.get(name)) for name in names)


def _change(name: str, before: Any, now: Any) -> str:
  is_digest = [isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) for value in (before, now)]
  if any(is_digest) and None in (before, now):
    return f"{name} {'added' if before is None else 'left out'}"
  if all(is_digest):
    return f"{name} changed"  # fingerprints tell a reader nothing
  return f"{name} was {before} and is {now}"

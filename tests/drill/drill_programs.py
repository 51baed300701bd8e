"""The programs that the drill interrupts, with the options of a short run on its small inputs."""

import dataclasses
import itertools
import shlex
import shutil
import time
from pathlib import Path

from processes import Started

_HERE = Path(__file__).parent
_STAGES = "".join(
  f" --{stage}-epochs 3 --{stage}-batch-size 8 --{stage}-learning-rate 1e-2" for stage in ("intermediate", "prediction")
)
_TEACHER = " --teacher-epochs 3 --teacher-batch-size 8 --teacher-learning-rate 1e-2"
_STUDENT = " --student-layers 1 --student-width 12 --dtype float32"
_LEARN = "--pretrained encoder" + _STUDENT + _TEACHER + _STAGES
_OF_ENCODER = "--pretrained encoder --student student.json --dtype float32"


@dataclasses.dataclass(frozen=True)
class Program:
  """A command with its options.

  Attributes:
    name: in reports.
    command: of `tinybert_jax.cli`.
    options: as in a shell, in a folder with the small inputs; the result goes to `out`.
    out: what --out is given.
  """

  name: str
  command: str
  options: str
  out: str = "out"

  def __str__(self):
    return self.name

  def start(self, folder, *more, devices=1):
    """Starts it in a folder, in a process of its own."""
    words = [*shlex.split(self.options), "--cpu", *more, "--out", self.out]
    if self.command in _WITHOUT_HOSTS:
      words.remove("--cpu")
    return Started(_HERE / "eager_saves.py", self.command, *words, cwd=folder, devices=devices)


_WITHOUT_HOSTS = ("trim", "export")
GENERAL = Program(
  "general",
  "general",
  "--pretrained mlm --student general.json --corpus corpus.txt --cache corpus --held-out 0.1 --max-length 32 "
  "--batch-size 16 --steps 40 --learning-rate 1e-2 --dtype float32 --log-every 5 --evaluate-every 10 "
  "--checkpoint-every 5",
)
PROGRAMS = (
  GENERAL,
  Program(
    "glue",
    "glue",
    f"--task rte --data glue --no-augment --stages teacher intermediate prediction labels evaluate {_OF_ENCODER}"
    + _TEACHER
    + _STAGES,
  ),
  Program("augment", "augment", "--task rte --data glue --mlm mlm --glove glove.txt --copies 3 --batch-size 16"),
  Program("classification", "distil", f"{_LEARN} --train train.csv --dev dev.csv --unlabelled more.csv"),
  Program("multi-label", "distil", f"{_LEARN} --train several.csv --label a b --threshold tuned"),
  Program("regression", "distil", f"{_LEARN} --train numbers.csv"),
  Program("tokens", "distil", f"{_LEARN} --kind tokens --train tagged.conll --max-length 12 --doc-stride 4"),
  Program("spans", "distil", f"{_LEARN} --kind spans --train questions.json --max-length 14 --doc-stride 3"),
  Program("embeddings", "distil", f"--kind embeddings --teacher sentences --unlabelled lines.txt{_STUDENT}{_STAGES}"),
  Program(
    "ranking",
    "distil",
    f"--kind ranking --teacher scorer --unlabelled ranked.jsonl --dev ranked-dev.jsonl{_STUDENT}{_STAGES}",
  ),
  Program(
    "squad",
    "squad",
    f"{_OF_ENCODER} --data squad --max-length 16 --doc-stride 3 --batch-size 8 --teacher-epochs 1 "
    "--intermediate-epochs 2 --prediction-epochs 2",
  ),
  Program(
    "mlm",
    "mlm",
    "--pretrained mlm --text sentences.txt --body --max-length 32 --epochs 4 --batch-size 8 --dtype float32",
  ),
  Program("trim", "trim", "--model mlm --text sentences.txt --vocabulary 50"),
  Program("export", "export", "--model teacher"),
  Program("predict", "predict", "--model teacher --data dev.csv --dtype float32", out="out/answers.jsonl"),
)


class Undisturbed:
  """Runs that nothing interrupts, one of each program, which the others are compared with."""

  def __init__(self, root, inputs):
    self._root, self._inputs = root, inputs
    self._seconds, self._numbers = {}, itertools.count(1)

  def of(self, program):
    """Returns the folder of a run from beginning to end, and its seconds."""
    folder = self._root / program.name
    if program not in self._seconds:
      shutil.copytree(self._inputs, folder)
      begun = time.monotonic()
      finish(program.start(folder))
      self._seconds[program] = time.monotonic() - begun
    return folder, self._seconds[program]

  def fresh(self, program):
    """Returns a new folder with the inputs, of the same name, as results may tell it."""
    folder = self._root / f"{next(self._numbers)}" / program.name
    shutil.copytree(self._inputs, folder)
    return folder


def finish(process):
  """Waits for the end of a run that nothing interrupts any more."""
  _, error = process.communicate()
  assert process.returncode == 0, error

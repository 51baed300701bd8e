"""Peak resident memory of each program: a process of its own, on generated models and data of the usual shapes."""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.benchmark import generated
from experiments.benchmark.options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import PRESETS, EncoderConfig, load_config
from tinybert_jax.training import precision

MINILM = EncoderConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                       intermediate_size=1536, max_position_embeddings=512)  # fmt: skip
_ROOT = Path(__file__).parents[2]
_SPAN_LENGTH = 384  # tokens of a question with its text, as usual for SQuAD
_CORPUS_BYTES = 20_000_000
_INTERVAL = 0.2  # seconds between two looks at a program's processes
# A process counts what it was forked from, so the program is started by one that has loaded nothing.
_START = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""

_GENERAL = (
  "general --corpus corpus.txt --cache corpus --pretrained bert --student {student} --out general "
  "--max-length {length} --batch-size {batch} --steps {steps} {device}"
)
_MLM = "mlm --text texts.txt --pretrained bert --max-length {length} --batch-size {batch} --epochs 1 {device}"
_GLUE = (
  "glue --task mrpc --data . --pretrained bert --student {student} --no-augment --no-leaderboard --out glue "
  "--max-length {length} --teacher-batch-size {batch} --intermediate-batch-size {batch} "
  "--prediction-batch-size {batch} --teacher-epochs 1 --intermediate-steps {steps} --prediction-steps {steps} {device} "
  "--stages"
)
_DISTIL = (
  "distil --intermediate-batch-size {batch} --prediction-batch-size {batch} --intermediate-epochs 1 "
  "--prediction-epochs 1 {device}"
)
_TINYBERT = "--student {student} --student-from teacher"
_PAIRS = "--text first --pair second"
_EXPORT = "export --model classes"
# Under its name each command, in a folder of what `generated` writes, and the models that it reads or writes. Some read
# what one before them wrote.
_PROGRAMS = {
  f"general --prepare, {_CORPUS_BYTES / 1e6:g} MB of text": (f"{_GENERAL} --prepare", ()),
  "general": (_GENERAL, ("bert", "general/model")),
  "mlm": (f"{_MLM} --out mlm", ("bert",)),
  "mlm --body": (f"{_MLM} --out body --body", ("bert",)),
  "augment": ("augment --text few.txt --mlm bert --copies 3 --out augmented {device}", ("bert",)),
  "glue, stage teacher": (f"{_GLUE} teacher", ("glue/MRPC/teacher",)),
  **{
    f"glue, stage {stage}": (f"{_GLUE} {stage}", ("glue/MRPC/teacher", f"glue/MRPC/{student}"))
    for stage, student in {"intermediate": "intermediate", "prediction": "prediction", "evaluate": "prediction"}.items()
  },
  "distil": (
    f"{_DISTIL} {_TINYBERT} --teacher classes --unlabelled train.csv --dev dev.csv {_PAIRS} "
    "--max-length {length} --out distilled",
    ("classes", "distilled/student"),
  ),
  "distil --kind tokens": (
    f"{_DISTIL} {_TINYBERT} --kind tokens --teacher tokens --train train.conll --dev dev.conll --max-length {{length}} "
    "--doc-stride {stride} --out tagger",
    ("tokens", "tagger/student"),
  ),
  f"distil --kind spans, {_SPAN_LENGTH} tokens": (
    f"{_DISTIL} {_TINYBERT} --kind spans --teacher spans --train train.json --dev dev.json --out reader",
    ("spans", "reader/student"),
  ),
  "distil --kind embeddings": (
    f"{_DISTIL} --kind embeddings --teacher minilm --unlabelled texts.txt --dev scored.csv "
    f"{_PAIRS} --student-layers 3 --max-length {{length}} --out embeddings",
    ("minilm", "embeddings/student"),
  ),
  "distil --kind ranking": (
    f"{_DISTIL} --kind ranking --teacher ranker --unlabelled train.jsonl --dev dev.jsonl --student-layers 3 "
    "--max-length {length} --out reranker",
    ("ranker", "reranker/student"),
  ),
  "predict": (f"predict --model classes --data dev.csv {_PAIRS} --out labels.csv {{device}}", ("classes",)),
  "predict, embeddings": ("predict --model minilm --data texts.txt --out embeddings.npy {device}", ("minilm",)),
  "export": (f"{_EXPORT} --out onnx", ("classes",)),
  "export --int8": (
    f"{_EXPORT} --out int8 --int8 --calibrate dev.csv {_PAIRS} --max-loss 100",
    ("classes",),
  ),
  "trim": ("trim --model bert --text texts.txt --vocabulary 2000 --out trimmed", ("bert", "trimmed")),
}  # fmt: skip


class Peak(NamedTuple):
  """Bytes of resident memory at its height.

  Attributes:
    program: of the program's process, as the kernel counts it.
    together: of it and all processes that it started, with what they share counted once; seen a few times a second.
  """

  program: int
  together: int


def measure(options: Options) -> dict[str, Peak]:
  """Prints and returns the peak memory of each program, with random weights made for it; compiled anew in each."""
  if not sys.platform.startswith("linux"):
    raise InputError("--suite memory reads the processes' memory where Linux tells it")
  teacher, length = load_config(options.model[0]), options.length or 128
  if length > teacher.longest:
    raise InputError(f"--length {length}: the models have {teacher.longest} positions")
  batch_size, steps, student = options.batch_size or 32, options.steps or 2, options.model[-1]
  given = {
    "length": length,
    "batch": batch_size,
    "steps": steps,
    "stride": length // 4,
    "student": student if student in PRESETS else Path(student).absolute(),
    "device": f"--cpu --no-compile-cache --dtype {options.dtype}",
  }
  print(
    f"Batches of {batch_size} × {length} tokens, {precision.choose(options.dtype)}, {steps} steps\n\n"
    "| program | weights, GiB | peak, GiB | peak : weights |\n|---|---|---|---|",
    flush=True,
  )
  peaks = {}
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    known = generated.known_words(teacher.vocab_size)
    generated.write_models(folder, teacher, MINILM, known)
    generated.write_data(folder, known, steps * batch_size, batch_size, length, min(_SPAN_LENGTH, teacher.longest))
    generated.write_corpus(folder / "corpus.txt", known, _CORPUS_BYTES)
    for program, (command, models) in _PROGRAMS.items():
      words = [sys.executable, "-m", "tinybert_jax.cli.main", *shlex.split(command.format_map(given))]
      peaks[program] = peak_memory(words, folder)
      print(_row(program, [folder / model for model in models], peaks[program]), flush=True)
  return peaks


def _row(name: str, models: Sequence[Path], peak: Peak) -> str:
  weights = [sum(file.stat().st_size for file in model.glob("*.safetensors")) for model in models]
  by_model = " + ".join(f"{size / 2**30:.2f}" for size in weights)
  several = f", with its processes {peak.together / 2**30:.2f}" if peak.together > peak.program else ""
  share = f"{peak.program / sum(weights):.1f}" if weights else ""
  return f"| {name} | {by_model} | {peak.program / 2**30:.2f}{several} | {share} |"


def peak_memory(command: Sequence[str], folder: Path) -> Peak:
  """Runs a command in a folder, to its end, and returns its peak; InputError with its last lines if it fails."""
  with open(folder / "output.log", "w+", encoding="utf-8") as output:
    starter = subprocess.Popen(
      [sys.executable, "-S", "-c", _START, *command],
      stdout=subprocess.PIPE,
      stderr=output,
      cwd=folder,
      env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(_ROOT)},
      text=True,
    )
    together = 0
    while starter.poll() is None:
      time.sleep(_INTERVAL)
      processes = list(_started_by(starter.pid))
      if len(processes) > 1:
        together = max(together, sum(map(_proportional, processes)))
    exit_code, kibibytes = map(int, starter.communicate()[0].split())
    if exit_code:
      output.seek(0)
      raise InputError(f"{' '.join(command)}: exit code {exit_code}\n{''.join(output.readlines()[-20:])}")
  return Peak(1024 * kibibytes, max(1024 * kibibytes, together))


def _started_by(process: int) -> Iterator[int]:
  """Yields the processes that a process started, and those that they started."""
  try:
    threads = os.listdir(f"/proc/{process}/task")
    children = [
      child for thread in threads for child in Path(f"/proc/{process}/task/{thread}/children").read_text().split()
    ]
  except OSError:  # it has ended
    return
  for child in children:
    yield int(child)
    yield from _started_by(int(child))


def _proportional(process: int) -> int:
  """Returns the bytes of a process, of shared pages its share; 0 for one that has ended."""
  try:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
  except OSError:
    return 0
  return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

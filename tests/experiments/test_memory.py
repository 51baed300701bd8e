"""The benchmark's peaks of memory: of a process, of those that it starts, and of every program on tiny models."""

import dataclasses
import json
import sys

import pytest

from experiments.benchmark import memory
from experiments.benchmark.options import Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig, config_to_dict

HELD = 200 * 2**20
HOLDS = f"import time; held = b'x' * {HELD}; time.sleep(1)"


def test_the_peak_is_that_of_the_process_and_of_those_it_starts(tmp_path):
  alone = memory.peak_memory([sys.executable, "-S", "-c", HOLDS], tmp_path)
  assert HELD < alone.program == alone.together < 1.2 * HELD
  starts = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {HOLDS!r}])"
  both = memory.peak_memory([sys.executable, "-S", "-c", f"held = b'x' * {HELD}; {starts}"], tmp_path)
  assert HELD < both.program < 1.2 * HELD and 2 * HELD < both.together < 2.4 * HELD
  with pytest.raises(InputError, match=r"exit code 3\nno such thing"):
    memory.peak_memory([sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"], tmp_path)


@pytest.mark.drill
def test_the_memory_suite_runs_every_program(tmp_path, monkeypatch, capsys):
  teacher = EncoderConfig(
    vocab_size=400, hidden_size=24, num_hidden_layers=4, num_attention_heads=2, intermediate_size=48,
    max_position_embeddings=64,
  )  # fmt: skip
  student = dataclasses.replace(teacher, num_hidden_layers=2, hidden_size=12)
  monkeypatch.setattr(memory, "MINILM", dataclasses.replace(teacher, num_hidden_layers=6))
  monkeypatch.setattr(memory, "_CORPUS_BYTES", 100_000)
  paths = [tmp_path / "teacher.json", tmp_path / "student.json"]
  for path, config in zip(paths, (teacher, student), strict=True):
    path.write_text(json.dumps(config_to_dict(config)))
  peaks = memory.measure(Options(suite="memory", model=tuple(map(str, paths)), batch_size=8, length=32))
  assert all(2**27 < peak.program <= peak.together < 2**32 for peak in peaks.values())
  assert capsys.readouterr().out.count("\n| ") == 1 + len(peaks)

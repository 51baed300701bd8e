import importlib.util
import json
import subprocess
import sys

import pytest

from experiments.compile import CHIPS, Options, check, collectives, roofline
from tinybert_jax.errors import InputError

# As the compiler writes them: a tuple with layouts and remarks, an operation in two halves, and a use of a result.
PROGRAM = """
  %all-reduce.28 = (f32[16]{0:T(128)S(1)}, /*index=1*/bf16[16,32]{1,0:T(8,128)(2,1)S(1)}, f32[]{:T(128)}) all-reduce(%a)
  %get-tuple-element.217 = f32[16]{0} get-tuple-element(%all-reduce.28), index=0, metadata={op_name="all-reduce("}
  %all-reduce.2 = pred[3]{0:T(256)} all-reduce(%b), channel_id=1
  %ag = (f32[4]{0}, f32[16]{0}) all-gather-start(%c), dimensions={0}
  %agd = f32[16]{0} all-gather-done(%ag)
"""


def test_collectives_are_counted_once_with_the_bytes_of_their_results():
  assert collectives(PROGRAM) == {
    "all-reduce": {"number": 2, "bytes": 16 * 4 + 16 * 32 * 2 + 4 + 3},
    "all-gather": {"number": 1, "bytes": 64},
  }
  assert collectives("%x = f32[2]{0} add(%a, %b)") == {}


def test_roofline_is_the_slower_of_flops_and_bytes():
  bound = roofline(197e10, 819e7 * 4, 256, CHIPS["v5e"])
  assert bound["flops_ms"] == pytest.approx(10)
  assert bound["bytes_ms"] == pytest.approx(40)
  assert bound["sequences_per_second"] == pytest.approx(256 / 0.04)


@pytest.mark.parametrize(
  ("options", "words"),
  [
    (Options(batch_size=0), "--batch-size 0"),
    (Options(topology="h100:8"), "--topology h100:8: no known chip"),
    (Options(chips=0), "--chips 0"),
    (Options(attention="fused", max_length=512), "--max-length 512: --attention fused"),
  ],
)
def test_a_wrong_option_is_named(options, words):
  with pytest.raises(InputError, match=words):
    check(options)


def test_without_libtpu_one_sentence_says_what_to_install(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(InputError, match=r"libtpu.*tinybert_jax\[tpu\]"):
    check(Options())


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_a_small_step_compiles_for_chips_that_are_not_there(tmp_path):
  shape = {"vocab_size": 100, "num_attention_heads": 2, "max_position_embeddings": 32}
  for name, width, layers in (("teacher", 32, 2), ("student", 16, 1)):
    config = {**shape, "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers}
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text(json.dumps(config))

  def run(topology, *options):
    # In a process of its own, which libtpu is loaded into.
    command = [sys.executable, "-m", "experiments.compile", "--topology", topology, "--json", tmp_path / "figures.json"]
    sizes = ["--teacher", tmp_path / "teacher", "--student", tmp_path / "student"]
    sizes += ["--batch-size", "8", "--max-length", "16"]
    return subprocess.run([*command, *sizes, *options], capture_output=True, text=True)

  result = run("v5e:2x2")
  assert result.returncode == 0, result.stderr
  assert "Nothing ran on a TPU" in result.stdout
  figures = json.loads((tmp_path / "figures.json").read_text())
  assert figures["chips"] == 4
  assert figures["flops"] > 0
  assert figures["bytes_accessed"] > figures["memory"]["arguments"] > figures["memory"]["donated"] > 0
  assert set(figures["collectives"]) == {"all-reduce"}
  fused = run("v5e:2x2", "--attention", "fused")
  assert fused.returncode == 0, fused.stderr
  figures = json.loads((tmp_path / "figures.json").read_text())
  assert set(figures["collectives"]) == {"all-reduce"}  # every chip runs the kernels on its own rows
  refused = run("v5e:3x3")
  assert refused.returncode == 2
  assert "--topology v5e:3x3: libtpu has no such arrangement" in refused.stderr.splitlines()[-1]

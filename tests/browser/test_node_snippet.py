"""The JavaScript that the pages show runs in Node.js, on a model that was exported here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from node_packages import install
from small_distil import greetings, write, write_teacher

import tinybert_jax.pipeline.web_page as web_page
from tinybert_jax import export_model

sys.path.append(str(Path(__file__).parents[1] / "docs"))
from markdown_pages import ROOT, blocks

pytestmark = pytest.mark.drill


def test_the_block_of_the_page_answers_as_the_model(tmp_path):
  (block,) = [one for one in blocks(ROOT / "docs" / "deploy.md") if one.language == "js"]
  pinned = json.loads(Path(web_page.__file__).with_name("package.json").read_text())["dependencies"]
  (tmp_path / "package.json").write_text(json.dumps({"private": True, "dependencies": pinned}))
  install(tmp_path)
  model = write_teacher(tmp_path / "models" / "my-bert")
  dev = write(tmp_path / "dev.csv", greetings(20))
  export_model(model, int8=True, calibrate=dev, max_loss=100)
  (tmp_path / "block.mjs").write_text(block.text)
  done = subprocess.run(["node", "block.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
  assert done.returncode == 0, done.stderr
  assert "label: 'greets'" in done.stdout or "label: 'not'" in done.stdout, done.stdout

"""The archive for GLUE's leaderboard, of folders that other versions wrote."""

import json
import zipfile

import pytest

from tinybert_jax.pipeline.leaderboard import zip_submission


@pytest.mark.parametrize("metrics", [{}, {"inputs": None}, {"inputs": {"seed": 0}}])
def test_files_that_no_evaluation_vouches_for_are_left_out_and_named(tmp_path, metrics):
  (tmp_path / "RTE").mkdir()
  (tmp_path / "RTE" / "RTE.tsv").write_text("index\tprediction\n")
  (tmp_path / "RTE" / "metrics.json").write_text(json.dumps(metrics))
  assert "RTE.tsv" in zip_submission(tmp_path)
  assert zipfile.ZipFile(tmp_path / "submission.zip").namelist() == []

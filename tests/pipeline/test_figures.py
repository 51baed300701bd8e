import struct

import numpy as np
import pytest
from matplotlib.axes import Axes

from tinybert_jax.pipeline import figures
from tinybert_jax.pipeline.figures import losses

HISTORY = [
  {"step": 10, "loss": 9.0, "hidden_1": 2.0, "hidden_10": 1.0, "hidden_2": 1.0, "embedding": 1.0, "grad_norm": 5.0},
  {"step": 20, "loss": 3.0, "hidden_1": 1.0, "hidden_10": 0.5, "hidden_2": 0.5, "embedding": 0.5, "seconds": 1.0},
  {"step": 20, "held_out_loss": 4.0, "held_out_hidden_1": 1.5, "held_out_embedding": 0.6, "score": -4.0},
]


def size(path):
  """The width and height of a PNG, in dots."""
  data = path.read_bytes()
  assert data.startswith(b"\x89PNG")
  return struct.unpack(">II", data[16:24])


def test_terms_are_grouped_before_their_number_in_the_order_of_layers():
  assert figures.loss_terms(HISTORY) == {"hidden": ["hidden_1", "hidden_2", "hidden_10"], "embedding": ["embedding"]}


def test_parts_of_a_term_are_no_layers(tmp_path, monkeypatch):
  legends = []
  monkeypatch.setattr(Axes, "legend", lambda *_, **options: legends.append(options.get("title")))
  parts = {f"{before}relations_{part}": 1.0 for before in ("", "held_out_") for part in ("queries", "keys", "values")}
  figures.general_losses(
    tmp_path / "losses.png", [{"step": 1, "loss": 5.0, "hidden_1": 1.0, "hidden_2": 1.0, "pooled_1": 1.0, **parts}]
  )
  assert legends == ["layer", None]


def test_stages_take_two_columns_at_most(tmp_path):
  scores = [{"step": 1, "loss": 1.0, "labels": 1.0}, {"step": 1, "accuracy": 0.5, "score": 0.5}]
  figures.stage_losses(tmp_path / "one.png", {"teacher": scores})
  figures.stage_losses(tmp_path / "five.png", {f"stage {number}": HISTORY for number in range(5)})
  (one_width, one_height), (width, height) = size(tmp_path / "one.png"), size(tmp_path / "five.png")
  assert width < 2 * one_width and height > 2.5 * one_height


def test_losses_that_diverged_or_are_zero_can_be_drawn(tmp_path):
  history = [{"step": 1, "loss": float("nan")}, {"step": 2, "loss": 0.0}, {"step": 3, "loss": float("inf")}]
  figures.stage_losses(tmp_path / "losses.png", {"teacher": history, "empty": []})
  size(tmp_path / "losses.png")


def test_a_long_history_is_drawn_as_means():
  steps, values = losses._thinned(range(1, 1001), [1.0, 3.0] * 500, most=100)
  assert len(steps) == 100 and values == pytest.approx(2.0)


def test_the_most_confused_of_many_classes_are_chosen():
  right = np.diag(np.full(30, 5))
  wrong = right.copy()
  wrong[3:28, 0] = 2
  metrics = {"confusion": {"labels": list("abc"), "teacher": right.tolist(), "student": wrong.tolist()}}
  assert figures.confused_classes(metrics) == list(range(3, 28))


def test_labels_with_mathematics_and_of_unknown_letters_can_be_drawn(tmp_path):
  labels = ["$a_{", "b$", "長い", "a" * 99]
  metrics = {"confusion": {"labels": labels, "teacher": np.eye(4).tolist(), "student": np.zeros((4, 4)).tolist()}}
  figures.confusion(tmp_path / "confusion.png", metrics)
  width, height = size(tmp_path / "confusion.png")
  assert width > height


def test_general_and_masked_losses_and_attention(tmp_path):
  figures.general_losses(tmp_path / "general.png", HISTORY)
  figures.masked_losses(tmp_path / "masked.png", HISTORY, 10)
  probabilities = dict.fromkeys(("teacher", "fresh", "student"), np.full((2, 3, 3), 1 / 3))
  maps = figures.AttentionMaps(["a", "$", "c"], probabilities, dict.fromkeys(probabilities, (1, 2)), 1)
  figures.attention_maps(tmp_path / "attention.png", maps)
  assert all(min(size(path)) > 300 for path in tmp_path.iterdir())

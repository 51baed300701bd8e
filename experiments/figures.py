"""Pictures of runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # before pyplot: a run has no screen

import jax
import matplotlib.pyplot as plt
import numpy as np

from tinybert_jax.distillation.objectives import Params
from tinybert_jax.models.encoder import SequenceClassifier

TEACHER, STUDENT, PLAIN = "#4063a8", "#d9742b", "#8a8a8a"
History = Sequence[Mapping[str, float]]
_TERMS = {"embedding": "embedding", "hidden": "hidden states", "attention": "attention scores"}


def loss_curves(path: Path, histories: Mapping[str, History]) -> None:
  """Draws each stage's losses against its steps, and the accuracy on dev where it was measured."""
  figure, axes = plt.subplots(1, len(histories), figsize=(3.6 * len(histories), 3.2), layout="constrained")
  for axis, (name, history) in zip(axes, histories.items(), strict=True):
    losses = [row for row in history if "loss" in row]
    terms = {"embedding": "embedding", "hidden": "hidden", "attention": "attention"} if name == "intermediate" else {}
    for term in terms or {"loss": "loss"}:
      values = [sum(value for key, value in row.items() if key.split("_")[0] == term) for row in losses]
      axis.plot([row["step"] for row in losses], values, label=term)
    axis.set(title=name.replace("_", " "), xlabel="step", yscale="log")
    scores = [row for row in history if "accuracy" in row]
    if scores:
      right = axis.twinx()
      right.plot([row["step"] for row in scores], [row["accuracy"] for row in scores], "o-", color=STUDENT)
      right.set(ylim=(min(0.85, *(row["accuracy"] for row in scores)), 1))
      right.set_ylabel("accuracy on dev", color=STUDENT)
      right.tick_params(axis="y", labelcolor=STUDENT)
    axis.legend(loc="upper right", frameon=False, fontsize="small")
  axes[0].set_ylabel("loss")
  _save(figure, path)


def accuracy_against_cost(path: Path, summary: Mapping) -> None:
  """Draws test accuracy against parameters and latency: teacher, student, and student without distillation."""
  teacher, student = summary["teacher"], summary["student"]
  plain = {**student, "accuracy": summary["student_without_distillation_accuracy"]}
  figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
  for axis, key, scale, label in (
    (axes[0], "parameters", 1e-6, "parameters, millions"),
    (axes[1], "latency_ms", 1, "latency, ms (batch 1, length 128)"),
  ):
    for side, color, name in (
      (teacher, TEACHER, "teacher"),
      (plain, PLAIN, "student, labels alone"),
      (student, STUDENT, "student, distilled"),
    ):
      axis.scatter(scale * side[key], 100 * side["accuracy"], s=90, color=color, label=name, zorder=3)
    axis.axhline(97.5 * teacher["accuracy"], color=TEACHER, linestyle=":", linewidth=1, label="97.5% of the teacher's")
    axis.set(xlim=(0, 1.1 * scale * teacher[key]), xlabel=label)
    axis.grid(alpha=0.3)
    axis.margins(y=0.2)
  axes[0].set_ylabel("test accuracy, %")
  axes[1].legend(frameon=False, loc="lower right")
  _save(figure, path)


def attention_maps(
  path: Path,
  rows: Sequence[tuple[str, SequenceClassifier, Params, int]],
  batch: Mapping[str, np.ndarray],
  tokens: Sequence[str],
) -> None:
  """Draws attention probabilities of the first four heads: a row for each (name, model, params, layer)."""
  heads = min(4, rows[0][1].config.num_attention_heads)
  size = (3.1 * heads, 3.2 * len(rows))
  figure, axes = plt.subplots(
    len(rows), heads, figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
  )
  for row, (name, model, params, layer) in enumerate(rows):
    scores = model.apply({"params": params}, batch, score_layers=(layer,)).attention_scores[0]
    probabilities = np.asarray(jax.nn.softmax(scores[0, :heads]))
    for head in range(heads):
      axis = axes[row, head]
      axis.imshow(probabilities[head], cmap="magma", vmin=0, vmax=probabilities.max())
      axis.set_title(f"{name}, layer {layer}, head {head + 1}", fontsize="small")
      axis.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize="x-small")
      axis.set_yticks(range(len(tokens)), tokens, fontsize="x-small")
  _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
  figure.savefig(path, dpi=110)
  plt.close(figure)


def masked_losses(path: Path, history: History, steps_per_epoch: int) -> None:
  """Draws a masked language model's losses, in training and on what is held out, against the passes."""
  figure, axis = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
  for name, label, style in (
    ("loss", "training, mean over batches", "-"),
    ("held_out_loss", "held out, mean over tokens", "o-"),
  ):
    rows = [row for row in history if name in row]
    color = STUDENT if name == "held_out_loss" else PLAIN
    axis.plot(
      [row["step"] / steps_per_epoch for row in rows], [row[name] for row in rows], style, color=color, label=label
    )
  axis.set(xlabel="epoch", ylabel="cross-entropy of masked tokens, nats")
  axis.grid(alpha=0.3)
  axis.legend(frameon=False)
  _save(figure, path)


def general_losses(path: Path, history: History) -> None:
  """Draws each layer's losses against the steps: lines in training, dots on held-out text."""
  terms = sorted({name for row in history for name in row if name.split("_")[0] in _TERMS})
  figure, axes = plt.subplots(1, len(_TERMS), figsize=(3.9 * len(_TERMS), 3.4), layout="constrained")
  for axis, (kind, title) in zip(axes, _TERMS.items(), strict=True):
    names = [name for name in terms if name.split("_")[0] == kind]
    colors = plt.cm.viridis(np.linspace(0, 0.8, len(names)))
    for name, color in zip(names, colors, strict=True):
      for key, style in ((name, "-"), (f"held_out_{name}", "o")):
        rows = [row for row in history if key in row]
        label = f"layer {name.split('_')[1]}" if "_" in name and style == "-" else None
        axis.plot([row["step"] for row in rows], [row[key] for row in rows], style, color=color, label=label, ms=3.5)
    axis.set(title=title, xlabel="step", yscale="log")
    axis.grid(alpha=0.3)
    if len(names) > 1:
      axis.legend(frameon=False, fontsize="small")
  axes[0].set_ylabel("mean squared error (dots: held out)")
  _save(figure, path)

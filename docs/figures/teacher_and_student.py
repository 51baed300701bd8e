"""Draws the picture of teacher and student that the README and the site begin with.

python docs/figures/teacher_and_student.py $(python -m experiments.demo_data)     # one minute on two CPU cores

The numbers are those of docs/results.md: accuracies are means of three seeds. The attention is that of
notebooks/losses.ipynb: a student of 3 layers x 96, before and after 300 steps of distillation on two sentences.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.axes import Axes

from tinybert_jax import (
  Encoder,
  initialize,
  initialize_projections,
  intermediate_distillation,
  layer_map,
  load_pretrained,
  load_tokenizer,
  total_loss,
)

SENTENCES = (
  "The bank raised its interest rate after the central bank had done so.",
  "She sat on the bank of the river and watched the boats.",
)
STEPS = 300
TEACHER, STUDENT, LABELS = "#8d99ae", "#d1495b", "#e8b4bc"
BARS = (
  ("test accuracy, %", (95.7, 95.5, 94.3), "{:.1f}"),
  ("parameters, millions", (22.7, 1.0), "{:.1f}"),
  ("latency, ms (2 CPU cores)", (5.6, 0.4), "{:.1f}"),
)


def main(name: str) -> None:
  """Distils, draws, and writes the picture beside this file."""
  tokens, maps = attention_maps(name)
  plt.rcParams |= {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "font.family": "DejaVu Sans"}
  figure = plt.figure(figsize=(10.5, 6.4), layout="constrained", facecolor="white")
  above, below = figure.subfigures(2, 1, height_ratios=(1, 2.1))
  for axis, (title, values, form) in zip(above.subplots(1, 3), BARS, strict=True):
    draw_bars(axis, title, values, form)
  below.suptitle("which token (row) attends to which (column)", x=0.01, ha="left", fontsize=11, fontweight="bold")
  for axis, (title, scores) in zip(below.subplots(1, 3), maps.items(), strict=True):
    draw_attention(axis, title, scores, tokens, is_first=axis.get_subplotspec().colspan.start == 0)
  figure.savefig(Path(__file__).with_suffix(".png"), dpi=150, bbox_inches="tight", pad_inches=0.1)


def attention_maps(name: str) -> tuple[list[str], dict[str, np.ndarray]]:
  """Returns the first sentence's tokens, and the last layer's attention probabilities by model.

  They are of the head in which the teacher attends least to the tokens before and after the sentence.
  """
  tokenizer = load_tokenizer(name)
  config, teacher_params, _ = load_pretrained(name)
  student_config = dataclasses.replace(
    config, num_hidden_layers=3, hidden_size=96, intermediate_size=384, hidden_dropout_prob=0
  )
  teacher, student = Encoder(config), Encoder(student_config)
  layers = layer_map("uniform", 3, config.num_hidden_layers)
  batch = dict(tokenizer(list(SENTENCES), padding=True, return_tensors="np"))
  fresh = initialize(student, jax.random.key(0), kernels="glorot")
  params = {**fresh, "projections": initialize_projections(student_config, config, jax.random.key(1))}
  loss_fn, optimizer = intermediate_distillation(student, teacher, layers), optax.adam(2e-3)

  @jax.jit
  def step(params, state):
    gradient = jax.grad(lambda params: total_loss(loss_fn(params, teacher_params, batch, None)))(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state

  state = optimizer.init(params)
  for _ in range(STEPS):
    params, state = step(params, state)
  params.pop("projections")
  length = int(batch["attention_mask"][0].sum())

  def last_layer(model, params):
    outputs = model.apply({"params": params}, batch, score_layers=(model.config.num_hidden_layers,))
    return np.asarray(jax.nn.softmax(outputs.attention_scores[0][0, :, :length, :length]))

  theirs = last_layer(teacher, teacher_params)
  head = int(theirs[:, 1:-1, [0, -1]].sum(axis=(1, 2)).argmin())
  return tokenizer.convert_ids_to_tokens(batch["input_ids"][0][:length]), {
    "teacher, layer 6 of 6": theirs[head],
    "student before, layer 3 of 3": last_layer(student, fresh)[head],
    "student distilled, layer 3 of 3": last_layer(student, params)[head],
  }


def draw_bars(axis: Axes, title: str, values: tuple[float, ...], form: str) -> None:
  """Draws the bars of teacher, student and, where there is a third value, the student on labels alone."""
  names = ("teacher", "student", "student, labels alone")[: len(values)]
  bars = axis.barh(names, values, color=(TEACHER, STUDENT, LABELS)[: len(values)], height=0.66)
  axis.bar_label(bars, [form.format(value) for value in values], padding=4, fontweight="bold")
  axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
  axis.set_xlim(0, 1.2 * max(values))
  axis.set_ylim(2.6 if len(values) == 3 else 1.6, -0.6)
  axis.set_xticks([])
  axis.spines["bottom"].set_visible(False)
  axis.tick_params(axis="y", length=0)


def draw_attention(axis: Axes, title: str, probabilities: np.ndarray, tokens: list[str], is_first: bool) -> None:
  """Draws which token (row) attends to which (column)."""
  axis.imshow(probabilities, cmap="magma", vmin=0)
  axis.set_title(title, loc="left", fontsize=11)
  axis.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=8)
  axis.set_yticks(range(len(tokens)), tokens if is_first else [], fontsize=8)
  axis.tick_params(length=0)
  axis.spines[:].set_visible(False)


if __name__ == "__main__":
  main(sys.argv[1])

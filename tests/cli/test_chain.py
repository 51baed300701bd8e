"""The whole chain on real text with small models: general distillation, augmentation, every stage of a task, reload."""

import csv
import dataclasses
import json

import jax
import numpy as np
import transformers
from sklearn.metrics import matthews_corrcoef

from experiments import demo_data
from tinybert_jax.cli.general import Options as GeneralOptions
from tinybert_jax.cli.general import main as distil_general
from tinybert_jax.cli.glue import main as distil_task
from tinybert_jax.cli.glue_options import Options as TaskOptions
from tinybert_jax.models.config import EncoderConfig, config_to_dict
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, initialize
from tinybert_jax.models.pretrained import load_pretrained, load_tokenizer, save_pretrained


def write_cola(folder, rows):
  """Writes news as CoLA's files: whether a text is about earnings."""
  folder.mkdir(parents=True)
  for name, part in (("train", rows[:96]), ("dev", rows[96:160])):
    lines = [f"r8\t{int(label == 'earn')}\t\t{text}" for text, label in part]
    (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
  lines = ["index\tsentence", *(f"{i}\t{text}" for i, (text, _) in enumerate(rows[160:170]))]
  (folder / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_from_text_to_a_task_student_that_other_tools_open(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 1)  # which compiles faster than eight
  tokenizer = load_tokenizer(demo_data.encoder_directory())
  config = EncoderConfig(
    vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
  )
  student = dataclasses.replace(config, hidden_size=24, num_hidden_layers=1, intermediate_size=48)
  params = initialize(MaskedLanguageModel(config), jax.random.key(0), kernels="glorot")
  save_pretrained(tmp_path / "bert", config, params, tokenizer=tokenizer)
  (tmp_path / "student.json").write_text(json.dumps(config_to_dict(student)))
  news = demo_data.reuters_r8("train")
  rows = [(" ".join(text.split()[:20]), label) for text, label in zip(news.texts, news.labels, strict=True)]
  rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:400]]
  (tmp_path / "text.txt").write_text("\n\n".join(text for text, _ in rows[170:]), encoding="utf-8")
  write_cola(tmp_path / "glue" / "CoLA", rows)

  general = GeneralOptions(
    corpus=(str(tmp_path / "text.txt"),), held_out=0.05, cache=tmp_path / "cache", pretrained=str(tmp_path / "bert"),
    student=str(tmp_path / "student.json"), out=tmp_path / "general", max_length=32, batch_size=32, epochs=2,
    learning_rate=3e-3,
  )  # fmt: skip
  distil_general(general)
  task = TaskOptions(
    task="cola", data=tmp_path / "glue", out=tmp_path / "out", pretrained=str(tmp_path / "bert"),
    student=str(tmp_path / "general" / "model"), copies=2, max_length=32, teacher_epochs=6,
    teacher_learning_rate=1e-2, intermediate_epochs=1, intermediate_learning_rate=3e-3, prediction_epochs=4,
    prediction_learning_rate=1e-2, dtype="float32",
  )  # fmt: skip
  distil_task(task)

  folder = tmp_path / "out" / "CoLA"
  start = load_pretrained(folder / "intermediate", Encoder).params
  assert start["embeddings"]["word_embeddings"]["embedding"].shape == (len(tokenizer), 24)
  assert json.loads((folder / "augmented" / "stage.json").read_text())["rows"] > 96
  metrics = json.loads((folder / "metrics.json").read_text())
  # The rule is easy: a word or two tell earnings from other news, so the chain teaches it if it works.
  assert metrics["teacher"]["score"] > 0.5 and metrics["student"]["score"] > 0.4
  with open(tmp_path / "glue" / "CoLA" / "dev.tsv", encoding="utf-8") as file:
    dev = [(row[3], int(row[1])) for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
  classify = transformers.pipeline("text-classification", model=str(folder / "student"))
  labels = {name: i for i, name in enumerate(("unacceptable", "acceptable"))}
  predicted = [labels[row["label"]] for row in classify([text for text, _ in dev])]
  assert matthews_corrcoef([label for _, label in dev], predicted) == metrics["student"]["matthews_correlation"]

"""The model card, read by the hub's own reader."""

import dataclasses
import re
import textwrap

import huggingface_hub
import jax
import numpy as np
import pytest
import torch
from huggingface_hub.repocard import metadata_load
from small_tokenizer import word_tokenizer

from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import Encoder, MaskedLanguageModel, SequenceClassifier, initialize
from tinybert_jax.models.model_card import ModelCard, is_own_card, model_card, without_paths
from tinybert_jax.models.pretrained import save_pretrained

CONFIG = EncoderConfig(
  vocab_size=7, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4, labels=("no", "yes")
)
FULL = ModelCard(
  base_model="google-bert/bert-base-uncased",
  dataset="RTE",
  split="validation",
  license="apache-2.0",
  language="en",
  metrics={"accuracy": np.float32(0.625), "f1": 0.5},
  teacher_metrics={"accuracy": 0.75},
  stages=(
    {"name": "teacher", "epochs": 3, "batch_size": 32, "learning_rate": 2e-5, "rows": 2490, "score": 0.75},
    {"name": "intermediate", "steps": 12000, "batch_size": 32, "learning_rate": np.float64(5e-5), "rows": 50000},
  ),
  data={"training rows": 2490, "augmented rows": 47510},
  notes=("3 rows were cut to 128 tokens.",),
  versions={"jax": "0.10.2"},
)


def write(tmp_path, *args, **options):
  (tmp_path / "README.md").write_text(model_card(*args, **options), encoding="utf-8")
  return huggingface_hub.ModelCard.load(tmp_path / "README.md"), metadata_load(tmp_path / "README.md")


def test_a_full_card_as_the_hub_reads_it(tmp_path):
  card, metadata = write(tmp_path, CONFIG, "BertForSequenceClassification", 1234, "A student.", FULL)
  assert metadata["library_name"] == "transformers" and metadata["pipeline_tag"] == "text-classification"
  assert (metadata["license"], metadata["language"]) == ("apache-2.0", "en")
  assert metadata["base_model"] == "google-bert/bert-base-uncased"
  assert {"tinybert", "distillation"} <= set(metadata["tags"])
  results = {result.metric_type: result for result in card.data.eval_results}
  assert results["accuracy"].metric_value == 0.625 and results["f1"].metric_value == 0.5
  assert (results["f1"].dataset_name, results["f1"].dataset_split) == ("RTE", "validation")
  assert results["f1"].task_type == "text-classification"
  for line in (
    "| metric | this model | teacher |",
    "| accuracy | 0.6250 | 0.7500 |",
    "| f1 | 0.5000 |  |",
    "| stage | epochs | steps | batch size | learning rate | rows | score |",
    "| teacher | 3 |  | 32 | 2e-05 | 2,490 | 0.75 |",
    "| intermediate |  | 12,000 | 32 | 5e-05 | 50,000 |  |",
    "- augmented rows: 47,510",
    "- 3 rows were cut to 128 tokens.",
    "Versions: jax 0.10.2",
  ):
    assert line in card.text.split("\n")


@pytest.mark.parametrize("architecture", ["BertModel", "BertForMaskedLM", "BertForSequenceClassification"])
def test_a_card_without_anything_known(tmp_path, architecture):
  _, metadata = write(tmp_path, CONFIG, architecture, 12)
  tags = {"BertModel": "feature-extraction", "BertForMaskedLM": "fill-mask"}
  assert metadata["pipeline_tag"] == tags.get(architecture, "text-classification")
  assert not {"license", "language", "base_model", "model-index"} & metadata.keys()


@pytest.mark.parametrize(
  "text", ['"', "'", "a: b", "- x\n---\ny", "# no", "日本 🙂", "{}[]", "\u2028\x07", "null", "|a|b|", "%", "\ud800"]
)
def test_no_text_breaks_the_metadata(tmp_path, text):
  changes = dict.fromkeys(("dataset", "split", "license", "language", "base_model"), text)
  full = dataclasses.replace(FULL, **changes, metrics={text: 0.5}, data={text: 1}, notes=(text,), versions={text: text})
  config = dataclasses.replace(CONFIG, labels=(text, f"{text}2"))
  params = initialize(SequenceClassifier(config), jax.random.key(0))
  save_pretrained(tmp_path, config, params, description=text, card=full)
  metadata = metadata_load(tmp_path / "README.md")
  assert metadata["pipeline_tag"] == "text-classification"
  if text != "\ud800":  # no text at all
    assert metadata["license"] == text
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["name"] == text
    assert huggingface_hub.ModelCard.load(tmp_path / "README.md").data.eval_results[0].metric_value == 0.5


def test_no_absolute_path_is_told(tmp_path):
  folder = tmp_path / "secret" / "teacher"
  folder.mkdir(parents=True)
  given = dataclasses.replace(FULL, base_model=str(folder), dataset=str(folder), notes=(f"from {folder}/x.csv",))
  card, metadata = write(tmp_path, CONFIG, "BertModel", 12, f"{folder} with a head, in ~/work/x.", given)
  assert "secret" not in str(card) and "work" not in str(card)
  assert metadata["base_model"] == "teacher" and "- made from: teacher" in card.text and "from x.csv" in card.text
  assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == "teacher"


@pytest.mark.parametrize(
  ("text", "left"),
  [
    ("see https://arxiv.org/abs/1909.10351, 3/4 and/or a / b", None),
    ("/home/me/a.csv and (/data/b), file:///x/c", "a.csv and (b), c"),
    (r"C:\Users\me\model", "model"),
    ("runs/out/model", None),
  ],
)
def test_paths_are_told_from_other_slashes(text, left):
  assert without_paths(text) == (text if left is None else left)


def test_a_snapshot_of_the_hub_is_named_by_its_id(tmp_path):
  cached = "/home/me/.cache/huggingface/hub/models--google-bert--bert-base-uncased/snapshots/86b5e09"
  _, metadata = write(tmp_path, CONFIG, "BertModel", 12, "", dataclasses.replace(FULL, base_model=[cached, "a/b"]))
  assert metadata["base_model"] == ["google-bert/bert-base-uncased", "a/b"]


def test_further_splits_and_the_hubs_names_of_metrics(tmp_path):
  full = dataclasses.replace(
    FULL, dataset_id="nyu-mll/glue", dataset_config="stsb", metrics={"pearson": 0.9, "macro_f1": 0.5},
    further_metrics={"test": {"spearman": 0.8}}, baseline_metrics={"pearson": 0.0},
  )  # fmt: skip
  card, metadata = write(tmp_path, CONFIG, "BertForSequenceClassification", 12, "", full)
  assert [(one.dataset_split, one.metric_type, one.metric_value) for one in card.data.eval_results] == [
    ("validation", "pearsonr", 0.9), ("validation", "f1", 0.5), ("test", "spearmanr", 0.8),
  ]  # fmt: skip
  assert {(one.dataset_type, one.dataset_config) for one in card.data.eval_results} == {("nyu-mll/glue", "stsb")}
  assert metadata["datasets"] == ["nyu-mll/glue"] and metadata["metrics"] == ["pearsonr", "f1", "spearmanr"]
  assert "| pearson | 0.9000 |  | 0.0000 |" in card.text and "Measured on RTE test." in card.text


def test_numbers_that_are_none_are_not_in_the_metadata(tmp_path):
  card = dataclasses.replace(FULL, metrics={"accuracy": float("nan"), "f1": 0.5})
  _, metadata = write(tmp_path, CONFIG, "BertModel", 12, "", card)
  assert [metric["type"] for metric in metadata["model-index"][0]["results"][0]["metrics"]] == ["f1"]


@pytest.mark.parametrize("kind", ["single_label_classification", "multi_label_classification"])
@pytest.mark.parametrize("model_class", [Encoder, MaskedLanguageModel, SequenceClassifier])
def test_the_lines_of_use_run(tmp_path, model_class, kind, capsys):
  config = dataclasses.replace(CONFIG, problem_type=kind, max_position_embeddings=8)
  save_pretrained(tmp_path, config, initialize(model_class(config), jax.random.key(0)), tokenizer=word_tokenizer())
  code = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)[1]
  assert len(textwrap.dedent(code).strip().split("\n")) == 5 and "truncation=True" in code
  long = code.replace("path/to/this/directory", str(tmp_path)).replace("A text.", "hello " * 20)
  names = {}
  exec(long, names)
  assert "grad_fn" in capsys.readouterr().out and isinstance(names["model"], torch.nn.Module)
  if model_class is SequenceClassifier:
    assert (".sigmoid()" in code) == (kind == "multi_label_classification")
    assert names["model"].config.problem_type == kind


def test_cards_of_versions_before_are_told_from_a_users():
  before = "# A\n\nMade with tinybert_jax, a JAX implementation of TinyBERT (https://arxiv.org/abs/1909.10351).\n"
  assert is_own_card(before) and is_own_card(model_card(CONFIG, "BertModel", 1))
  assert not is_own_card("# Mine\n\nMade with tinybert_jax.\n")

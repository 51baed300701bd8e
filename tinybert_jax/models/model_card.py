"""The `README.md` of a saved model directory: its model card."""

import contextlib
import dataclasses
import importlib.metadata
import math
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from tinybert_jax.models.config import EncoderConfig, ProblemType

Number = float | np.floating
# What tells a card of ours, which is rewritten with the model, from a text of the user's, which stays.
_OURS = "<!-- This card comes from tinybert_jax and is rewritten with the model; without this line it is kept. -->"
_OURS_BEFORE_CARDS_HAD_THAT = "a JAX implementation of TinyBERT (https://arxiv.org/abs/1909.10351).\n"
_PACKAGES = ("jax", "flax", "transformers", "tokenizers")
_PIPELINES = {
  "ForSequenceClassification": ("text-classification", "Text classification"),
  "ForTokenClassification": ("token-classification", "Token classification"),
  "ForQuestionAnswering": ("question-answering", "Question answering"),
  "ForMaskedLM": ("fill-mask", "Fill mask"),
  "Model": ("feature-extraction", "Feature extraction"),
}
_SENTENCES = ("sentence-similarity", "Sentence similarity")
# How a pipeline of transformers is made and called, of heads whose logits need more work to be read.
_CALLS = {
  "ForTokenClassification": (', aggregation_strategy="simple"', '"A text."'),
}
_USE_OF_SPANS = """## Use

```python
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/directory")
model = AutoModelForQuestionAnswering.from_pretrained("path/to/this/directory")
tokens = tokenizer("A question?", "A text.", return_tensors="pt")
marks = model(**tokens)
start, end = marks.start_logits.argmax(), marks.end_logits.argmax()
print(tokenizer.decode(tokens["input_ids"][0, start : end + 1]))
```"""
_RESULTS = {
  "single_label_classification": ".logits.softmax(-1)",
  "multi_label_classification": ".logits.sigmoid()",
  "regression": ".logits",
}
_STAGE_COLUMNS = (
  "name", "epochs", "steps", "batch_size", "learning_rate", "temperature", "seconds", "rows", "score"
)  # fmt: skip
# The hub's names of metrics, where they are not ours.
_METRICS = {"pearson": "pearsonr", "spearman": "spearmanr", "macro_f1": "f1", "micro_f1": "f1"}
_MOST_LABELS = 20  # that a card lists
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
_CACHED_ID = re.compile(r"models--([^/\\]+)[/\\]snapshots[/\\]")
# From a root, a home or a drive; not the slashes of an address, of a tag or between words.
_ABSOLUTE_PATH = re.compile(
  r"(?<![\w:/.<])(?:file://)?(?:~?/|[A-Za-z]:[\\/])(?:[^\s\\/'\"`]+[\\/])*([^\s\\/'\"`]+)[\\/]?"
)


@dataclasses.dataclass(frozen=True)
class ModelCard:
  """What a model card tells besides the model's shape; every field may be left out.

  Attributes:
    base_model: hub id or directory of the model that it was made from, or several. Of a directory the last name alone
      is shown.
    dataset: name of the data that the metrics were measured on.
    dataset_id: its id on the hub; by default the name.
    dataset_config: its configuration there.
    split: part of that data, such as "validation".
    license: identifier such as "apache-2.0".
    language: code such as "en", or several.
    metrics: the model's scores by name.
    further_metrics: its scores on further splits, by split.
    teacher_metrics: the teacher's, by the same names as `metrics`.
    baseline_metrics: those of always giving the most frequent answer, or the mean of a regression's labels.
    stages: the stages of training in their order; each with any of name, epochs, steps, batch_size, learning_rate,
      temperature, seconds, rows and score.
    data: numbers of rows by what they are.
    notes: sentences on the data and the training.
    versions: of packages by name; those that are installed where it is None.
  """

  base_model: str | Sequence[str] | None = None
  dataset: str | None = None
  dataset_id: str | None = None
  dataset_config: str | None = None
  split: str | None = None
  license: str | None = None
  language: str | Sequence[str] | None = None
  metrics: Mapping[str, Number] = dataclasses.field(default_factory=dict)
  further_metrics: Mapping[str, Mapping[str, Number]] = dataclasses.field(default_factory=dict)
  teacher_metrics: Mapping[str, Number] = dataclasses.field(default_factory=dict)
  baseline_metrics: Mapping[str, Number] = dataclasses.field(default_factory=dict)
  stages: Sequence[Mapping[str, Any]] = ()
  data: Mapping[str, int] = dataclasses.field(default_factory=dict)
  notes: Sequence[str] = ()
  versions: Mapping[str, str] | None = None


def model_card(
  config: EncoderConfig, architecture: str, parameters: int, description: str = "", card: ModelCard | None = None
) -> str:
  """Returns a Hugging Face model card: metadata in YAML, then Markdown. It holds no absolute path.

  Args:
    config: the model's shape and label names.
    architecture: the name of its transformers class, such as "BertForSequenceClassification".
    parameters: their number.
    description: a paragraph on what the model is.
    card: what else is known.
  """
  card = card or ModelCard()
  title = f"{architecture}, {config.shape}"
  metadata = yaml.safe_dump(
    _metadata(config, architecture, title, card), sort_keys=False, allow_unicode=True, default_flow_style=False
  )
  sections = [
    f"# {title}",
    _OURS,
    without_paths(description) or f"A {config.family.title} from tinybert_jax.",
    _shape(config, architecture, parameters, card),
    _use(config, architecture),
    _quality(card, config.kind),
    _training(card),
    "Made with tinybert_jax, a JAX implementation of [TinyBERT](https://arxiv.org/abs/1909.10351).",
  ]
  return f"---\n{metadata}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def is_own_card(text: str) -> bool:
  """Returns whether a README is a card that was written here and not changed by its owner."""
  return _OURS in text or text.endswith(_OURS_BEFORE_CARDS_HAD_THAT)


def front_matter(text: str) -> dict[str, Any]:
  """Returns the metadata at the head of a README; empty where there is none."""
  parts = re.split(r"^---[ \t]*$", text.removeprefix("\ufeff"), maxsplit=2, flags=re.MULTILINE)
  found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
  return found if isinstance(found, dict) else {}


def without_paths(text: str) -> str:
  """Returns the text with every absolute path cut down to its last name."""
  return _ABSOLUTE_PATH.sub(r"\1", text)


def _metadata(config: EncoderConfig, architecture: str, title: str, card: ModelCard) -> dict[str, Any]:
  tag, task = _PIPELINES[_head(config, architecture)] if config.sentence is None else _SENTENCES
  library = "transformers" if config.sentence is None else "sentence-transformers"
  metadata: dict[str, Any] = {"library_name": library}
  if card.license:
    metadata["license"] = str(card.license)
  if card.language:
    metadata["language"] = card.language if isinstance(card.language, str) else [str(code) for code in card.language]
  if names := _base_names(card):
    metadata["base_model"] = names[0] if len(names) == 1 else names
  if card.dataset_id and _is_hub_id(card.dataset_id):
    metadata["datasets"] = [str(card.dataset_id)]
  if results := _results(card, task, tag):
    found = (metric["type"] for result in results for metric in result["metrics"])
    metadata["metrics"] = list(dict.fromkeys(found))
  metadata |= {"pipeline_tag": tag, "tags": [config.model_type, "tinybert", "distillation", "tinybert_jax"]}
  if results:
    metadata["model-index"] = [{"name": title, "results": results}]
  return metadata


def _results(card: ModelCard, task: str, tag: str) -> list[dict[str, Any]]:
  """Returns the results of a model index: one for each split that has a finite metric."""
  results = []
  for split, metrics in ((card.split, card.metrics), *card.further_metrics.items()):
    values = [
      {"name": str(name), "type": _METRICS.get(name, str(name)), "value": float(value)}
      for name, value in metrics.items()
      if math.isfinite(value)
    ]
    if not card.dataset or not values:
      continue
    name = _public_name(card.dataset)
    dataset = {"name": name, "type": str(card.dataset_id or name)}
    dataset |= {"config": str(card.dataset_config)} if card.dataset_config else {}
    dataset |= {"split": str(split)} if split else {}
    results.append({"task": {"name": task, "type": tag}, "dataset": dataset, "metrics": values})
  return results


def _base_names(card: ModelCard) -> list[str]:
  given = [card.base_model] if isinstance(card.base_model, str | os.PathLike) else card.base_model or ()
  return list(dict.fromkeys(_public_name(name) for name in given if str(name)))


def _shape(config: EncoderConfig, architecture: str, parameters: int, card: ModelCard) -> str:
  if head := config.sentence:
    sizes = zip(head.inputs(config.hidden_size), head.dense, strict=True)
    parameters += sum((inputs + layer.bias) * layer.features for inputs, layer in sizes)
  lines = [
    f"- parameters: {parameters:,}",
    f"- layers {config.num_hidden_layers}, hidden size {config.hidden_size}, heads {config.num_attention_heads}, "
    f"feed-forward {config.intermediate_size}, vocabulary {config.vocab_size}",
  ]
  if head is not None:
    steps = [f"dense layer to {step.features}" if step in head.dense else "norm 1" for step in head.layers]
    steps = [f"pooling {' and '.join(head.pooling)}", *steps]
    lines.append(f"- embeddings of {head.width(config.hidden_size)} numbers: {', '.join(steps)}")
  if names := _base_names(card):
    lines.append(f"- made from: {_line(', '.join(names))}")
  if "Classification" in architecture:
    shown = ", ".join(_line(name) for name in config.labels[:_MOST_LABELS])
    more = f" and {config.num_labels - _MOST_LABELS} more" if config.num_labels > _MOST_LABELS else ""
    lines.append(f"- labels: {shown}{more}")
  if architecture.endswith("ForSequenceClassification"):
    lines.append(f"- problem type: {config.kind}")
  return "\n".join(lines)


def _use(config: EncoderConfig, architecture: str) -> str:
  if config.sentence is not None:
    return """## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/directory")
print(model.encode(["A text.", "Another text."]))
```"""
  head = _head(config, architecture)
  if head in _CALLS:
    tag, _ = _PIPELINES[head]
    return f"""## Use

```python
from transformers import pipeline

answer = pipeline("{tag}", model="path/to/this/directory"{_CALLS[head][0]})
print(answer({_CALLS[head][1]}))
```"""
  auto = "AutoModel" if head == "Model" else f"AutoModel{head}"
  result = ".last_hidden_state" if head == "Model" else ".logits"
  if head == "ForSequenceClassification":
    result = _RESULTS[config.kind]
  if head == "ForQuestionAnswering":
    return _USE_OF_SPANS
  text = f"A {config.family.mask_token} of text." if head == "ForMaskedLM" else "A text."
  return f"""## Use

```python
from transformers import {auto}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/directory")
model = {auto}.from_pretrained("path/to/this/directory")
print(model(**tokenizer("{text}", truncation=True, return_tensors="pt")){result})
```"""


def _head(config: EncoderConfig, architecture: str) -> str:
  """Returns the name of a class without the family's: "Model", "ForMaskedLM" or "ForSequenceClassification"."""
  return architecture.removeprefix(config.family.class_prefix)


def _quality(card: ModelCard, kind: ProblemType) -> str:
  constant = "mean of the labels" if kind == "regression" else "most frequent answer"
  sides = {"this model": card.metrics, "teacher": card.teacher_metrics, constant: card.baseline_metrics}
  columns = {title: metrics for title, metrics in sides.items() if metrics}
  if not columns:
    return ""
  columns = {"this model": card.metrics, **columns}
  names = list(dict.fromkeys(name for metrics in columns.values() for name in metrics))
  rows = [[name, *(_number(metrics.get(name), 4) for metrics in columns.values())] for name in names]
  parts = [*_measured_on(card, card.split), _table(["metric", *columns], rows)]
  for split, metrics in card.further_metrics.items():
    rows = [[name, _number(value, 4)] for name, value in metrics.items()]
    parts += [*_measured_on(card, split), _table(["metric", "this model"], rows)]
  return "\n\n".join(["## Quality", *parts])


def _measured_on(card: ModelCard, split: str | None) -> list[str]:
  where = " ".join(_line(part) for part in (card.dataset and _public_name(card.dataset), split) if part)
  return [f"Measured on {where}."] if where else []


def _training(card: ModelCard) -> str:
  parts = []
  columns = [name for name in _STAGE_COLUMNS if any(stage.get(name) is not None for stage in card.stages)]
  if columns:
    header = ["stage" if name == "name" else name.replace("_", " ") for name in columns]
    parts.append(_table(header, [[_number(stage.get(name)) for name in columns] for stage in card.stages]))
  if card.data:
    parts.append("\n".join(f"- {_line(name)}: {_number(number)}" for name, number in card.data.items()))
  if card.notes:
    parts.append("\n".join(f"- {_line(note)}" for note in card.notes))
  versions = installed_versions() if card.versions is None else card.versions
  if versions:
    parts.append("Versions: " + ", ".join(f"{_line(name)} {_line(version)}" for name, version in versions.items()))
  return "\n\n".join(["## Training", *parts]) if parts else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  lines = [header, ["---"] * len(header), *rows]
  return "\n".join(f"| {' | '.join(_line(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _number(value: Any, digits: int | None = None) -> str:
  if value is None or isinstance(value, str | bool):
    return "" if value is None else str(value)
  if isinstance(value, float) or hasattr(value, "dtype"):
    value = float(value)
    return f"{value:.{digits}f}" if digits else f"{value:.6g}"
  return f"{value:,}" if isinstance(value, int) else str(value)


def _line(text: Any) -> str:
  """Returns a text as one line, without paths."""
  return " ".join(without_paths(str(text)).split())


def _is_hub_id(name: str | os.PathLike) -> bool:
  return bool(_HUB_ID.fullmatch(str(name))) and ".." not in str(name) and not os.path.exists(name)


def _public_name(name: str | os.PathLike) -> str:
  """Returns a hub id as it is, that of a snapshot in the hub's cache, and of another path the last name."""
  if cached := _CACHED_ID.search(str(name)):
    return cached[1].replace("--", "/")
  return str(name) if _is_hub_id(name) else re.split(r"[\\/]", str(name).rstrip("\\/"))[-1]


def installed_versions() -> dict[str, str]:
  """Returns the versions of Python and of the packages that a model's numbers depend on."""
  import tinybert_jax  # not above, since it imports this

  found = {"python": platform.python_version(), "tinybert_jax": tinybert_jax.__version__}
  for package in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[package] = importlib.metadata.version(package)
  return found

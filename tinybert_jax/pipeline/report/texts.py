"""Sections with texts: those on which the models disagree, and programs that use the student."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tinybert_jax.pipeline.report.elements import escaped
from tinybert_jax.pipeline.report.wording import answer_text, is_known, shortened

_MOST_DISAGREEMENTS = 20


def disagreements(metrics: Mapping[str, Any]) -> str:
  """Returns the texts on which student and teacher are furthest apart, with the answers of both."""
  items = ""
  for row in (metrics.get("disagreements") or [])[:_MOST_DISAGREEMENTS]:
    texts = "".join(
      f'<p dir="auto">{escaped(shortened(row[key], 240))}</p>' for key in ("text", "pair") if row.get(key)
    )
    answers = [("label", answer_text(row["label"]), None)] if row.get("label") is not None else []
    answers += [
      (name, answer_text(row[name].get("answer")), row[name].get("probability")) for name in ("teacher", "student")
    ]
    cells = ""
    for name, answer, probability in answers:
      share = f" {probability:.0%}" if is_known(probability) else ""
      cells += f"<span><i class='{name}'>{name}</i> <b dir='auto'>{escaped(answer)}</b>{share}</span>"
    number = f"<span><i>row {row['row']}</i></span>" if "row" in row else ""
    items += f'<li>{texts}<div class="answers">{cells}{number}</div></li>'
  return f'<ol class="texts">{items}</ol>' if items else ""


def usage(metrics: Mapping[str, Any]) -> str:
  """Returns programs that use the student: with transformers, with JAX, from the command line."""
  paths = metrics.get("paths") or {}
  if not paths.get("student"):
    return ""
  student, length, kind = str(paths["student"]), metrics["data"].get("max_length"), metrics["kind"]
  example = next((row for row in metrics.get("disagreements") or () if row.get("text")), {"text": "a text of yours"})
  texts = [json.dumps(shortened(example[key], 60), ensure_ascii=False) for key in ("text", "pair") if example.get(key)]
  argument = texts[0] if len(texts) == 1 else f'{{"text": {texts[0]}, "text_pair": {texts[1]}}}'
  cut = "truncation=True" + (f", max_length={length}" if length else "")
  extra = {"multi_label": ', top_k=None, function_to_apply="sigmoid"', "regression": ', function_to_apply="none"'}
  answer = {
    "multi_label": "print(dict(zip(student.config.labels, jax.nn.sigmoid(logits[0]).tolist())))",
    "regression": "print(logits[0, 0])",
  }.get(kind, "print(student.config.labels[logits[0].argmax()])")
  sigmoid = "import jax\n\n" if kind == "multi_label" else ""
  path = json.dumps(student, ensure_ascii=False)
  if kind == "embeddings":
    return _usage_of_embeddings(path, ", ".join(texts), student)
  programs = {
    "With transformers (and PyTorch)": f"""from transformers import pipeline

classify = pipeline("text-classification", model={path})
print(classify({argument}, {cut}{extra.get(kind, "")}))""",
    "With JAX": f"""{sigmoid}from tinybert_jax import SequenceClassifier, load_pretrained, load_tokenizer

path = {path}
student = load_pretrained(path, SequenceClassifier)
batch = load_tokenizer(path)({", ".join(f"[{text}]" for text in texts)}, {cut}, return_tensors="np")
logits = SequenceClassifier(student.config).apply({{"params": student.params}}, dict(batch)).logits
{answer}""",
    "From the command line": f"tinybert-jax predict --model {shlex.quote(student)} --data texts.csv --out answers.csv",
  }
  return "".join(f"<h3>{title}</h3><pre>{escaped(program)}</pre>" for title, program in programs.items())


def _usage_of_embeddings(path: str, texts: str, student: str) -> str:
  programs = {
    "With sentence-transformers (and PyTorch)": f"""from sentence_transformers import SentenceTransformer

student = SentenceTransformer({path})
print(student.encode([{texts}]))""",
    "With JAX": f"""from tinybert_jax import SentenceEncoder, load_sentence_encoder, load_tokenizer

path = {path}
student = load_sentence_encoder(path)
batch = load_tokenizer(path)([{texts}], padding=True, truncation=True, return_tensors="np")
print(SentenceEncoder(student.config).apply({{"params": student.params}}, dict(batch)).logits)""",
    "From the command line": f"tinybert-jax predict --model {shlex.quote(student)} --data texts.csv --out vectors.npy",
  }
  return "".join(f"<h3>{title}</h3><pre>{escaped(program)}</pre>" for title, program in programs.items())

"""The section with programs that use the student, by the kind of its task."""

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tinybert_jax.pipeline.report.elements import escaped
from tinybert_jax.pipeline.report.wording import shortened


class _Used(NamedTuple):
  """A student and a text for it, as they stand in programs.

  Attributes:
    kind: of its task.
    path: its directory, quoted.
    texts: a text, or the two of a pair, quoted.
    cut: arguments that cut a text.
  """

  kind: str
  path: str
  texts: list[str]
  cut: str


def usage(metrics: Mapping[str, Any]) -> str:
  """Returns programs that use the student: with PyTorch, with JAX, from the command line."""
  paths = metrics.get("paths") or {}
  if not paths.get("student"):
    return ""
  student, length, kind = str(paths["student"]), metrics["data"].get("max_length"), metrics["kind"]
  example = next((row for row in metrics.get("disagreements") or () if row.get("text")), {"text": "a text of yours"})
  texts = [json.dumps(shortened(example[key], 60), ensure_ascii=False) for key in ("text", "pair") if example.get(key)]
  cut = "truncation=True" + (f", max_length={length}" if length else "")
  make, data, out = _KINDS.get(kind, (_of_classes, "texts.csv", "answers.csv"))
  programs = make(_Used(kind, json.dumps(student, ensure_ascii=False), texts, cut))
  programs["From the command line"] = f"tinybert-jax predict --model {shlex.quote(student)} --data {data} --out {out}"
  return "".join(f"<h3>{title}</h3><pre>{escaped(program)}</pre>" for title, program in programs.items())


def _of_classes(used: _Used) -> dict[str, str]:
  kind, texts, cut = used.kind, used.texts, used.cut
  argument = texts[0] if len(texts) == 1 else f'{{"text": {texts[0]}, "text_pair": {texts[1]}}}'
  extra = {"multi_label": ', top_k=None, function_to_apply="sigmoid"', "regression": ', function_to_apply="none"'}
  extra["ranking"] = extra["regression"]
  answer = {
    "multi_label": "print(dict(zip(student.config.labels, jax.nn.sigmoid(logits[0]).tolist())))",
    "regression": "print(logits[0, 0])",
    "ranking": "print(logits[0, 0])",
  }.get(kind, "print(student.config.labels[logits[0].argmax()])")
  sigmoid = "import jax\n\n" if kind == "multi_label" else ""
  return {
    "With transformers (and PyTorch)": f"""from transformers import pipeline

classify = pipeline("text-classification", model={used.path})
print(classify({argument}, {cut}{extra.get(kind, "")}))""",
    "With JAX": f"""{sigmoid}from tinybert_jax import SequenceClassifier, load_pretrained, load_tokenizer

path = {used.path}
student = load_pretrained(path, SequenceClassifier)
batch = load_tokenizer(path)({", ".join(f"[{text}]" for text in texts)}, {cut}, return_tensors="np")
logits = SequenceClassifier(student.config).apply({{"params": student.params}}, dict(batch)).logits
{answer}""",
  }


def _of_rankings(used: _Used) -> dict[str, str]:
  query, passage = used.texts if len(used.texts) == 2 else ('"a query"', '"a passage"')
  cross_encoder = f"""from sentence_transformers import CrossEncoder

student = CrossEncoder({used.path})
print(student.predict([({query}, {passage})]))"""
  return {"With sentence-transformers (and PyTorch)": cross_encoder, **_of_classes(used)}


def _of_tokens(used: _Used) -> dict[str, str]:
  return {
    "With transformers (and PyTorch)": f"""from transformers import pipeline

find = pipeline("token-classification", model={used.path}, aggregation_strategy="simple")
print(find({used.texts[0]}))""",
    "With JAX": f"""from tinybert_jax import load_pretrained, load_tokenizer
from tinybert_jax.models.encoder import TokenClassifier

path = {used.path}
student, tokenizer = load_pretrained(path, TokenClassifier), load_tokenizer(path)
batch = tokenizer([{used.texts[0]}], {used.cut}, return_tensors="np")
logits = TokenClassifier(student.config).apply({{"params": student.params}}, dict(batch)).logits
for piece, number in zip(tokenizer.convert_ids_to_tokens(batch["input_ids"][0]), logits[0].argmax(-1)):
  print(piece, student.config.labels[number])""",
  }


def _of_spans(used: _Used) -> dict[str, str]:
  question, text = used.texts if len(used.texts) == 2 else ('"a question?"', '"a text"')
  return {
    "With transformers (and PyTorch)": f"""from transformers import AutoModelForQuestionAnswering, AutoTokenizer

path = {used.path}
tokenizer, student = AutoTokenizer.from_pretrained(path), AutoModelForQuestionAnswering.from_pretrained(path)
tokens = tokenizer({question}, {text}, return_tensors="pt")
marks = student(**tokens)
start, end = marks.start_logits.argmax(), marks.end_logits.argmax()
print(tokenizer.decode(tokens["input_ids"][0, start : end + 1]))""",
    "With JAX": f"""from tinybert_jax import load_pretrained, load_tokenizer
from tinybert_jax.models.encoder import SpanClassifier

path = {used.path}
student, tokenizer = load_pretrained(path, SpanClassifier), load_tokenizer(path)
batch = tokenizer([{question}], [{text}], return_tensors="np")
start, end = SpanClassifier(student.config).apply({{"params": student.params}}, dict(batch)).logits[0].argmax(0)
print(tokenizer.decode(batch["input_ids"][0, start : end + 1]))""",
  }


def _of_embeddings(used: _Used) -> dict[str, str]:
  texts = ", ".join(used.texts)
  return {
    "With sentence-transformers (and PyTorch)": f"""from sentence_transformers import SentenceTransformer

student = SentenceTransformer({used.path})
print(student.encode([{texts}]))""",
    "With JAX": f"""from tinybert_jax import SentenceEncoder, load_sentence_encoder, load_tokenizer

path = {used.path}
student = load_sentence_encoder(path)
batch = load_tokenizer(path)([{texts}], padding=True, truncation=True, return_tensors="np")
print(SentenceEncoder(student.config).apply({{"params": student.params}}, dict(batch)).logits)""",
  }


# The programs of kinds other than classes and numbers of texts, and the files that `predict` reads and writes.
_KINDS: dict[str, tuple[Callable[[_Used], dict[str, str]], str, str]] = {
  "ranking": (_of_rankings, "pairs.csv --text query --pair passage", "scores.csv"),
  "tokens": (_of_tokens, "texts.txt", "tags.jsonl"),
  "spans": (_of_spans, "questions.json", "answers.jsonl"),
  "embeddings": (_of_embeddings, "texts.csv", "vectors.npy"),
}

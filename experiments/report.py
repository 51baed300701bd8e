"""The quickstart's results for people: a table, pictures, and one self-contained page."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments import figures
from tinybert_jax.distillation.objectives import Params
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.tokenizer_type import Tokenizer

CURVES, COST, ATTENTION = "loss_curves.png", "accuracy_against_cost.png", "attention_maps.png"


def table(summary: Mapping) -> str:
  """Returns the results as lines of text."""
  lines = [f"{'':24}{'accuracy':>10}{'parameters':>14}{'latency':>12}{'documents/s':>14}"]
  for name in ("teacher", "student"):
    side = summary[name]
    lines.append(
      f"{name:24}{side['accuracy']:10.2%}{side['parameters']:14,}{side['latency_ms']:9.2f} ms{side['throughput']:14.0f}"
    )
  lines += [
    f"{'student, labels alone':24}{summary['student_without_distillation_accuracy']:10.2%}",
    "",
    _setting(summary),
    f"The student keeps {summary['retention']:.1%} of the teacher's accuracy, {summary['times_smaller']:.1f} times "
    f"smaller and {summary['times_faster']:.1f} times faster; the run took {summary['seconds'] / 60:.1f} minutes.",
  ]
  return "\n".join(lines)


def write(
  out: Path,
  summary: Mapping,
  histories: Mapping[str, figures.History],
  attention: Sequence[tuple[str, SequenceClassifier, Params, int]],
  tokenizer: Tokenizer,
  sentence: str,
) -> None:
  """Writes the pictures and `report.html` to `out`.

  Args:
    out: the folder.
    summary: what `summary.json` holds.
    histories: of the stages, by name.
    attention: the rows of `figures.attention_maps`.
    tokenizer: of the models.
    sentence: whose attention is drawn.
  """
  encoded = tokenizer(sentence, truncation=True, max_length=16)["input_ids"]
  batch = {"input_ids": np.array([encoded], np.int32)}
  figures.loss_curves(out / CURVES, histories)
  figures.accuracy_against_cost(out / COST, summary)
  figures.attention_maps(out / ATTENTION, attention, batch, tokenizer.convert_ids_to_tokens(encoded))
  (out / "report.html").write_text(_page(out, summary, histories, sentence), encoding="utf-8")


def _page(out: Path, summary: Mapping, histories: Mapping[str, figures.History], sentence: str) -> str:
  teacher, student = summary["teacher"], summary["student"]
  rows = [
    ("Teacher", teacher, f"{teacher['accuracy']:.2%}"),
    ("Student, distilled", student, f"{student['accuracy']:.2%}"),
    ("Student, labels alone", student, f"{summary['student_without_distillation_accuracy']:.2%}"),
  ]
  body = "".join(
    f"<tr><td>{name}</td><td>{accuracy}</td><td>{side['parameters']:,}</td><td>{side['latency_ms']:.2f} ms</td>"
    f"<td>{side['throughput']:.0f}</td><td>{side['flops'] / 1e9:.3f}</td></tr>"
    for name, side, accuracy in rows
  )
  return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A distilled BERT: quickstart report</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
  table {{ border-collapse: collapse; width: 100% }}
  th, td {{ text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #ddd }}
  th:first-child, td:first-child {{ text-align: left }}
  img {{ max-width: 100% }}
  pre {{ background: #f5f5f5; padding: .8rem; overflow-x: auto }}
  .headline {{ font-size: 1.25rem }}
</style>
<h1>A BERT distilled on Reuters R8</h1>
<p class="headline">The student keeps <b>{summary["retention"]:.1%}</b> of the teacher's accuracy, is
<b>{summary["times_smaller"]:.1f} times</b> smaller and <b>{summary["times_faster"]:.1f} times</b> faster.</p>
<table>
<tr><th></th><th>test accuracy</th><th>parameters</th><th>latency</th><th>documents/s</th><th>GFLOPs</th></tr>
{body}
</table>
<p>{_setting(summary)}</p>
<p>Latency: one document of 128 tokens at a time. Documents a second and GFLOPs (of one document): also 128 tokens;
batches of 32. Both models ran in turns on this machine. The whole run took {summary["seconds"] / 60:.1f} minutes.</p>
<img alt="Accuracy against parameters and latency" src="{_picture(out / COST)}">
<h2>What each stage gave</h2>
{_stages(summary, histories)}
<img alt="Losses of the stages" src="{_picture(out / CURVES)}">
<h2>Attention of teacher and student</h2>
<p>Probabilities of the first four heads on a test document, <q>{html.escape(sentence[:90])}…</q>: the teacher's last
layer, and the student's last, which learnt from it in the intermediate stage. The prediction stage is free to move it
again.</p>
<img alt="Attention maps" src="{_picture(out / ATTENTION)}">
<h2>Use the student</h2>
<p>The folder <code>student/</code> beside this page is a Hugging Face model directory.</p>
<pre>from transformers import pipeline

classify = pipeline("text-classification", model="{html.escape(str(out / "student"))}")
print(classify("opec ministers agreed to cut crude oil output", truncation=True, max_length=64))</pre>
<pre>from tinybert_jax import SequenceClassifier, load_pretrained, load_tokenizer

student = load_pretrained("{html.escape(str(out / "student"))}", SequenceClassifier)
batch = load_tokenizer("{html.escape(str(out / "student"))}")(["opec ministers agreed"], return_tensors="np")
logits = SequenceClassifier(student.config).apply({{"params": student.params}}, dict(batch)).logits
print(student.config.labels[logits[0].argmax()])</pre>
</html>
"""


def _setting(summary: Mapping) -> str:
  """Returns the sentence that says who saw which labels."""
  documents = summary["documents"]
  return (
    f"Teacher, and student on labels alone, learnt from {documents['labelled']:,} labelled documents; the distilled "
    f"student from what the teacher says of {documents['transfer']:,}, and from no label. {documents['dev']:,} others "
    "chose each one's best step."
  )


def _stages(summary: Mapping, histories: Mapping[str, figures.History]) -> str:
  losses = [row for row in histories["intermediate"] if "loss" in row]
  first, last = losses[0], losses[-1]
  changes = ", ".join(
    f"{term} {sum(v for k, v in first.items() if k.split('_')[0] == term):.3g} → "
    f"{sum(v for k, v in last.items() if k.split('_')[0] == term):.3g}"
    for term in ("embedding", "hidden", "attention")
  )
  only = summary["student_prediction_stage_only_accuracy"]
  both, labels = summary["student"]["accuracy"], summary["student_without_distillation_accuracy"]
  return f"""<p>The same student from the same start, for as many steps:</p>
<ul>
<li>labels alone: {labels:.2%}</li>
<li>prediction distillation alone: {only:.2%} ({100 * (only - labels):+.2f} points)</li>
<li>intermediate, then prediction distillation: {both:.2%} ({100 * (both - only):+.2f} points more)</li>
</ul>
<p>The intermediate stage brought its losses, summed over the layers, from the first row of its log to the last:
{changes}. The differences of a single run move with the seed; the project's <code>docs/results.md</code> has those of
three seeds.</p>"""


def _picture(path: Path) -> str:
  return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

"""A run's results for people: lines for the terminal, and one self-contained page with pictures."""

import base64
import html
import json
import math
import numbers
import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinybert_jax.pipeline import figures
from tinybert_jax.pipeline.figures import GOAL, AttentionRow, History, score_of, words

PAGE, FIGURES = "report.html", "figures"

_COLUMNS = 100  # of the terminal
_NEAR = 0.02  # a teacher this close to the majority baseline has learnt little
_NOT_METRICS = {"parameters", "flops", "latency_ms", "throughput", "layers", "width", "heads", "score", "seconds"}
_MOST_DISAGREEMENTS = 20


def table(metrics: Mapping[str, Any]) -> str:
  """Returns the results as lines of at most 100 columns: a row for each model, then what the student keeps.

  Args:
    metrics: see `write`.
  """
  models = _models(metrics)
  name_width = max([len("student, labels alone"), *(len(_short(name, 26)) for name, _ in models)])
  columns: list[tuple[str, list[str]]] = []
  room = _COLUMNS - name_width
  costs = [("parameters", [_count(side.get("parameters")) for _, side in models])]
  costs += [("latency", [_with_unit(side.get("latency_ms"), "ms") for _, side in models])]
  costs = [(title, cells) for title, cells in costs if any(cells)]
  room -= sum(_width(*cost) for cost in costs)
  for key in _metric_names(metrics):
    column = (_short(words(key), 20), [_score_cell(side, key, metrics) for _, side in models])
    if _width(*column) <= room:
      columns.append(column)
      room -= _width(*column)
  columns += costs
  lines = [" " * name_width + "".join(f"{title:>{_width(title, cells)}}" for title, cells in columns)]
  for index, (name, _) in enumerate(models):
    cells = "".join(f"{cells[index]:>{_width(title, cells)}}" for title, cells in columns)
    lines.append(f"{_short(name, 26):{name_width}}{cells}".rstrip())
  sentences = [text for text in (sentence(metrics), warning(metrics)) if text]
  return "\n".join(
    [*lines, *(line for text in sentences for line in ["", *textwrap.wrap(text, _COLUMNS, break_on_hyphens=False)])]
  )


def sentence(metrics: Mapping[str, Any]) -> str:
  """Returns what the student keeps of the teacher, and what it saves, as a sentence; empty where nothing is known."""
  main = metrics.get("main_metric", "score")
  claims, agreement = [], metrics.get("agreement")
  if _known(metrics.get("retention")):
    claims.append(f"keeps {metrics['retention']:.1%} of the teacher's score ({words(main)})")
  if _known(agreement):
    claims.append(
      f"has values that correlate with the teacher's at {agreement:.3f}"
      if metrics["kind"] == "regression"
      else f"agrees with it on {agreement:.1%} of the {_answers(metrics)}"
    )
  ratios = [_ratio(metrics.get("times_smaller"), "smaller", "larger", "large")]
  ratios = [r for r in [*ratios, _ratio(metrics.get("times_faster"), "faster", "slower", "fast")] if r]
  if ratios:
    claims.append("is " + " and ".join(ratios))
  if claims:
    # Without a retention before it, "it" has nothing to stand for.
    claims[0] = claims[0].replace("agrees with it", "agrees with the teacher")
  text = f"The student {', '.join(claims) if len(ratios) > 1 else _listed(claims)}." if claims else ""
  return " ".join(part for part in (text, _undefined(metrics)) if part)


def warning(metrics: Mapping[str, Any]) -> str:
  """Returns a sentence where the teacher is hardly better than always giving one answer; empty elsewhere."""
  main = metrics.get("main_metric", "score")
  teacher, majority = score_of(metrics.get("teacher", {}), main), score_of(metrics.get("majority"), main)
  if teacher is None or majority is None or teacher - majority > _NEAR:
    return ""
  label = metrics["majority"].get("label")
  always = f"always answering “{_short(label, 40)}”" if label is not None else "the majority baseline"
  where = "not better than" if teacher <= majority else f"within {100 * _NEAR:.0f} points of"
  return f"The teacher's {words(main)} is {where} {always}; retention says little here."


def advice(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  """Returns sentences on what to try next, each of which a number of this run supports.

  Args:
    metrics: see `write`.
    histories: likewise.
  """
  retention, agreement = metrics.get("retention"), metrics.get("agreement")
  kept = retention if _known(retention) else agreement
  if not _known(kept):
    return []
  judged = "keeps {:.1%} of the teacher's score" if _known(retention) else "agrees with the teacher at {:.1%}"
  judged = f"The student {judged.format(kept)}, {'below' if kept < GOAL else 'at or above'} the goal of {GOAL:.1%}."
  if kept < GOAL:
    found = [_near_baseline(metrics), _chance(metrics), _few_rows(metrics), *_unfinished(metrics, histories)]
    found += [*_overfitted(metrics, histories), _dev_gap(metrics), _labels_better(metrics)]
    found += [_worst_classes(metrics), _small_student(metrics)]
  else:
    found = [_near_baseline(metrics), _could_shrink(metrics), *_early_best(metrics, histories)]
  found = [text for text in found if text]
  return [judged, *found] if found else []


def write(
  out: Path,
  metrics: Mapping[str, Any],
  histories: Mapping[str, History],
  attention: Sequence[AttentionRow] | None = None,
  tokens: Sequence[str] = (),
) -> Path:
  """Returns the path of the page `report.html` in `out`; writes it, and its pictures to `out/figures/`.

  The page holds its pictures and loads nothing from elsewhere. What `metrics` lacks is left out.

  Args:
    out: the folder of the run.
    metrics: what `metrics.json` holds. `task`, `kind` ("classification", "multi_label" or "regression"), `teacher`,
      `student` and `data` must be there.
    histories: rows of the stages' logs, by stage.
    attention: rows of `figures.attention_maps`, of one text.
    tokens: of that text.
  """
  folder = out / FIGURES
  folder.mkdir(parents=True, exist_ok=True)
  sections = [
    _section("Teacher and student", _sides(metrics, folder)),
    _section("Quality per class", _per_class(metrics)),
    _section("Confusion", _confusion(metrics, folder)),
    _section("Values", _values(metrics, folder)),
    _section("Agreement", _agreement(metrics)),
    _section("Training", _curves(histories, folder)),
    _section("Stages", _stages(metrics)),
    _section("Sweep", _sweep(metrics)),
    _section("Attention", _attention(attention, tokens, folder)),
    _section("Where they disagree most", _disagreements(metrics)),
    _section("Use the student", _usage(metrics)),
    _section("What to try next", _items(advice(metrics, histories))),
    _section("Notes on the data", _items(_data_notes(metrics))),
    _section("How this was made", _made(metrics)),
  ]
  title = f"{metrics['task']}: a distilled student"
  page = _PAGE.format(
    title=_escaped(title), style=_STYLE, lead=_lead(metrics), headline=_headline(metrics), body="\n".join(sections)
  )
  path = out / PAGE
  path.write_text(page, encoding="utf-8", errors="replace")  # a text may hold half a surrogate pair
  return path


# Sections of the page: each gives HTML, or nothing where the run has no such numbers.


def _lead(metrics: Mapping[str, Any]) -> str:
  data, kind = metrics["data"], metrics["kind"].replace("_", "-")
  size = f" with {len(metrics['labels'])} labels" if metrics.get("labels") and kind != "regression" else ""
  sides = [
    f"of {side['layers']} layers and width {side['width']}" if side.get("layers") and side.get("width") else ""
    for side in (metrics.get("teacher", {}), metrics["student"])
  ]
  text = f"A teacher {sides[0]} was distilled into a student {sides[1]} for the {kind} task “{metrics['task']}”{size}"
  rows = [f"{data[key]:,} {key}" for key in ("labelled", "unlabelled", "augmented") if data.get(key)]
  text += f", from {_listed(rows)} rows" if rows else ""
  split = metrics.get("split", "test")
  text += f", and measured on {data[split]:,} {split} rows" if data.get(split) else ""
  return f'<p class="lead">{_escaped(re.sub(r" +", " ", text))}.</p>'


def _headline(metrics: Mapping[str, Any]) -> str:
  main = words(metrics.get("main_metric", "score"))
  tiles = []
  if _known(metrics.get("retention")):
    tiles.append((f"{metrics['retention']:.1%}", f"of the teacher's {main} kept"))
  if _known(metrics.get("agreement")):
    shown, noun = ("{:.3f}", "correlation") if metrics["kind"] == "regression" else ("{:.1%}", "agreement")
    tiles.append((shown.format(metrics["agreement"]), f"{noun} with the teacher"))
  for key, more, less in (("times_smaller", "smaller", "larger"), ("times_faster", "faster", "slower")):
    times = metrics.get(key)
    if _known(times) and times > 0:
      tiles.append((f"{max(times, 1 / times):.1f}×", more if times >= 1 else less))
  body = "".join(f"<div><b>{value}</b><span>{_escaped(label)}</span></div>" for value, label in tiles)
  notes = [text for text in (warning(metrics), _undefined(metrics)) if text]
  notes = "".join(f'<p class="note">{_escaped(text)}</p>' for text in notes)
  return (f'<div class="tiles">{body}</div>' if body else "") + notes


def _sides(metrics: Mapping[str, Any], folder: Path) -> str:
  models = _models(metrics)
  rows = [[words(key), *(_score_cell(side, key, metrics) for _, side in models)] for key in _metric_names(metrics)]
  for title, cell in (
    ("parameters", lambda side: _count(side.get("parameters"), short=True)),
    ("size, MB", lambda side: _scaled(side.get("parameters"), 4e-6, ",.1f")),
    ("GFLOPs", lambda side: _scaled(side.get("flops"), 1e-9, ".3g")),
    ("latency, ms", lambda side: _scaled(side.get("latency_ms"), 1, ",.2f")),
    ("texts a second", lambda side: _scaled(side.get("throughput"), 1, ",.0f")),
  ):
    rows.append([title, *(cell(side) for _, side in models)])
  rows = [row for row in rows if any(row[1:])]
  if not rows:
    return ""
  tokens = metrics.get("cost_tokens")
  notes = [
    "Scores are multiplied by 100." if _metric_names(metrics) else "",
    "Size: parameters in float32.",
    f"GFLOPs and latency: one text of {tokens} tokens. Texts a second: in batches, of as many tokens."
    if tokens
    else "",
  ]
  names = [_short(name, 24).removeprefix("student, ").removesuffix(" baseline") for name, _ in models]
  table = _html_table(["", *names], rows) + f'<p class="small">{_escaped(" ".join(note for note in notes if note))}</p>'
  return f'<div class="beside"><div class="main">{table}</div>{_cost_picture(metrics, folder)}</div>'


def _cost_picture(metrics: Mapping[str, Any], folder: Path) -> str:
  main = metrics.get("main_metric", "score")
  sides = (metrics.get("teacher", {}), metrics["student"])
  if any(score_of(side, main) is None for side in sides):
    return ""
  if not any(all(side.get(cost) for side in sides) for cost in ("parameters", "latency_ms")):
    return ""
  figures.score_against_cost(folder / "score_against_cost.png", metrics)
  return _image(folder / "score_against_cost.png", "Score against parameters and latency")


def _per_class(metrics: Mapping[str, Any]) -> str:
  sides = metrics.get("per_class")
  if not sides:
    return ""
  teacher, student = sides.get("teacher", {}), sides["student"]
  keys = list(dict.fromkeys(key for side in teacher.values() for key in side if key != "support"))
  head = (
    '<tr><th rowspan="2">class</th><th rowspan="2">rows</th>'
    f'<th colspan="{len(keys)}" class="teacher">teacher</th><th colspan="{len(keys)}" class="student">student</th>'
    f'<th rowspan="2">F1 change</th></tr><tr>{2 * "".join(f"<th>{_escaped(words(key))}</th>" for key in keys)}</tr>'
  )
  body = ""
  for label, side in teacher.items():
    other = student.get(label, {})
    cells = [_class_cell(values.get(key), key) for values in (side, other) for key in keys]
    change = 100 * (other["f1"] - side["f1"]) if _known(side.get("f1")) and _known(other.get("f1")) else None
    worse = ' class="worse"' if change is not None and change <= -10 else ""
    cells.append("" if change is None else f"{change:+.1f}".replace("-", "−"))
    numbers = "".join(f"<td>{cell}</td>" for cell in cells[:-1]) + f"<td{worse}>{cells[-1]}</td>"
    body += f"<tr><td dir='auto'>{_escaped(_short(label, 40))}</td><td>{_count(side.get('support'))}</td>{numbers}</tr>"
  tall = " tall" if len(teacher) > 15 else ""
  note = "Multiplied by 100, but for the threshold." if "threshold" in keys else "Multiplied by 100."
  return (
    f'<div class="scroll{tall}"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
    f'<p class="small">{note}</p>'
  )


def _confusion(metrics: Mapping[str, Any], folder: Path) -> str:
  if not metrics.get("confusion"):
    return ""
  shown, total = len(figures.confused_classes(metrics)), len(metrics["confusion"]["labels"])
  note = f"The {shown} of {total} classes on which the two models err most. " if shown < total else ""
  note += "True labels go down, answers across. The colour is the share of a label's rows."
  images = ""
  for model in ("teacher", "student"):  # one picture each, so that a phone can put them below each other
    path = folder / f"confusion_{model}.png"
    figures.confusion(path, metrics, (model,))
    images += _image(path, f"Confusion matrix of the {model}", least=min(460, 20 * shown + 100))
  return f'<p class="small">{note}</p><div class="grid">{images}</div>'


def _values(metrics: Mapping[str, Any], folder: Path) -> str:
  predictions = metrics.get("predictions") or {}
  if metrics["kind"] != "regression" or not predictions.get("teacher") or not predictions.get("student"):
    return ""
  images = ""
  for model in ("teacher", "student") if predictions.get("label") else ("student",):
    path = folder / f"values_{model}.png"
    figures.predicted_values(path, metrics, (model,))
    images += _image(path, f"Predicted values of the {model}")
  return f'<div class="grid">{images}</div>'


def _agreement(metrics: Mapping[str, Any]) -> str:
  agreement = metrics.get("agreement")
  if not _known(agreement):
    return ""
  if metrics["kind"] == "regression":
    text = f"The student's values correlate with the teacher's at {agreement:.3f}."
  else:
    text = f"Student and teacher give the same answer for {agreement:.1%} of the {_answers(metrics)}."
    rows = _rows(metrics)
    if rows and metrics["kind"] == "classification":
      text += f" They differ on {round((1 - agreement) * rows):,} of {rows:,} rows."
  return f"<p>{text}</p>"


def _curves(histories: Mapping[str, History], folder: Path) -> str:
  images = ""
  for name, history in histories.items():
    if any("loss" in row or row.get("score") is not None for row in history):
      path = folder / f"losses_{re.sub(r'[^A-Za-z0-9-]+', '_', name)}.png"
      figures.stage_losses(path, {name: history})
      images += _image(path, f"Losses of the stage {name}")
  if not images:
    return ""
  note = "Lines: training loss by term, summed over layers. Dots: score on dev, right axis; or held-out loss."
  return f'<p class="small">{note}</p><div class="grid">{images}</div>'


def _stages(metrics: Mapping[str, Any]) -> str:
  rows = [
    [
      words(stage["name"]),
      *(_count(stage.get(key)) for key in ("epochs", "steps", "batch_size")),
      _scaled(stage.get("learning_rate"), 1, "g"),
      _count(stage.get("rows")),
      "reused" if stage.get("reused") else _scaled(stage.get("seconds"), 1 / 60, ",.1f"),
      _scaled(stage.get("score"), 100, ".1f"),
    ]
    for stage in metrics.get("stages") or ()
  ]
  header = ["stage", "epochs", "steps", "batch", "rate", "rows", "minutes", "dev score"]
  return _html_table(*_without_empty(header, rows)) if rows else ""


def _sweep(metrics: Mapping[str, Any]) -> str:
  runs = metrics.get("sweep")
  if not runs:
    return ""
  keys = [*(key for key in runs[0] if key != "score"), "score"]
  best = max((run["score"] for run in runs if _known(run.get("score"))), default=None)
  rows = []
  for run in runs:
    score = _scaled(run.get("score"), 100, ".2f")
    score += " (best)" if best is not None and run.get("score") == best else ""
    rows.append(
      [*(f"{run[key]:g}" if _known(run.get(key)) else _short(run.get(key, ""), 40) for key in keys[:-1]), score]
    )
  return _html_table([*(words(key) for key in keys[:-1]), "dev score × 100"], rows)


def _attention(attention: Sequence[AttentionRow] | None, tokens: Sequence[str], folder: Path) -> str:
  if not attention:
    return ""
  figures.attention_maps(folder / "attention.png", attention, tokens)
  note = "Attention probabilities of one text, up to four heads of a layer: from each token (down) to each (across)."
  return f'<p class="small">{note}</p>' + _image(folder / "attention.png", "Attention maps", least=640)


def _disagreements(metrics: Mapping[str, Any]) -> str:
  items = ""
  for row in (metrics.get("disagreements") or [])[:_MOST_DISAGREEMENTS]:
    texts = "".join(f'<p dir="auto">{_escaped(_short(row[key], 240))}</p>' for key in ("text", "pair") if row.get(key))
    answers = [("label", _answer(row["label"]), None)] if row.get("label") is not None else []
    answers += [
      (name, _answer(row[name].get("answer")), row[name].get("probability")) for name in ("teacher", "student")
    ]
    cells = ""
    for name, answer, probability in answers:
      share = f" {probability:.0%}" if _known(probability) else ""
      cells += f"<span><i class='{name}'>{name}</i> <b dir='auto'>{_escaped(answer)}</b>{share}</span>"
    number = f"<span><i>row {row['row']}</i></span>" if "row" in row else ""
    items += f'<li>{texts}<div class="answers">{cells}{number}</div></li>'
  return f'<ol class="texts">{items}</ol>' if items else ""


def _usage(metrics: Mapping[str, Any]) -> str:
  paths = metrics.get("paths") or {}
  if not paths.get("student"):
    return ""
  student, length, kind = str(paths["student"]), metrics["data"].get("max_length"), metrics["kind"]
  example = next((row for row in metrics.get("disagreements") or () if row.get("text")), {"text": "a text of yours"})
  texts = [json.dumps(_short(example[key], 60), ensure_ascii=False) for key in ("text", "pair") if example.get(key)]
  argument = texts[0] if len(texts) == 1 else f'{{"text": {texts[0]}, "text_pair": {texts[1]}}}'
  cut = "truncation=True" + (f", max_length={length}" if length else "")
  extra = {"multi_label": ', top_k=None, function_to_apply="sigmoid"', "regression": ', function_to_apply="none"'}
  answer = {
    "multi_label": "print(dict(zip(student.config.labels, jax.nn.sigmoid(logits[0]).tolist())))",
    "regression": "print(logits[0, 0])",
  }.get(kind, "print(student.config.labels[logits[0].argmax()])")
  sigmoid = "import jax\n\n" if kind == "multi_label" else ""
  path = json.dumps(student, ensure_ascii=False)
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
  return "".join(f"<h3>{title}</h3><pre>{_escaped(program)}</pre>" for title, program in programs.items())


def _data_notes(metrics: Mapping[str, Any]) -> list[str]:
  data = metrics["data"]
  keys = ("labelled", "unlabelled", "augmented", "transfer", "dev", "test")
  counts = [f"{data[key]:,} {key}" for key in keys if data.get(key)]
  notes = [f"Rows: {_listed(counts)}."] if counts else []
  if data.get("max_length") and _known(data.get("share_cut")):
    notes.append(f"{data['share_cut']:.1%} of the texts were cut at {data['max_length']} tokens.")
  return [*notes, *data.get("notes", ())]


def _made(metrics: Mapping[str, Any]) -> str:
  command = f"<pre>{_escaped(metrics['command'])}</pre>" if metrics.get("command") else ""
  options = dict(metrics.get("options") or {})
  facts = dict(metrics.get("environment") or {})
  if options.get("seed") is not None:
    facts["seed"] = options["seed"]
  if _known(metrics.get("seconds")):
    facts["whole run"] = f"{metrics['seconds'] / 60:.1f} minutes"
  if (metrics.get("paths") or {}).get("out"):
    facts["folder"] = metrics["paths"]["out"]
  lists = [_facts(facts)]
  if options:
    lists.append(f"<details><summary>All options</summary>{_facts(options)}</details>")
  return command + "".join(lists)


# Advice: each gives a sentence, or nothing where this run gives no reason for it.


def _near_baseline(metrics: Mapping[str, Any]) -> str:
  return f"First train a better teacher: {_uncapitalized(warning(metrics))}" if warning(metrics) else ""


def _chance(metrics: Mapping[str, Any]) -> str:
  """The difference of two accuracies has at most the variance of the rows on which the answers differ."""
  rows, agreement = _rows(metrics), metrics.get("agreement")
  scores = [metrics[side].get("accuracy") for side in ("teacher", "student")]
  if metrics["kind"] != "classification" or not rows or not all(map(_known, [agreement, *scores])):
    return ""
  lost, error = scores[0] - scores[1], math.sqrt(max(1 - agreement, 0) / rows)
  if not 0 < lost < 2 * error:
    return ""
  return (
    f"On {rows:,} rows, {100 * lost:.1f} points between teacher and student may be chance "
    f"(standard error up to {100 * error:.1f}): measure on more rows before changing anything."
  )


def _few_rows(metrics: Mapping[str, Any]) -> str:
  data = metrics["data"]
  transfer = data.get("transfer") or (data.get("labelled") or 0) + (data.get("unlabelled") or 0)
  if not 0 < transfer < 20_000:
    return ""
  more = "Give more unlabelled text of the same kind"
  if not data.get("augmented"):
    more += ", or augment the rows, which this run did not"
  return f"The student learnt from {transfer:,} rows. {more}."


def _unfinished(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  found = []
  for name, history in _student_stages(histories):
    rows = [row for row in history if _known(row.get("loss"))]
    scores = _dev_scores(history)
    fall, reason = _fall([row["loss"] for row in rows]), ""
    if fall > 0.02:
      reason = f"its loss still fell by {fall:.0%} within its last fifth"
    elif len(scores) > 2 and scores[-1][1] - max(score for _, score in scores[:-1]) > 0.005:
      reason = f"its dev score was best, {100 * scores[-1][1]:.1f}, at its last measurement"
    if reason:
      found.append(f"Train the stage “{name}” for longer{_now(metrics, name)}: {reason}.")
  return found


def _overfitted(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  found = []
  for name, history in _student_stages(histories):
    losses, scores = [row["loss"] for row in history if _known(row.get("loss"))], _dev_scores(history)
    if len(scores) < 3 or len(losses) < 2:
      continue
    step, best = max(scores, key=lambda pair: pair[1])
    if best - scores[-1][1] > 0.01 and losses[-1] < losses[0]:
      found.append(
        f"Stage “{name}” overfits: its dev score was best at step {step:,} and then fell by "
        f"{100 * (best - scores[-1][1]):.1f} points, while its loss fell. Give it more rows, or fewer "
        f"epochs{_now(metrics, name)}."
      )
  return found


def _dev_gap(metrics: Mapping[str, Any]) -> str:
  stages = [stage for stage in metrics.get("stages") or () if _known(stage.get("score")) and stage["name"] != "teacher"]
  test = score_of(metrics["student"], metrics.get("main_metric", "score"))
  if metrics.get("split", "test") == "dev" or not stages or test is None or stages[-1]["score"] - test < 0.03:
    return ""
  rows = metrics["data"].get("dev")
  few = f" Its {rows:,} dev rows may be too few, or unlike the test rows." if rows else ""
  return (
    f"The student scores {100 * stages[-1]['score']:.1f} on dev and {100 * test:.1f} on test: what was chosen on dev "
    f"does not carry over.{few}"
  )


def _labels_better(metrics: Mapping[str, Any]) -> str:
  main = metrics.get("main_metric", "score")
  alone, student = score_of(metrics.get("labels alone"), main), score_of(metrics["student"], main)
  if alone is None or student is None or alone <= student:
    return ""
  return (
    f"The same student learnt more from the labels alone ({100 * alone:.1f} against {100 * student:.1f}): check that "
    "the unlabelled text is of the same kind as the test rows, and that the teacher is good."
  )


def _worst_classes(metrics: Mapping[str, Any]) -> str:
  sides = metrics.get("per_class")
  if not sides:
    return ""
  losses = [
    (100 * (side["f1"] - sides["student"][label]["f1"]), label)
    for label, side in sides.get("teacher", {}).items()
    if _known(side.get("f1")) and _known(sides["student"].get(label, {}).get("f1"))
  ]
  worst = sorted((pair for pair in losses if pair[0] >= 10), key=lambda pair: -pair[0])[:3]
  named = [f"“{_short(label, 40)}” ({loss:.0f} points of F1)" for loss, label in worst]
  return f"Add text of the classes that lose most: {_listed(named)}." if named else ""


def _small_student(metrics: Mapping[str, Any]) -> str:
  teacher, student, times = metrics.get("teacher", {}), metrics["student"], metrics.get("times_smaller")
  smaller = [key for key in ("layers", "width") if (student.get(key) or 0) < (teacher.get(key) or 0)]
  if not smaller or not _known(times) or times < 2:
    return ""
  sizes = _listed([f"{student[key]} of the teacher's {teacher[key]} {key}" for key in smaller])
  sizes = sizes.replace(" width", " units of width")
  return f"Try a larger student: this one has {sizes}, and is {times:.1f} times smaller."


def _could_shrink(metrics: Mapping[str, Any]) -> str:
  student = metrics["student"]
  layers, width = student.get("layers"), student.get("width")
  options = [f"{layers // 2 or 1} layers instead of {layers}" if layers and layers > 2 else ""]
  options.append(f"a width below {width}" if width and width > 128 else "")
  options = [option for option in options if option]
  return f"There is room for a smaller student: try {' or '.join(options)}." if options else ""


def _early_best(metrics: Mapping[str, Any], histories: Mapping[str, History]) -> list[str]:
  found = []
  for name, history in _student_stages(histories):
    scores = _dev_scores(history)
    if len(scores) < 3:
      continue
    (step, best), last = max(scores, key=lambda pair: pair[1]), scores[-1][0]
    if step <= 0.6 * last:
      found.append(
        f"Stage “{name}” can be shorter{_now(metrics, name)}: its dev score was best, {100 * best:.1f}, at step "
        f"{step:,} of {last:,}."
      )
  return found


def _fall(losses: Sequence[float]) -> float:
  """Returns by what share the loss fell within its last fifth; 0 where the fall is within its noise."""
  last = np.asarray(losses, float)[len(losses) - len(losses) // 5 :]
  if len(last) < 4:
    return 0.0
  before, after = np.array_split(last, 2)
  noise = math.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
  fall = before.mean() - after.mean()
  return float(fall / before.mean()) if fall > 2 * noise and before.mean() > 0 else 0.0


def _dev_scores(history: History) -> list[tuple[int, float]]:
  return [
    (int(row["step"]), row["score"]) for row in history if _known(row.get("score")) and "held_out_loss" not in row
  ]


def _student_stages(histories: Mapping[str, History]) -> list[tuple[str, History]]:
  """Returns the stages that make the distilled student."""
  return [(name, rows) for name, rows in histories.items() if not name.startswith(("teacher", "labels"))]


def _now(metrics: Mapping[str, Any], name: str) -> str:
  stage = next((stage for stage in metrics.get("stages") or () if stage["name"] == name), {})
  return next((f" (now {stage[unit]:,} {unit})" for unit in ("epochs", "steps") if _known(stage.get(unit))), "")


# Names, numbers and HTML.


def _models(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
  models = []
  for key, name in (
    ("teacher", "teacher"),
    ("student", "student"),
    ("labels alone", "student, labels alone"),
    ("majority", "majority baseline"),
  ):
    if metrics.get(key):
      models.append((str(metrics[key].get("name", name)), metrics[key]))
  return models


def _metric_names(metrics: Mapping[str, Any]) -> list[str]:
  """Returns the keys of the metrics that a model has, the main one first."""
  sides = [metrics.get("teacher", {}), metrics["student"]]
  main = metrics.get("main_metric", "score")
  keys = [main] if any(score_of(side, main) is not None for side in sides) else []
  keys += [
    key
    for side in sides
    for key, value in side.items()
    if key not in _NOT_METRICS and isinstance(value, numbers.Real) and not isinstance(value, bool)
  ]
  return list(dict.fromkeys(keys))


def _score_cell(side: Mapping[str, Any], key: str, metrics: Mapping[str, Any]) -> str:
  value = side.get(key, side.get("score") if key == metrics.get("main_metric", "score") else None)
  if not _known(value):
    return ""
  if _is_error(key):
    return f"{value:.4g}"
  # One row of a small test set is more than a hundredth of a point.
  return f"{100 * value:.{2 if (_rows(metrics) or 0) >= 1000 else 1}f}"


def _class_cell(value: Any, key: str) -> str:
  return _scaled(value, 1, ".2f") if key == "threshold" else _scaled(value, 100, ".1f")


def _is_error(key: str) -> bool:
  return key in {"mse", "rmse", "mae"} or key.endswith(("_error", "_loss"))


def _rows(metrics: Mapping[str, Any]) -> int | None:
  return metrics["data"].get(metrics.get("split", "test"))


def _answers(metrics: Mapping[str, Any]) -> str:
  return "labels" if metrics["kind"] == "multi_label" else "rows"


def _undefined(metrics: Mapping[str, Any]) -> str:
  main = metrics.get("main_metric", "score")
  score = score_of(metrics.get("teacher", {}), main)
  if score is None or "retention" not in metrics or _known(metrics["retention"]):
    return ""
  why = ", as that is not above zero" if score <= 0 else ""
  return f"The share of the teacher's {words(main)} that the student keeps is undefined{why}."


def _ratio(times: float | None, more: str, less: str, same: str) -> str:
  if not _known(times) or times <= 0:
    return ""
  if 0.95 < times < 1.05:
    return f"about as {same}"
  return f"{times:.1f} times {more}" if times > 1 else f"{1 / times:.1f} times {less}"


def _known(value: Any) -> bool:
  return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _scaled(value: Any, scale: float, shown: str) -> str:
  return f"{scale * value:{shown}}" if _known(value) else ""


def _count(value: Any, short: bool = False) -> str:
  if not _known(value):
    return ""
  return f"{value / 1e6:,.1f} M" if short and value >= 1e6 else f"{value:,}"


def _with_unit(value: Any, unit: str) -> str:
  return f"{value:,.2f} {unit}" if _known(value) else ""


def _width(title: str, cells: Sequence[str]) -> int:
  return 2 + max(len(text) for text in (title, *cells))


def _answer(answer: Any) -> str:
  """Returns an answer as text: a class, a list of labels, or a value."""
  if isinstance(answer, list | tuple):
    return ", ".join(map(str, answer)) or "none"
  return f"{answer:.3g}" if _known(answer) and not isinstance(answer, int) else _short(answer, 60)


def _short(text: Any, most: int) -> str:
  text = " ".join(str(text).split())
  return text if len(text) <= most else text[: most - 1] + "…"


def _listed(parts: Sequence[str]) -> str:
  return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _uncapitalized(text: str) -> str:
  return text[:1].lower() + text[1:]


def _escaped(text: Any) -> str:
  return html.escape(str(text))


def _without_empty(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
  kept = [index for index in range(len(header)) if any(row[index] for row in rows)]
  return [header[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  head = "".join(f"<th>{_escaped(cell)}</th>" for cell in header)
  body = "".join(f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in row)}</tr>" for row in rows)
  return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _facts(facts: Mapping[str, Any]) -> str:
  items = "".join(f"<dt>{_escaped(words(key))}</dt><dd>{_escaped(value)}</dd>" for key, value in facts.items())
  return f"<dl>{items}</dl>" if items else ""


def _items(texts: Sequence[str]) -> str:
  items = "".join(f"<li>{_escaped(text)}</li>" for text in texts)
  return f"<ul>{items}</ul>" if items else ""


def _section(title: str, *parts: str) -> str:
  return f"<section><h2>{_escaped(title)}</h2>{''.join(parts)}</section>" if any(parts) else ""


def _image(path: Path, alt: str, least: int = 0) -> str:
  """Returns a picture that the page holds; on a screen narrower than `least` pixels it scrolls in its own box."""
  data = path.read_bytes()
  width, height = (int.from_bytes(data[start : start + 4]) for start in (16, 20))
  # The pictures have 150 dots an inch; at 100 an inch their letters are as large as the page's small ones.
  style = f"width:{round(width * 100 / 150)}px" + (f";min-width:{least}px" if least else "")
  source = "data:image/png;base64," + base64.b64encode(data).decode()
  image = f'<img alt="{_escaped(alt)}" width="{width}" height="{height}" style="{style}" src="{source}">'
  return f'<div class="picture">{image}</div>'


_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --soft: #5b636c; --line: #d9dde2; --back: #fff; --box: #f4f5f7;
  --teacher: #4063a8; --student: #b3561a; --note: #fff4d6; --bad: #a8321f }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6e9; --soft: #a3abb5; --line: #3a4048; --back: #16191d;
  --box: #22262c; --teacher: #91b0ec; --student: #f0a06a; --note: #423814; --bad: #ff9c8a } img { padding: .4rem } }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; color: var(--text); background: var(--back);
  overflow-wrap: anywhere }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .6rem }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; padding-top: 1rem; border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1rem 0 .3rem }
.lead { max-width: 46rem; margin: 0 0 1.2rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem }
.tiles div { background: var(--box); border-radius: 8px; padding: .8rem 1rem }
.tiles b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums }
.tiles span, .small { color: var(--soft); font-size: .875rem; line-height: 1.4 }
.note { background: var(--note); border-radius: 8px; padding: .6rem 1rem; margin: .8rem 0 0 }
.scroll { overflow-x: auto; max-width: 100% }
.tall { max-height: 32rem; overflow-y: auto; border: 1px solid var(--line); border-radius: 8px }
.tall thead { position: sticky; top: 0; z-index: 1; background: var(--back) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { text-align: right; padding: .3rem .65rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600; font-size: .875rem; vertical-align: bottom; white-space: normal }
th:first-child, td:first-child { text-align: left }
td:first-child { position: sticky; left: 0; background: var(--back) }
th[colspan] { text-align: center }
.teacher { color: var(--teacher) } .student { color: var(--student) } .worse { color: var(--bad); font-weight: 600 }
img { max-width: 100%; height: auto; display: block; background: #fff; border-radius: 6px }
.picture { margin: .8rem 0; overflow-x: auto }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .8rem }
.grid .picture { margin: 0 }
.beside { display: flex; flex-wrap: wrap; gap: .8rem 2rem; align-items: flex-start }
.beside .main { flex: 1 1 30rem; min-width: 0 } .beside .picture { margin: 0 }
.texts { padding-left: 1.6rem } .texts li { margin-bottom: .9rem } .texts p { margin: 0 0 .2rem }
.answers { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .875rem }
.answers i { font-style: normal; color: var(--soft) }
.answers i.teacher { color: var(--teacher) } .answers i.student { color: var(--student) }
pre { background: var(--box); border-radius: 8px; padding: .8rem 1rem; font-size: .875rem;
  line-height: 1.45; margin: .3rem 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .5rem 0 }
dt { color: var(--soft) } dd { margin: 0 }
li { max-width: 50rem }
summary { cursor: pointer }
@media (max-width: 30rem) { table { font-size: .9rem } th, td { padding: .3rem .35rem }
  dl { grid-template-columns: 1fr }
  dd { margin: 0 0 .3rem }
  td:first-child { white-space: normal; max-width: 9rem; overflow-wrap: break-word } }
@media print { .tall { max-height: none } }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{lead}
{headline}
{body}
</body>
</html>
"""

"""The section with the texts on which the models disagree."""

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

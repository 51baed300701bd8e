"""Elements of a page: tables, lists, sections and pictures as HTML."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.pipeline.metric_names import words


def escaped(text: Any) -> str:
  """Returns a text as HTML shows it."""
  return html.escape(str(text))


def without_empty(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
  """Returns a table's heading and rows without the columns that have no text."""
  kept = [index for index in range(len(header)) if any(row[index] for row in rows)]
  return [header[index] for index in kept], [[row[index] for index in kept] for row in rows]


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]], spare: Sequence[str] = ()) -> str:
  """Returns a table; a phone leaves out the columns whose headings are in `spare`."""
  marks = [' class="spare"' if title in spare else "" for title in header]
  head = "".join(f"<th{mark}>{escaped(cell)}</th>" for mark, cell in zip(marks, header, strict=True))
  body = "".join(
    f"<tr>{''.join(f'<td{mark}>{escaped(cell)}</td>' for mark, cell in zip(marks, row, strict=True))}</tr>"
    for row in rows
  )
  return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts_list(facts: Mapping[str, Any]) -> str:
  """Returns names and values as a list of two columns; empty without any."""
  items = "".join(f"<dt>{escaped(words(key))}</dt><dd>{escaped(value)}</dd>" for key, value in facts.items())
  return f"<dl>{items}</dl>" if items else ""


def items_list(texts: Sequence[str]) -> str:
  """Returns sentences as a list; empty without any."""
  items = "".join(f"<li>{escaped(text)}</li>" for text in texts)
  return f"<ul>{items}</ul>" if items else ""


def section(title: str, *parts: str) -> str:
  """Returns a section of the page; empty where all parts are."""
  return f"<section><h2>{escaped(title)}</h2>{''.join(parts)}</section>" if any(parts) else ""


def image(path: Path, alt: str, least: int = 0) -> str:
  """Returns a picture that the page holds; on a screen narrower than `least` pixels it scrolls in its own box."""
  data = path.read_bytes()
  width, height = (int.from_bytes(data[start : start + 4]) for start in (16, 20))
  # The pictures have 150 dots an inch; at 100 an inch their letters are as large as the page's small ones.
  style = f"width:{round(width * 100 / 150)}px" + (f";min-width:{least}px" if least else "")
  source = "data:image/png;base64," + base64.b64encode(data).decode()
  image = f'<img alt="{escaped(alt)}" width="{width}" height="{height}" style="{style}" src="{source}">'
  return f'<div class="picture">{image}</div>'

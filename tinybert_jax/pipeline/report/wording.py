"""Numbers and texts in short: what cells, tiles and sentences of a report are made of."""

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeGuard

_MOST_NAMES = 6


def is_known(value: Any) -> TypeGuard[float]:
  """Returns whether a value is a finite number."""
  return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def scaled(value: Any, scale: int | float, shown: str) -> str:
  """Returns a number times `scale` in the given format; empty where it is none."""
  return f"{scale * value:{shown}}" if is_known(value) else ""


def counted(value: Any, short: bool = False) -> str:
  """Returns a count with separators, or in millions; empty where it is none."""
  if not is_known(value):
    return ""
  return f"{value / 1e6:,.1f} M" if short and value >= 1e6 else f"{value:,}"


def with_unit(value: Any, unit: str) -> str:
  """Returns a number with two decimals and its unit; empty where it is none."""
  return f"{value:,.2f} {unit}" if is_known(value) else ""


def ratio_words(times: int | float | None, more: str, less: str, same: str) -> str:
  """Returns a ratio in words: how many times `more`, or below one `less`; empty where it is none."""
  if not is_known(times) or times <= 0:
    return ""
  if 0.95 < times < 1.05:
    return f"about as {same}"
  return f"{times:.1f} times {more}" if times > 1 else f"{1 / times:.1f} times {less}"


def answer_text(answer: Any) -> str:
  """Returns an answer as text: a class, the first of several labels and the number of the others, or a value."""
  if isinstance(answer, list | tuple):
    more = f" and {len(answer) - _MOST_NAMES} more" if len(answer) > _MOST_NAMES else ""
    return ", ".join(map(str, answer[:_MOST_NAMES])) + more or "none"
  return f"{answer:.3g}" if is_known(answer) and not isinstance(answer, int) else shortened(answer, 60)


def shortened(text: Any, most: int) -> str:
  """Returns a text as one line of at most `most` letters."""
  text = " ".join(str(text).split())
  return text if len(text) <= most else text[: most - 1] + "…"


def listed(parts: Sequence[str]) -> str:
  """Returns parts as a list in words: a, b and c."""
  return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def uncapitalized(text: str) -> str:
  """Returns a sentence to stand within another."""
  return text[:1].lower() + text[1:]


def points(score: int | float) -> str:
  """Returns a score times 100, as tables have it."""
  return f"{100 * score:.1f}".replace("-", "−")

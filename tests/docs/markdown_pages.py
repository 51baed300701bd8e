"""The Markdown pages of the project: their code blocks, headings and links."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
PAGES = tuple(page for page in PAGES if "_build" not in page.parts)
_FENCE = re.compile(r"^```(\{?[\w-]*\}?)(.*)$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
  """A fenced block: its language, its first line's number in the page, its text, and the paragraph before it."""

  language: str
  line: int
  text: str
  before: str


def blocks(page: Path) -> list[Block]:
  """Returns the page's fenced blocks in order."""
  found, language, start, lines, paragraph = [], None, 0, [], []
  for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
    fence = _FENCE.match(line)
    if fence and language is None:
      language, start, lines = fence[1], number + 1, []
    elif fence:
      found.append(Block(language, start, "\n".join(lines) + "\n", "\n".join(paragraph)))
      language, paragraph = None, []
    elif language is not None:
      lines.append(line)
    elif line.strip():
      paragraph.append(line)
    elif paragraph and not paragraph[-1].endswith(":"):
      paragraph = []
  assert language is None, f"{page}: the block at line {start} has no end"
  return found


def prose(page: Path) -> str:
  """Returns the page without its fenced blocks."""
  return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
  """Returns the targets of links and pictures, and the files and pages that directives name."""
  targets = _LINK.findall(prose(page))
  for block in blocks(page):
    if block.language == "{toctree}":
      names = [line for line in block.text.splitlines() if line and not line.startswith(":")]
      targets += [f"{name}.md" for name in names]
  text = page.read_text(encoding="utf-8")
  return targets + re.findall(r"^```\{literalinclude\} (\S+)$", text, flags=re.MULTILINE)


def anchors(page: Path) -> set[str]:
  """Returns the page's anchors, as GitHub and MyST make them of headings."""
  headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
  return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
  """Returns the page's links that lead nowhere in this checkout; links to the web are not followed."""
  dead = []
  for target in links(page):
    if re.match(r"https?://", target):
      continue
    name, _, anchor = target.partition("#")
    other = (page.parent / name) if name else page
    is_there = other.exists() and not name.startswith("/") and (not anchor or anchor in anchors(other))
    if not is_there:
      dead.append(target)
  return dead

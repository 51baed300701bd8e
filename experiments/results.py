"""`python -m experiments.results`: which results of docs/results.md are older than the code that they are of.

A result on that page is a block between two comments, which name it and the files and folders that its numbers depend
on:

  <!-- result input: tinybert_jax/data experiments/benchmark/feeding.py -->
  a command in a block of bash, what it printed in a block of text, or a table or picture made from it
  *Made 2026-11-26 at commit abc1234; machine, versions.*
  <!-- end -->
"""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

from tinybert_jax.cli import command_line
from tinybert_jax.errors import InputError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
_BLOCK = re.compile(
  r"^<!-- result (?P<name>[\w-]+)(?P<by_hand>, by hand)?: (?P<sources>[^\n]+?) -->\n(?P<text>.*?)^<!-- end -->$",
  re.DOTALL | re.MULTILINE,
)
_STAMP = re.compile(
  r"^\*(Made|Recorded) (?P<date>\d{4}-\d\d-\d\d) (at|by) commit (?P<commit>[0-9a-f]{7,40})[^*]*\*$", re.MULTILINE
)
_COMMAND = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Options:
  """Say which results of docs/results.md are older than the code that they are of, or make one again."""

  check: bool = False
  """End with an error where a result is stale or has no stamp."""
  run: str | None = None
  """Name of a result to make again: its command is run, its output takes the place of the old one, with a new stamp."""
  data: Path | None = None
  """With --run: the folder of official files that commands call GLUE."""
  debug: bool = False
  """Show the traceback of an error."""


@dataclasses.dataclass(frozen=True)
class Result:
  """A block of the page.

  Attributes:
    name: of the block.
    sources: files and folders that its numbers depend on.
    by_hand: whether somebody wrote its numbers down from runs of its command, so that `--run` cannot.
    text: between the comments.
  """

  name: str
  sources: tuple[str, ...]
  by_hand: bool
  text: str

  @property
  def stamp(self) -> re.Match[str] | None:
    """The stamp, with the groups `date` and `commit`."""
    return _STAMP.search(self.text)

  @property
  def command(self) -> str | None:
    """The commands, as a shell takes them."""
    found = _COMMAND.search(self.text)
    return found[1] if found else None


def main(options: Options) -> None:
  """Prints a line for each result, or makes one again."""
  if options.run is None:
    states = check(PAGE.read_text(encoding="utf-8"))
    for name, (stamp, state) in states.items():
      print(f"{name:24} {stamp:18} {state}")
    if options.check and (wrong := [name for name, (_, state) in states.items() if state != "fresh"]):
      raise InputError(f"not fresh: {', '.join(wrong)}; `--run NAME` makes a result again")
    return
  page = PAGE.read_text(encoding="utf-8")
  chosen = {result.name: result for result in results(page)}
  if options.run not in chosen:
    raise InputError(f"--run {options.run}: no such result; there are {', '.join(chosen)}")
  result = chosen[options.run]
  output = run(result, options.data)
  # Others may have written to the page meanwhile.
  PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), result.name, output, new_stamp()), encoding="utf-8")
  print(f"{PAGE.relative_to(ROOT)}: {result.name} is of now; see what changed by git diff, also in the words around it")


def results(page: str) -> list[Result]:
  """Returns the results of a page in their order; InputError where two have one name."""
  found = [
    Result(match["name"], tuple(match["sources"].split()), bool(match["by_hand"]), match["text"])
    for match in _BLOCK.finditer(page)
  ]
  names = [result.name for result in found]
  if twice := sorted({name for name in names if names.count(name) > 1}):
    raise InputError(f"docs/results.md: two results are called {twice[0]}")
  return found


def check(page: str) -> dict[str, tuple[str, str]]:
  """Returns the stamp of each result, and whether it is fresh, stale and why, or wrong."""
  states = {}
  for result in results(page):
    missing = [source for source in result.sources if not (ROOT / source).exists()]
    if result.stamp is None:
      state = "no stamp"
    elif missing:
      state = f"names what is not there: {', '.join(missing)}"
    else:
      state = _age(result.stamp["commit"], result.sources)
    of_stamp = f"{result.stamp['date']} {result.stamp['commit'][:7]}" if result.stamp else ""
    states[result.name] = of_stamp, state
  return states


def _age(commit: str, sources: tuple[str, ...]) -> str:
  if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
    return f"the commit {commit} is not in this repository"
  changed = _git("diff", "--name-only", commit, "--", *sources).stdout.split()  # to the files as they are now
  if not changed:
    return "fresh"
  commits = len(_git("log", "--format=%h", f"{commit}..", "--", *sources).stdout.split())
  named = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
  return f"stale: {named} changed, in {commits} commit{'s' * (commits != 1)}"


def run(result: Result, data: Path | None) -> str:
  """Returns what the command of a result prints."""
  command = result.command
  if result.by_hand or command is None or not _OUTPUT.search(result.text):
    how = f"run what it names:\n{command}" if command else "the text around it tells how"
    raise InputError(f"--run {result.name}: its numbers are written down by hand; {how}")
  if re.search(r"\bGLUE\b", command):
    if data is None:
      raise InputError(f"--run {result.name}: its command needs GLUE's official files; give their folder as --data")
    command = re.sub(r"\bGLUE\b", str(data), command)
  done = subprocess.run(["bash", "-e", "-c", command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
  if done.returncode or not done.stdout.strip():
    raise InputError(f"--run {result.name}: the command failed (exit code {done.returncode}); the page is as it was")
  return done.stdout.strip("\n") + "\n"


def renewed(page: str, name: str, output: str, stamp: str) -> str:
  """Returns the page with a result's first block of output, and its stamp, replaced."""

  def renew(match: re.Match[str]) -> str:
    if match["name"] != name:
      return match[0]
    text = _OUTPUT.sub(lambda _: f"```text\n{output}```", match["text"], count=1)
    text = _STAMP.sub(lambda _: stamp, text, count=1) if _STAMP.search(text) else f"{text}\n{stamp}\n"
    return match[0].replace(match["text"], text)

  return _BLOCK.sub(renew, page)


def new_stamp() -> str:
  """Returns the stamp of numbers that are made now, by the code as it is committed."""
  from tinybert_jax.pipeline.environment import environment

  made, commit = environment(), _git("rev-parse", "--short=7", "HEAD").stdout.strip()
  changes = " and changes to it" if _git("status", "--porcelain", "--untracked-files=no").stdout.strip() else ""
  versions = f"Python {made['python']}, JAX {made['jax']}, tinybert_jax {made['tinybert_jax']}"
  return f"*Made {made['date']} at commit {commit}{changes}; {made['machine']}; {versions}.*"


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
  command_line.run(main, Options, "python -m experiments.results", sys.argv[1:])

"""What the pages show runs: Python blocks are executed, shell commands are parsed by the programs they call."""

import re

import pytest
from markdown_pages import PAGES, ROOT, blocks
from shell_commands import check_block, commands

_TIME = re.compile(r"\b(seconds?|minutes?|hours?|days?)\b")


def named(page):
  return str(page.relative_to(ROOT))


def pages_with(language):
  pages = [page for page in PAGES if any(block.language == language for block in blocks(page))]
  return pytest.mark.parametrize("page", pages, ids=named)


@pages_with("python")
def test_python_blocks_run(page, workplace):
  namespace = {"__name__": "__main__"}
  for block in blocks(page):
    if block.language == "python":
      # Lines before it are empty, so that a traceback names the page's line.
      exec(compile("\n" * (block.line - 1) + block.text, named(page), "exec"), namespace)


@pages_with("bash")
def test_shell_commands_are_those_of_the_programs(page):
  for block in blocks(page):
    assert block.language not in ("sh", "shell", "console"), f"{page}: write bash, which this test reads"
    if block.language == "bash":
      try:
        check_block(block.text)
      except ValueError as error:
        pytest.fail(f"{named(page)}, block at line {block.line}: {error}")


@pytest.mark.parametrize(
  ("command", "problem"),
  [
    ("tinybert-jax distil --teecher ./my-bert --train train.csv", "--teecher"),
    ("tinybert-jax distil --kind sorting", "sorting"),
    ("tinybert-jax distill --train train.csv", "no such command"),
    ("python -m experiments.glue --task cola --pretrained $(python -m experiments.demo_data nothing)", "nothing"),
    ("A=1 python -m experiments.general --cpu && python -m experiments.nothing --cpu", "no such module"),
    ("python -m experiments.demo_data texts | python -m experiments.mlm --texts texts.txt", "--texts"),
    ("make dmeo", "no such target"),
    ('make demo ARGS="--sead 1"', "--sead"),
    ("python examples/nothing.py", "no such file"),
    ("pip install --editable '.[nothing]'", "no extra"),
    ("tinybert distil", "not a program"),
  ],
)
def test_a_wrong_command_is_found(command, problem):
  with pytest.raises(ValueError, match=problem):
    check_block(command + "\n")


def test_commands_are_split_as_a_shell_splits_them():
  line = "A=1 python -m a $(python -m b) > out.txt && c 'd e' | f  # 2 minutes"
  assert list(commands(line)) == [
    ["python", "-m", "b"], ["A=1", "python", "-m", "a", "SUBSTITUTED"], ["c", "d e"], ["f"]
  ]  # fmt: skip


def test_every_block_of_the_readme_says_how_long_it_takes():
  for block in blocks(ROOT / "README.md"):
    assert _TIME.search(block.text) or _TIME.search(block.before), f"README.md, line {block.line}"


@pytest.mark.parametrize("page", [page for page in PAGES if "docs" in page.parts], ids=named)
def test_every_page_begins_with_a_program(page):
  first = blocks(page)[0]
  assert first.language in ("python", "bash") and first.line < 20

"""The pages lead somewhere, hold nothing of one machine, and name what there is."""

import re

import pytest
from markdown_pages import PAGES, ROOT, anchors, blocks, dead_links, links, prose

import tinybert_jax


def test_the_readme_is_short():
  assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
  assert dead_links(page) == []


def test_dead_links_are_found(tmp_path):
  page = tmp_path / "page.md"
  (tmp_path / "other.md").write_text("# A title: `code` & more\n")
  page.write_text(
    "# Here\n[a](other.md) [b](other.md#a-title-code--more) [c](#here) [d](https://arxiv.org/abs/1909.10351)\n"
    "[e](nothing.md) ![f](figures/nothing.png) [g](other.md#nothing) [h](#there) [i](/etc/passwd)\n"
    "```{literalinclude} nothing.py\n```\n"
  )
  assert anchors(tmp_path / "other.md") == {"a-title-code--more"}
  assert dead_links(page) == [
    "nothing.md", "figures/nothing.png", "other.md#nothing", "#there", "/etc/passwd", "nothing.py"
  ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_hold_nothing_of_one_machine_or_registry(page):
  found = re.findall(r"/(?:home|work|root|Users|tmp)/\S*|pypi\.org|pythonhosted\.org", page.read_text(encoding="utf-8"))
  assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page):
  named = re.findall(r"`((?:tests|tinybert_jax|experiments|examples|notebooks|docs)/[\w./]+\.\w+)`", prose(page))
  assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_of_the_site_is_in_a_table_of_contents():
  docs = {page for page in PAGES if "docs" in page.parts}
  named = {(page.parent / target).resolve() for page in docs for target in links(page) if target.endswith(".md")}
  assert docs - named == {ROOT / "docs" / "index.md"}


def test_the_api_lists_the_names_of_the_front_door_and_documents_their_modules():
  index = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
  rows = [line for line in index.splitlines() if line.startswith("| ")]
  assert sorted(re.findall(r"`(\w+)`", "\n".join(rows))) == sorted(tinybert_jax.__all__)
  documented = set()
  for page in PAGES:
    for block in blocks(page):
      documented |= set(re.findall(r"automodule:: (\S+)", block.text))
  modules = {getattr(tinybert_jax, name).__module__ for name in tinybert_jax.__all__ if name not in ("PRESETS",)}
  assert modules - documented == set()

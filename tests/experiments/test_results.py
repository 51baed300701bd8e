"""`experiments.results`: stale results of a page are found, and made again in their place; the real page is stamped."""

import re
import subprocess

import pytest

from experiments import results
from experiments.results import Options
from tinybert_jax.errors import InputError

PAGE = """# Results

<!-- result speed: code.py data -->
```bash
echo "5 $(basename GLUE)"
echo 6
```

About 3 ms:

```text
3
```

*Made 2026-01-02 at commit {commit}; one core.*
<!-- end -->

Words between.

<!-- result quality, by hand: code.py -->
| a | b |
*Recorded 2026-01-02 by commit {other}; two cores.*
<!-- end -->

<!-- result bare: data -->
![picture](picture.png)
<!-- end -->
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
  """A repository with a page, one commit after that of its first stamp."""

  def git(*arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
    return done.stdout.strip()

  git("init")
  (tmp_path / "data").mkdir()
  for name in ("code.py", "data/rows.txt"):
    (tmp_path / name).write_text("1\n")
  git("add", ".")
  git("commit", "-m", "first")
  commit = git("rev-parse", "HEAD")
  (tmp_path / "code.py").write_text("2\n")
  git("commit", "-am", "second")
  (tmp_path / "docs").mkdir()
  page = tmp_path / "docs" / "results.md"
  page.write_text(PAGE.format(commit=commit, other=git("rev-parse", "HEAD")))
  monkeypatch.setattr(results, "ROOT", tmp_path)
  monkeypatch.setattr(results, "PAGE", page)
  return page


def test_stale_results_are_told_from_fresh_ones(page, capsys):
  states = {name: state for name, (_, state) in results.check(page.read_text()).items()}
  assert states == {"speed": "stale: code.py changed, in 1 commit", "quality": "fresh", "bare": "no stamp"}
  (page.parents[1] / "code.py").write_text("3\n")  # not committed yet
  (page.parents[1] / "data" / "rows.txt").unlink()
  (page.parents[1] / "data").rmdir()
  page.write_text(re.sub("by commit [0-9a-f]+", "by commit abcdef0", page.read_text()))
  states = {name: state for name, (_, state) in results.check(page.read_text()).items()}
  assert states["speed"] == "names what is not there: data"
  assert states["quality"] == "the commit abcdef0 is not in this repository"
  with pytest.raises(InputError, match="not fresh: speed, quality, bare"):
    results.main(Options(check=True))
  assert "2026-01-02 abcdef0" in capsys.readouterr().out


def test_a_result_is_made_again_in_its_place(page, tmp_path):
  before = page.read_text()
  with pytest.raises(InputError, match="--run speed: its command needs GLUE's official files; give their folder"):
    results.main(Options(run="speed"))
  results.main(Options(run="speed", data=tmp_path / "rows"))
  after = page.read_text()
  assert "```text\n5 rows\n6\n```" in after and "About 3 ms:" in after and "```text\n3\n" not in after
  head, tail = before.partition("```text")[0], before.partition("Words between.")[2]
  assert after.startswith(head) and after.endswith(tail)
  assert results.check(after)["speed"][1] == "fresh" and after.count("*Made") == 1
  with pytest.raises(InputError, match="--run quality: its numbers are written down by hand"):
    results.main(Options(run="quality"))
  with pytest.raises(InputError, match="--run nothing: no such result; there are speed, quality, bare"):
    results.main(Options(run="nothing"))
  page.write_text(after.replace("echo 6", "exit 3"))
  with pytest.raises(InputError, match=r"--run speed: the command failed \(exit code 3\); the page is as it was"):
    results.main(Options(run="speed", data=tmp_path / "rows"))
  page.write_text(after.replace("quality", "speed"))
  with pytest.raises(InputError, match="two results are called speed"):
    results.check(page.read_text())


def test_each_table_and_figure_of_the_page_is_in_a_stamped_result():
  page = results.PAGE.read_text(encoding="utf-8")
  found = results.results(page)
  assert [result.name for result in found if result.stamp is None] == []
  assert [source for result in found for source in result.sources if not (results.ROOT / source).exists()] == []
  _, *sections = re.split(r"^## ", re.sub(r"^<!-- result .*?^<!-- end -->$", "", page, flags=re.DOTALL | re.MULTILINE),
                          flags=re.MULTILINE)  # fmt: skip
  outside = [section.splitlines()[0] for section in sections if re.search(r"^(\||!\[|```text)", section, re.MULTILINE)]
  assert outside == []

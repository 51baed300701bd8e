"""Tables of ablations from made-up scores: means, spreads, changes seed by seed, and runs that lack."""

import statistics

import pytest

from tinybert_jax.pipeline.ablation_table import Row, markdown, spread, summarize
from tinybert_jax.pipeline.figures.ablations import changes

TASKS = ("CoLA", "RTE")
BASE = Row("base", "base", TASKS, 75.6)
ROWS = (
  BASE,
  Row("worse", "without it", TASKS, 72.5),
  Row("partly", "not in RTE", ("CoLA",)),
  Row("never", "failed everywhere", TASKS),
)
SCORES = {
  ("base", "CoLA", 0): 0.20, ("base", "CoLA", 1): 0.30, ("base", "RTE", 0): 0.60, ("base", "RTE", 1): 0.50,
  ("worse", "CoLA", 0): 0.10, ("worse", "CoLA", 1): 0.24, ("worse", "RTE", 0): 0.60,
  ("partly", "CoLA", 0): 0.25, ("partly", "CoLA", 1): 0.37,
}  # fmt: skip


def test_means_and_spreads_are_those_of_statistics():
  table = {row["name"]: row for row in summarize(ROWS, SCORES, BASE, TASKS, (0, 1))}
  cola = table["base"]["tasks"]["CoLA"]
  assert cola["mean"] == pytest.approx(statistics.mean([20, 30]))
  assert cola["deviation"] == pytest.approx(statistics.stdev([20, 30]))
  assert (table["base"]["average"]["mean"], table["base"]["average"]["deviation"]) == pytest.approx((40, 0))
  # Seed 1 has no score in RTE, so seed 0 alone counts in average and change, and the table says so.
  worse = table["worse"]
  assert (worse["tasks"]["RTE"]["missing"], worse["average"]["seeds"], worse["average"]["missing"]) == (1, 1, 1)
  assert worse["average"]["mean"] == pytest.approx(35) and worse["change"]["mean"] == pytest.approx(-5)
  assert worse["change"]["by_seed"] == [pytest.approx(-0.05), None] and worse["paper_change"] == -3.1
  # Of fewer tasks, the base's average is over those alone.
  assert table["partly"]["change"]["mean"] == pytest.approx(statistics.mean([5, 7]))
  assert table["partly"]["change"]["deviation"] == pytest.approx(statistics.stdev([5, 7]))
  assert table["never"]["average"]["mean"] is None and table["never"]["change"]["missing"] == 2


def test_the_page_tells_what_lacks():
  lines = markdown(summarize(ROWS, SCORES, BASE, TASKS, (0, 1)), TASKS).splitlines()
  assert lines[0] == "| dev, × 100 | CoLA | RTE | average | change | paper's average | paper's change |"
  assert lines[2] == "| base | 25.00 ± 7.07 | 55.00 ± 7.07 | 40.00 ± 0.00 |  | 75.6 |  |"
  assert lines[3] == "| without it | 17.00 ± 9.90 | 60.00 (1 of 2) | 35.00 (1 of 2) | -5.00 (1 of 2) | 72.5 | -3.1 |"
  assert lines[4] == "| not in RTE | 31.00 ± 8.49 |  | 31.00 ± 8.49 of CoLA | +6.00 ± 1.41 |  |  |"
  assert lines[5] == "| failed everywhere | – | – | – | – |  |  |"
  assert len({line.count("|") for line in lines}) == 1
  assert str(spread([0.5])) == "50.00"


def test_a_picture_of_what_there_is(tmp_path):
  table = summarize(ROWS, SCORES, BASE, TASKS, (0, 1))
  assert changes(tmp_path / "all.png", {"Table": table}) and (tmp_path / "all.png").stat().st_size > 5_000
  assert not changes(tmp_path / "none.png", {"Table": summarize(ROWS, {}, BASE, TASKS, (0, 1))})
  assert not (tmp_path / "none.png").exists()

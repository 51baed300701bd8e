"""What `experiments.ablations` writes: tables in Markdown and JSON, what differs from the paper, and a picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinybert_jax.cli import command_line
from tinybert_jax.cli.ablation_variants import BASE, NOTES, PAPERS_BASE, TITLES, VARIANTS
from tinybert_jax.cli.ablations_options import Options
from tinybert_jax.cli.glue_options import PAPERS_EPOCHS
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.directories import replace_file
from tinybert_jax.pipeline import ablation_table
from tinybert_jax.pipeline.ablation_table import Row
from tinybert_jax.pipeline.environment import environment
from tinybert_jax.pipeline.figures import ablations as figures
from tinybert_jax.pipeline.metric_names import words
from tinybert_jax.pipeline.students import shape_in_words
from tinybert_jax.tasks.glue import GlueTask
from tinybert_jax.training import hosts

_TEACHER = "teacher"


class Report:
  """The scores that there are, and what is written of them.

  Attributes:
    scores: on dev, by variant, task and seed.
    failed: runs without a score, in words.
  """

  def __init__(
    self,
    options: Options,
    rows: Sequence[GlueTask],
    left_out: Mapping[str, Mapping[str, str]],
    teacher: EncoderConfig,
    student: EncoderConfig,
  ):
    """Args:
    options: of the command.
    rows: its tasks.
    left_out: why a variant is left out, by its name and the task's.
    teacher: its shape.
    student: its shape.
    """
    self._options, self._rows, self._left_out = options, rows, left_out
    self._shapes = teacher, student
    self._tasks = [row.name for row in rows]
    self.scores: dict[tuple[str, str, int], float] = {}
    self.failed: list[str] = []
    self._runs: list[dict[str, Any]] = []

  def add(self, variant: str, task: str, seed: int, found: Mapping[str, Any]) -> None:
    """Takes in the score of a run, as `ablations.score` returns it."""
    self.scores[variant, task, seed] = found["score"]
    if variant == BASE:
      self.scores[_TEACHER, task, seed] = found["teacher"]
    kept = {name: value for name, value in found.items() if name != "made_from"}
    self._runs.append({"variant": variant, "task": task, "seed": seed, **kept})

  def left_out_lines(self) -> list[str]:
    """Returns a line for each variant that is left out in a task, with the reason."""
    lines = []
    for name, why in self._left_out.items():
      for reason in dict.fromkeys(why.values()):
        where = [task for task, given in why.items() if given == reason]
        of_tasks = "" if len(where) == len(self._tasks) else f" in {', '.join(where)}"
        lines.append(f"`{name}` is left out{of_tasks}: {reason}")
    return lines

  def write(self, with_picture: bool = False) -> str:
    """Returns the page, which it writes as `ablations.md` with `ablations.json`, and if asked for the picture."""
    tables = self._tables()
    page = self._page(tables)

    def write() -> None:
      out = self._options.out
      drawn = with_picture and figures.changes(out / "ablations.png", tables)
      known = {
        "command": command_line.command(),
        "options": command_line.as_json(self._options),
        "environment": environment(),
        "tables": tables,
        "left_out": self._left_out,
        "failed": self.failed,
        "runs": self._runs,
      }
      picture = "\n![The change of each variant against the base](ablations.png)\n" if drawn else ""
      for name, text in (("ablations.md", page + picture), ("ablations.json", json.dumps(known, indent=2) + "\n")):
        with replace_file(out / name) as new:
          new.write_text(text, encoding="utf-8")

    hosts.on_first(write)
    return f"{page}\nThe tables are in {self._options.out}, as ablations.md, .json and .png."

  def _tables(self) -> dict[str, list[dict[str, Any]]]:
    """Returns the rows of each table by its title: teacher, base, and the variants that are not left out everywhere."""
    base = Row(BASE, "base", tuple(self._tasks), PAPERS_BASE)
    tables = {}
    for table, title in TITLES.items():
      rows = [Row(_TEACHER, _TEACHER, tuple(self._tasks)), base]
      for name, variant in VARIANTS.items():
        is_chosen = name in self._options.variants if self._options.variants else table in self._options.tables
        tasks = tuple(task for task in self._tasks if task not in self._left_out.get(name, {}))
        if variant.table == table and is_chosen and tasks:
          rows.append(Row(name, variant.words, tasks, variant.paper))
      if len(rows) > 2:
        summary = ablation_table.summarize(rows, self.scores, base, self._tasks, self._options.seeds)
        tables[title] = [{**row, "change": None} if row["name"] == _TEACHER else row for row in summary]
    return tables

  def _page(self, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    made = environment()
    seeds = self._options.seeds
    over = f"mean ± standard deviation of seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    lines = [
      "# Ablations",
      "",
      f"```bash\n{command_line.command()}\n```",
      "",
      f"Made on {made['date']}: tinybert_jax {made['tinybert_jax']}, JAX {made['jax']}, {made['machine']}, "
      f"{made['devices']}. Scores on dev, × 100, {over}; the change is that of the average, seed by seed.",
    ]
    for title, table in tables.items():
      lines += ["", f"## {title}", "", ablation_table.markdown(table, self._tasks)]
    notes = [f"{VARIANTS[name].words} {NOTES[name]}." for name in VARIANTS if name in NOTES and _is_in(tables, name)]
    for heading, entries in (
      ("What the rows are", ["base: the run of `glue` that the options describe.", *notes]),
      ("What differs from the paper", self._differences()),
      ("Left out", self.left_out_lines()),
      ("Failed", self.failed),
    ):
      if entries:
        lines += ["", f"## {heading}", "", *(f"- {entry[:1].upper()}{entry[1:]}" for entry in entries)]
    return "\n".join(lines) + "\n"

  def _differences(self) -> list[str]:
    options, (teacher, student) = self._options, self._shapes
    scores = [f"{row.name} by {' and '.join(map(words, row.metrics))}" for row in self._rows]
    intermediate = {
      row.name: f"{options.intermediate_steps} steps"
      if options.intermediate_steps
      else f"{options.intermediate_epochs or row.intermediate_epochs} epochs"
      for row in self._rows
    }
    passes = [f"{', '.join(task for task in intermediate if intermediate[task] == value)}: {value}"
              for value in dict.fromkeys(intermediate.values())]  # fmt: skip
    steps, epochs = options.prediction_steps, options.prediction_epochs or PAPERS_EPOCHS
    last = f"{steps} steps" if steps else f"{epochs} epochs"
    augmented = [row.name for row in self._rows if (options.augment or row.is_augmented) and not options.no_augment]
    rows = f"; at most {options.max_train_examples:,} training rows" if options.max_train_examples else ""
    return [
      "the paper's numbers are averages of MNLI-m, MNLI-mm, MRPC and CoLA on dev, of one student; here the average is "
      f"over {'; '.join(scores)}, the best evaluation in training.",
      f"the paper's models: BERT-base (12 layers x 768) and 4 layers x 312, from general distillation over Wikipedia; "
      f"here {_called(options.teacher or options.pretrained)} ({shape_in_words(teacher)}) and "
      f"{_called(options.student)} ({shape_in_words(student)}).",
      "the paper's training: augmented data, 20 epochs of intermediate distillation (50 in CoLA, 10 in MNLI) and 3 of "
      f"prediction distillation; here {', '.join(augmented) if augmented else 'nothing'} is augmented, intermediate "
      f"distillation has {'; '.join(passes)}, prediction distillation {last}{rows}.",
      "the rows without task distillation and without the prediction loss are our reading of the paper, as told above.",
    ]


def _called(name: str) -> str:
  """Returns a hub id or a preset as it is, and of a path its last part."""
  return Path(name).name if Path(name).exists() else name


def _is_in(tables: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> bool:
  return any(row["name"] == name for table in tables.values() for row in table)

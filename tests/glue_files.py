"""GLUE's official files in small: their headers and columns as the benchmark ships them, rows made here."""

from pathlib import Path

import numpy as np

# Header of train and dev (none for CoLA), of test, and a row's cells from its number, texts a and b, and label.
STS = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
MNLI = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"  # fmt: skip # noqa: E501
LAYOUTS = {
  "CoLA": (None, "index\tsentence", "gj04\t{y}\t\t{a}", "{i}\t{a}"),
  "SST-2": ("sentence\tlabel", "index\tsentence", "{a}\t{y}", "{i}\t{a}"),
  "MRPC": (
    "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "\ufeffindex\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "{y}\t7\t8\t{a}\t{b}",
    "{i}\t7\t8\t{a}\t{b}",
  ),
  "STS-B": (f"{STS}\tscore", STS, "{i}\tg\tf\t2012\t1\ts\ts\t{a}\t{b}\t{y}", "{i}\tg\tf\t2012\t1\ts\ts\t{a}\t{b}"),
  "QQP": (
    "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
    "id\tquestion1\tquestion2",
    "{i}\t1\t2\t{a}\t{b}\t{y}",
    "{i}\t{a}\t{b}",
  ),
  "MNLI": (
    f"{MNLI}\tlabel1\tgold_label",
    MNLI,
    "{i}\t1\t2\tg\tp\tp\tp\tp\t{a}\t{b}\tneutral\t{y}",
    "{i}\t1\t2\tg\tp\tp\tp\tp\t{a}\t{b}",
  ),
  "QNLI": ("index\tquestion\tsentence\tlabel", "index\tquestion\tsentence", "{i}\t{a}\t{b}\t{y}", "{i}\t{a}\t{b}"),
  "RTE": ("index\tsentence1\tsentence2\tlabel", "index\tsentence1\tsentence2", "{i}\t{a}\t{b}\t{y}", "{i}\t{a}\t{b}"),
  "WNLI": ("index\tsentence1\tsentence2\tlabel", "index\tsentence1\tsentence2", "{i}\t{a}\t{b}\t{y}", "{i}\t{a}\t{b}"),
}
LABELS = {
  "STS-B": ("0.000", "5.000"),
  "MNLI": ("contradiction", "entailment", "neutral"),
  "QNLI": ("not_entailment", "entailment"),
  "RTE": ("not_entailment", "entailment"),
}
WORDS = ("hello", "world", '"', "café")


def write_task(root: Path, task: str, rows: int = 40, seed: int = 0) -> Path:
  """Returns the folder `root`/`task` with all official files; a row's label is how often it begins with hello."""
  folder = root / task
  folder.mkdir(parents=True)
  header, test_header, row, test_row = LAYOUTS[task]
  names = LABELS.get(task, ("0", "1"))
  rng = np.random.default_rng(seed)

  def lines(number, first, layout):
    made = [first] if first is not None else []
    for i in range(number):
      a, b = (" ".join(rng.choice(WORDS, size=rng.integers(1, 3))) for _ in range(2))
      begins = a.startswith("hello") + (len(names) == 3) * b.startswith("hello")
      made.append(layout.format(i=i, a=a, b=b, y=names[begins]))
    return "\n".join(made) + "\n"

  suffixes = ("_matched", "_mismatched") if task == "MNLI" else ("",)
  (folder / "train.tsv").write_text(lines(rows, header, row), encoding="utf-8")
  for suffix in suffixes:
    (folder / f"dev{suffix}.tsv").write_text(lines(rows // 2, header, row), encoding="utf-8")
    (folder / f"test{suffix}.tsv").write_text(lines(rows // 2, test_header, test_row), encoding="utf-8")
  return folder


def write_diagnostic(root: Path, rows: int = 5) -> None:
  """Writes the diagnostic sentences."""
  (root / "diagnostic").mkdir()
  text = "index\tsentence1\tsentence2\n" + "".join(f"{i}\thello\tworld\n" for i in range(rows))
  (root / "diagnostic" / "diagnostic.tsv").write_text(text)

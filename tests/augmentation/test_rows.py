import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from glue_files import LAYOUTS, write_task
from small_mlm import make_tokenizer, make_vectors, write_text

from tinybert_jax.augmentation import rows as augmented
from tinybert_jax.augmentation.copies import Augmenter, draw_copies, row_generator
from tinybert_jax.data.batches import BatchSource, row_length, tokenize
from tinybert_jax.data.fingerprint import of_rows
from tinybert_jax.errors import InputError
from tinybert_jax.tasks.glue import find_task
from tinybert_jax.tasks.glue_files import load_rows, read_tsv, write_augmented


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
  monkeypatch.setattr(augmented, "ROWS_IN_PART", 4)


def make_rows(number=14, pairs=True):
  rng = np.random.default_rng(0)
  columns = {"index": [f"id{i}" for i in range(number)], "text": [write_text(rng, 6) for _ in range(number)]}
  if pairs:
    columns["pair"] = [write_text(rng, 4) for _ in range(number)]
  return datasets.Dataset.from_dict(columns | {"label": [i % 3 for i in range(number)]})


def make_augmenter():
  return Augmenter(None, None, make_vectors(), number=4)


def write(directory, rows, **options):
  directory.mkdir(exist_ok=True)
  augmented.write_parts(directory, rows, make_augmenter(), **({"copies": 3, "seed": 5, "replaced": 0.8} | options))
  return pa.concat_tables(augmented.read_parts(directory)).to_pylist() if options.get("processes", 1) == 1 else None


@pytest.mark.parametrize("pairs", [True, False])
def test_each_row_stands_before_its_copies_and_none_repeats(tmp_path, pairs):
  rows = make_rows(pairs=pairs)
  made = write(tmp_path, rows)
  expected, augmenter = [], make_augmenter()
  for number, row in enumerate(rows):
    copies = [row]
    for s, side in enumerate(("text", "pair") if pairs else ("text",)):
      text, candidates = augmenter([row[side]])[0]
      for drawn in draw_copies(text, candidates, 3, row_generator(5, number, s), 0.8):
        if row | {side: drawn} not in copies:
          copies.append(row | {side: drawn})
    expected += [copy | {"copy": c} for c, copy in enumerate(copies)]
  assert made == expected
  assert len(rows) < len(made) < len(rows) * (1 + 3 * (1 + pairs))  # some were repetitions
  assert [path.name for path in sorted(tmp_path.iterdir())] == [f"part-{n:06}.parquet" for n in range(4)]


def test_processes_and_restarts_write_the_same(tmp_path):
  rows = make_rows()
  expected = write(tmp_path / "one", rows)
  for process in (2, 0, 1):
    write(tmp_path / "three", rows, process=process, processes=3)
  assert pa.concat_tables(augmented.read_parts(tmp_path / "three")).to_pylist() == expected
  for number in (1, 3):  # as a kill leaves it: parts missing, and one half written
    (tmp_path / "three" / f"part-{number:06}.parquet").unlink()
  (tmp_path / "three" / "part-000001.new").write_bytes(b"PAR1 and no more")
  kept = (tmp_path / "three" / "part-000000.parquet").stat().st_mtime_ns
  assert augmented.missing_parts(tmp_path / "three", len(rows)) == 2
  assert write(tmp_path / "three", rows) == expected
  assert (tmp_path / "three" / "part-000000.parquet").stat().st_mtime_ns == kept
  assert augmented.missing_parts(tmp_path / "three", len(rows)) == 0


def test_an_error_while_a_part_is_written_comes_through(tmp_path, monkeypatch):
  def full(*args):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(pq, "write_table", full)
  with pytest.raises(OSError, match="No space left"):
    write(tmp_path, make_rows(4))


def test_tokens_are_those_of_the_texts_and_made_once(tmp_path):
  rows, tokenizer = make_rows(), make_tokenizer()
  made = write(tmp_path / "parts", rows)
  path = tmp_path / "tokens.arrow"

  def tokens(max_length=16, made_from=1):
    return augmented.tokenize_parts(
      tmp_path / "parts", path, tokenizer, max_length=max_length, made_from={"seed": made_from}
    )

  found = tokens()
  plain = tokenize(
    tokenizer,
    [row["text"] for row in made],
    [row["pair"] for row in made],
    max_length=16,
    labels=[row["label"] for row in made],
  )
  assert found.to_dict() == plain.select_columns(found.column_names).to_dict()
  assert row_length(found).tolist() == row_length(plain).tolist()
  source = BatchSource(found, batch_size=8, lengths=(16,))
  assert source[0]["token_type_ids"].max() == 1 and source[0]["labels"].dtype == np.int32
  before = path.stat().st_mtime_ns
  tokens()
  assert path.stat().st_mtime_ns == before
  assert row_length(tokens(max_length=8)).max() == 8  # another length
  path.write_bytes(path.read_bytes()[:100])  # damaged
  assert of_rows(tokens()) == of_rows(found)
  changed = path.stat().st_mtime_ns
  tokens(made_from=2)
  assert path.stat().st_mtime_ns != changed


def test_what_is_not_there_or_damaged_is_said(tmp_path):
  with pytest.raises(InputError, match=r"no part-\*.parquet there"):
    list(augmented.read_parts(tmp_path))
  (tmp_path / "part-000000.parquet").write_bytes(b"no parquet")
  with pytest.raises(InputError, match=r"part-000000.parquet: not a readable Parquet file"):
    list(augmented.read_parts(tmp_path))
  with pytest.raises(InputError, match=r"part-000000.parquet: not a readable Parquet file"):
    augmented.tokenize_parts(tmp_path, tmp_path / "t.arrow", make_tokenizer(), max_length=8, made_from={})


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_the_official_layout_with_all_other_cells(tmp_path, name):
  task, data = find_task(name), tmp_path / "data"
  folder = write_task(data, name, rows=9)
  rows = load_rows(task, "train", data).rows
  made = write(tmp_path / "parts", rows)
  path = tmp_path / "train.tsv"
  write_augmented(path, task, data, augmented.read_parts(tmp_path / "parts"))
  again = read_tsv(task, "train", path).rows
  for column in ("text", "pair", "label"):
    if column in rows.column_names:
      assert again[column][:] == [row[column] for row in made]
  source, lines = ((folder / "train.tsv").read_text().splitlines(), path.read_text().splitlines())
  if task.headerless:
    assert lines[0] == source[0]
  else:
    assert lines[0] == source[0].removeprefix("\ufeff") and lines[1] == source[1]


@pytest.mark.parametrize("name", ["CoLA", "STS-B", "MNLI"])
def test_rows_of_the_hub_in_the_official_layout(tmp_path, name):
  task = find_task(name)
  label = [2.5, 0.0] if task.is_regression else [1, 0]
  columns = {"index": ["7", "8"], "text": ["a\tfox", "b\r\nc"], "label": label}
  if len(task.texts) == 2:
    columns["pair"] = ["d", "e"]
  write_augmented(tmp_path / "train.tsv", task, None, [pa.table(columns)])
  rows = read_tsv(task, "train", tmp_path / "train.tsv").rows
  assert rows["text"][:] == ["a fox", "b  c"] and rows["label"][:] == label


def test_hostile_text_goes_through_whole(tmp_path):
  texts = [
    "",
    "fox dogs",
    "fox " * 600,
    "😀 quickness",
    "中文",
    "<b>reading</b>",
    "a\tb",
    "\x00\x07 foxs",
    "\u2028 fox",
  ]
  rows = datasets.Dataset.from_dict({"text": texts, "label": [0] * len(texts)})
  made = write(tmp_path / "parts", rows)
  assert [row["text"] for row in made if not row["copy"]] == texts
  tokens = augmented.tokenize_parts(
    tmp_path / "parts", tmp_path / "t.arrow", make_tokenizer(), max_length=32, made_from={}
  )
  assert tokens["labels"][:] == [0] * len(made)
  assert [row[0] for row in tokens["input_ids"]] == [make_tokenizer().cls_token_id] * len(made)


def test_rows_without_a_copy_are_counted(tmp_path):
  rows = datasets.Dataset.from_dict({"text": ["quickness reading", "the of", "12 !", "foxs", "the", "wolves speed"]})
  write(tmp_path, rows, replaced=1.0)
  assert augmented.count_without_copy(tmp_path) == 3


@pytest.mark.parametrize(
  ("change", "said"),
  [({"copies": 0}, "copies 0: at least 1"), ({"replaced": 1.5}, "replaced 1.5: the probability"),
   ({"process": 2, "processes": 2}, "process 2: it must be from 0 to 1")],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(tmp_path, change, said):
  with pytest.raises(InputError, match=said):
    write(tmp_path, make_rows(), **change)
  with pytest.raises(InputError, match="no column text; there are body"):
    write(tmp_path, datasets.Dataset.from_dict({"body": ["a"]}))

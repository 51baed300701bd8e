"""`experiments.augment` on small files in GLUE's layout."""

import dataclasses
import json
import shutil
import signal
import time
from pathlib import Path

import jax
import pyarrow as pa
import pytest
from glue_files import write_task
from processes import Started
from small_mlm import CONFIG, make_tokenizer, write_model, write_vectors

from tinybert_jax.augmentation import rows as augmented
from tinybert_jax.cli import augment
from tinybert_jax.cli.augment import Options
from tinybert_jax.errors import InputError
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.pipeline import stages
from tinybert_jax.pipeline.lock import only_run
from tinybert_jax.tasks.glue import find_task
from tinybert_jax.tasks.glue_files import load_rows
from tinybert_jax.training.hosts import Hosts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  root = tmp_path_factory.mktemp("augment")
  write_task(root / "data", "MRPC", rows=30)
  write_task(root / "data", "CoLA", rows=30)
  return Options(
    task="mrpc",
    data=root / "data",
    out=root / "out",
    mlm=write_model(root / "mlm"),
    glove=write_vectors(root / "glove.txt"),
    copies=4,
    candidates=5,
    max_length=32,
    batch_size=16,
  )


@pytest.fixture
def options(made, tmp_path, monkeypatch):
  one = jax.local_devices()[:1]
  monkeypatch.setattr(jax, "local_devices", lambda: one)
  return dataclasses.replace(made, out=tmp_path / "out")


def rows_of(folder):
  return pa.concat_tables(augmented.read_parts(folder)).to_pylist()


def test_one_command_writes_rows_and_the_official_layout_and_is_reused(options, capsys):
  augment.main(dataclasses.replace(options, tsv=True))
  folder = options.out / "MRPC" / "augmented"
  rows = rows_of(folder)
  record = stages.read_record(folder, "MRPC")
  assert (record["source_rows"], record["rows"]) == (30, len(rows))
  again = load_rows(find_task("mrpc"), "train", folder).rows
  assert again["text"][:] == [row["text"] for row in rows]
  out = capsys.readouterr().out
  assert f"{len(rows):,} rows of 30 are in {folder}" in out and "words of several pieces by" in out
  augment.main(options)
  assert "augmented     reused from" in capsys.readouterr().out
  augment.main(dataclasses.replace(options, seed=1))
  assert "augmented     done again: seed was 0 and is 1" in capsys.readouterr().out
  assert rows_of(folder) != rows
  augment.main(dataclasses.replace(options, batch_size=3))
  assert rows_of(folder) == rows


def test_a_trial_shows_candidates_and_writes_nothing(options, capsys):
  augment.main(dataclasses.replace(options, show=20))
  out = capsys.readouterr().out
  assert "hello: " in out and not options.out.exists()


def test_the_lines_of_a_text_file(options, tmp_path):
  (tmp_path / "my.txt").write_text("the quick fox\r\n\n  \na dog eats bread\n", encoding="utf-8")
  given = dataclasses.replace(options, task=None, data=None, text=tmp_path / "my.txt", replaced=0.9)
  augment.main(given)
  rows = rows_of(options.out / "my" / "augmented")
  assert [row["text"] for row in rows if not row["copy"]] == ["the quick fox", "a dog eats bread"]
  assert len(rows) > 4
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "my.txt").write_text("a cat\n")
  with pytest.raises(
    InputError, match=r"my/augmented: made from other lines than these of .*other/my.txt .*another --out"
  ):
    augment.main(dataclasses.replace(given, text=tmp_path / "other" / "my.txt"))
  assert rows_of(options.out / "my" / "augmented") == rows
  (tmp_path / "my.txt").write_text("\n")
  with pytest.raises(InputError, match=r"my.txt: no text there"):
    augment.main(given)


def test_what_was_not_replaced_is_told(options, tmp_path, capsys):
  given = dataclasses.replace(options, task=None, data=None, text=tmp_path / "my.txt", glove=None)
  (tmp_path / "my.txt").write_bytes("今天\nthe of 12\n".encode() + b"caf\xe9\n")
  augment.main(given)
  out = capsys.readouterr().out
  assert "nothing was replaced: no row has a copy" in out and "1 line left out that is not UTF-8 text" in out
  assert [row["text"] for row in rows_of(options.out / "my" / "augmented")] == ["今天", "the of 12"]
  (tmp_path / "my.txt").write_text("the fox\nthe of\n")
  augment.main(dataclasses.replace(given, out=tmp_path / "more", replaced=1.0))
  assert "1 of 2 rows have no copy, for no word of theirs was replaced" in capsys.readouterr().out


def test_a_killed_run_goes_on_where_it_was(options, monkeypatch):
  monkeypatch.setattr(augmented, "ROWS_IN_PART", 4)
  augment.main(options)
  expected = rows_of(options.out / "MRPC" / "augmented")
  write, written = augmented._write_part, []

  def stop(path, *args):
    if len(written) == 2:
      raise KeyboardInterrupt
    write(path, *args)
    written.append(path)

  killed = dataclasses.replace(options, out=options.out / "killed")
  monkeypatch.setattr(augmented, "_write_part", stop)
  with pytest.raises(KeyboardInterrupt):
    augment.main(killed)
  monkeypatch.setattr(augmented, "_write_part", write)
  assert not (killed.out / "MRPC" / "augmented").exists()
  assert len(list((killed.out / "MRPC" / "augmented.unfinished").glob("part-*.parquet"))) == 2
  augment.main(killed)
  assert rows_of(killed.out / "MRPC" / "augmented") == expected
  assert not list((killed.out / "MRPC").glob("*.unfinished*"))


def arguments(options):
  given = dataclasses.asdict(options).items()
  return [
    f"--{name.replace('_', '-')}={value}"
    for name, value in given
    if name != "hosts" and value != getattr(Options(), name)
  ]


def test_processes_of_their_own_and_a_kill(options, tmp_path):
  """Two processes share the work; the second is killed as soon as the work is under way, and started again."""
  small = (
    "from tinybert_jax.augmentation import rows; rows.ROWS_IN_PART = 4; "
    "from tinybert_jax.cli import augment; from tinybert_jax.cli import command_line; "
    "command_line.run(augment.main, augment.Options, 'python -m experiments.augment')"
  )

  def start(out, *more):
    return Started(small, *arguments(dataclasses.replace(options, out=out)), *more)

  both = ("--num-processes=2", "--process-id=1")
  second = start(tmp_path / "two", *both)
  first = start(tmp_path / "two", both[0], "--process-id=0")
  work = tmp_path / "two" / "MRPC" / "augmented.unfinished"
  deadline = time.monotonic() + 120
  while not list(work.glob("part-*.parquet")) and time.monotonic() < deadline:
    time.sleep(0.05)
  second.send_signal(signal.SIGKILL)
  assert second.wait() == -signal.SIGKILL
  again = start(tmp_path / "two", *both)
  for process in (first, again):
    _, errors = process.communicate()
    assert process.returncode == 0, errors
  augment.main(dataclasses.replace(options, out=tmp_path / "one"))
  assert rows_of(tmp_path / "two" / "MRPC" / "augmented") == rows_of(tmp_path / "one" / "MRPC" / "augmented")


@pytest.mark.parametrize(
  ("changes", "problem"),
  [
    ({"mlm": None, "glove": None}, "data augmentation needs --mlm, a masked language model, or --glove"),
    ({"task": None}, "--task or --text: one of them is needed, and not both"),
    ({"text": Path("x.txt")}, "--task or --text: one of them is needed, and not both"),
    ({"task": None, "text": Path("x.txt")}, "x.txt: no such file"),
    ({"task": None, "text": Path("x.txt"), "tsv": True}, "--tsv writes the official layout of a --task"),
    ({"task": "sst3"}, "sst3: no such task"),
    ({"seed": -1}, "--seed -1: it must be at least 0"),
    ({"task": None, "text": Path("sst2.txt")}, "sst2.txt: named like a task, whose folder it would take"),
    ({"replaced": 1.5}, "--replaced 1.5: it must be from 0 to 1"),
    ({"copies": 0}, "--copies 0: it must be at least 1"),
    ({"candidates": -1}, "--candidates -1: it must be at least 1"),
    ({"show": 0}, "--show 0: it must be at least 1"),
    ({"max_length": 4}, "--max-length 4: it must be at least 8"),
    ({"max_length": 65}, "--max-length 65: .* has positions for 64 tokens only"),
    ({"hosts": Hosts(process_id=1)}, "--process-id 1: it must be from 0 to 0"),
    ({"hosts": Hosts(num_processes=0)}, "--num-processes 0: it must be at least 1"),
    ({"hosts": Hosts(tpu=True, cpu=True)}, "--tpu and --cpu: one of them at most"),
    ({"hosts": Hosts(gpu=True)}, "--gpu: there is none that JAX can use"),
    ({"glove": Path("nowhere.txt")}, "nowhere.txt: no such file or directory of word vectors"),
    ({"mlm": "nobody/has-this"}, "nobody/has-this: not a local directory.*; --mlm None with --glove leaves every word"),
    ({"task": "rte"}, "no folder RTE there"),
  ],
)
def test_bad_input(options, changes, problem):
  with pytest.raises(InputError, match=problem):
    augment.main(dataclasses.replace(options, **changes))
  assert not options.out.exists()


def test_a_model_without_the_head_is_refused(options, tmp_path):
  save_pretrained(
    tmp_path / "encoder", CONFIG, initialize(Encoder(CONFIG), jax.random.key(0)), tokenizer=make_tokenizer()
  )
  with pytest.raises(
    InputError, match=r"no masked language model's head in its weights; experiments.mlm trains one; --mlm None"
  ):
    augment.main(dataclasses.replace(options, mlm=str(tmp_path / "encoder")))


def test_another_tasks_folder_is_left_alone(options):
  augment.main(options)
  folder = options.out / "MRPC" / "augmented"
  (options.out / "CoLA").mkdir()
  shutil.copytree(folder, options.out / "CoLA" / "augmented")
  with pytest.raises(InputError, match="holds a stage of the task MRPC, not of CoLA"):
    augment.main(dataclasses.replace(options, task="cola"))
  record = json.loads((folder / "stage.json").read_text())
  assert record["inputs"]["task"] == "MRPC"


def test_another_run_is_at_work_in_the_folder(options):
  with (
    only_run(options.out / "MRPC"),
    pytest.raises(InputError, match="MRPC: another run is at work there; wait for its end, or give another --out"),
  ):
    augment.main(options)
  assert not (options.out / "MRPC" / "augmented").exists()
  augment.main(options)

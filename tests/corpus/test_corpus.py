import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
from small_mlm import make_tokenizer, write_text

from tinybert_jax.corpus import corpus, documents, packing, parts
from tinybert_jax.corpus.corpus import Packing, Source, corpus_fingerprint, open_corpus, pack_corpus
from tinybert_jax.data.batches import BatchSource, row_length
from tinybert_jax.data.fingerprint import of_rows
from tinybert_jax.errors import InputError, WorkerKilled

CLS, SEP = 2, 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(corpus, "BLOCK_CHARACTERS", 500)


def make_documents(number=40, seed=0):
  rng = np.random.default_rng(seed)
  return ["\n".join(write_text(rng, 6) for _ in range(rng.integers(1, 5))) for _ in range(number)]


def write(path, documents):
  path.write_text("\n\n".join(documents))
  return Source(str(path))


def pack(directory, *sources, **options):
  how = Packing(**{"max_length": 16, "held_out": 0.1} | options)
  return pack_corpus(directory, sources, make_tokenizer(), how, workers=1)


def find(directory, sources, tokenizer, **options):
  return open_corpus(directory, corpus_fingerprint(sources, tokenizer, Packing(**options)))


def sequences(documents, max_length=16):
  """Returns the sequences of documents, plainly."""
  rows = []
  for ids in make_tokenizer()(documents, add_special_tokens=False)["input_ids"]:
    rows += [[CLS, *ids[at : at + max_length - 2], SEP] for at in range(0, len(ids), max_length - 2)]
  return rows


def parts_of(packed, directory):
  """Returns the files of a corpus, without what a killed run left half-written."""
  folder = directory / packed.fingerprint
  return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".new"}


def test_every_tenth_document_is_held_out_and_the_rest_is_there_once(tmp_path):
  documents = make_documents()
  packed = pack(tmp_path / "out", write(tmp_path / "a.txt", documents))
  held_out = documents[9::10]
  training = [document for number, document in enumerate(documents) if number % 10 != 9]
  assert packed.training["input_ids"][:] == sequences(training)
  assert packed.held_out["input_ids"][:] == sequences(held_out)
  assert packed.counts == {
    "documents": 36,
    "sequences": len(packed.training),
    "tokens": int((row_length(packed.training) - 2).sum()),
    "held_out_documents": 4,
    "held_out_sequences": len(packed.held_out),
    "held_out_tokens": int((row_length(packed.held_out) - 2).sum()),
    "empty_documents": 0,
    "undecodable_documents": 0,
    "undecodable_lines": 0,
    "left_out_documents": 0,
    "dropped_tokens": 0,
  }
  assert len(list((tmp_path / "out" / packed.fingerprint).glob("part-*.arrow"))) > 5
  assert packed.training.features["input_ids"].feature.dtype == "uint16"
  assert packed.training.cache_files  # memory-mapped
  batch = BatchSource(packed.training, batch_size=8, lengths=(16,))[0]
  assert batch["input_ids"].shape == (8, 16) and batch["input_ids"].dtype == np.int32
  assert pack(tmp_path / "out", Source(str(tmp_path / "a.txt")), held_out=0).held_out is None


def test_pairs(tmp_path):
  source = write(tmp_path / "a.txt", make_documents())
  packed = pack(tmp_path / "out", source, segments="pair")
  batch = BatchSource(packed.training, batch_size=64, lengths=(16,))[0]
  assert batch["token_type_ids"].max() == 1 and packed.counts["dropped_tokens"] > 0
  assert packed.held_out.column_names == ["input_ids", "token_type_ids"]
  assert packed.counts["documents"] == 36 and packed.counts["sequences"] == len(packed.training)


def test_weights_copy_documents_or_leave_them_out(tmp_path):
  first, second, third = make_documents(), make_documents(300, 1), make_documents(5, 2)
  sources = [write(tmp_path / f"{name}.txt", each) for name, each in (("a", first), ("b", second), ("c", third))]
  weighted = [source._replace(weight=weight) for source, weight in zip(sources, (2, 0.25, 1.5), strict=True)]
  packed = pack(tmp_path / "out", *weighted, held_out=0)
  assert 45 < 300 - packed.counts["left_out_documents"] < 105
  assert packed.counts["documents"] == 345 - packed.counts["left_out_documents"]
  rows, times = packed.training["input_ids"][:], []
  for document in [*first, *second, *third]:
    its, number = sequences([document]), 0
    while rows[: len(its)] == its:
      rows, number = rows[len(its) :], number + 1
    times.append(number)
  assert not rows and times[:40] == 40 * [2] and set(times[40:340]) == {0, 1} and set(times[340:]) <= {1, 2}
  assert sum(times[40:340]) == 300 - packed.counts["left_out_documents"]
  held_out = pack(tmp_path / "out", sources[0]._replace(weight=2), held_out=0.5)
  assert held_out.held_out["input_ids"][:] == sequences(first[1::2])
  assert held_out.training["input_ids"][:] == [row for document in first[::2] for row in 2 * sequences([document])]


def test_a_finished_corpus_is_found_and_any_change_makes_another(tmp_path, monkeypatch):
  documents = make_documents()
  source = write(tmp_path / "a.txt", documents)
  options = {"max_length": 16, "held_out": 0.1}
  out, tokenizer = tmp_path / "out", make_tokenizer()
  assert find(out, [source], tokenizer, **options) is None
  packed = pack(out, source)
  found = find(out, [source], tokenizer, **options)
  assert found.training["input_ids"][:] == packed.training["input_ids"][:] and found.counts == packed.counts
  os.utime(tmp_path / "a.txt", (0, 0))
  (tmp_path / "copy.txt").write_bytes((tmp_path / "a.txt").read_bytes())
  monkeypatch.setattr(corpus, "write_parts", None)
  assert pack(out, Source(str(tmp_path / "copy.txt"))).fingerprint == packed.fingerprint
  for change in (
    {"max_length": 17},
    {"held_out": 0.2},
    {"segments": "pair"},
    {"text_column": "body"},
  ):
    assert find(out, [source], tokenizer, **(options | change)) is None
  assert find(out, [source], tokenizer, **options, seed=1) is not None  # which decides nothing here
  for drawn, segments in ((source, "pair"), (source._replace(weight=0.5), "single")):
    keys = {corpus_fingerprint([drawn], tokenizer, Packing(segments=segments, seed=seed)) for seed in (0, 1)}
    assert len(keys) == 2
  assert find(out, [source._replace(weight=2)], tokenizer, **options) is None
  assert find(out, [source, source], tokenizer, **options) is None
  tokenizer.add_tokens(["zebra"])
  assert find(out, [source], tokenizer, **options) is None
  write(tmp_path / "a.txt", [*documents, "one more"])
  assert find(out, [source], make_tokenizer(), **options) is None


@pytest.mark.parametrize("segments", ["single", "pair"])
def test_a_run_that_stopped_goes_on_after_its_last_part(tmp_path, monkeypatch, segments):
  source, out = write(tmp_path / "a.txt", [*make_documents(), "\x00", ""]), tmp_path / "out"
  packed = pack(out, source, segments=segments)
  whole = parts_of(packed, out)
  folder = out / packed.fingerprint
  for damage in ("corpus.json", "part-000004.arrow", "held-out-000001.arrow"):
    (folder / damage).unlink()
  (folder / "part-000004.new").write_bytes(b"half")
  part = folder / "part-000003.arrow"
  part.write_bytes(part.read_bytes()[:-200])  # as a power cut may leave it
  made = []
  plain = parts.pack_block
  monkeypatch.setattr(parts, "pack_block", lambda block, rules: made.append(block.number) or plain(block, rules))
  assert find(out, [source], make_tokenizer(), max_length=16, held_out=0.1, segments=segments) is None
  again = pack(out, source, segments=segments)
  assert made == [1, 3, 4] and parts_of(again, out) == whole and again.counts == packed.counts
  (folder / "part-000002.arrow").unlink()  # of a finished one
  assert parts_of(pack(out, source, segments=segments), out) == whole and made[3:] == [2]


KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from small_mlm import make_tokenizer
from tinybert_jax.corpus import corpus, parts

corpus.BLOCK_CHARACTERS = 500
write = parts._write

def write_and_die(path, *rest):
  if path.name == "part-000003.arrow":
    path.with_suffix(".new").write_bytes(b"half")
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
  write(path, *rest)

parts._write = write_and_die
source = corpus.Source(sys.argv[2])
packing = corpus.Packing(max_length=16, held_out=0.1, segments="pair")
corpus.pack_corpus(Path(sys.argv[1]), [source], make_tokenizer(), packing, workers=2)
"""


def test_two_workers_that_were_killed_leave_parts_of_one_and_no_process(tmp_path):
  source = write(tmp_path / "a.txt", make_documents())
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
  command = [sys.executable, "-c", KILLED, tmp_path / "two", source.where]
  process = subprocess.run(command, env=environment, capture_output=True, text=True)
  assert process.returncode == -signal.SIGKILL, process.stderr
  whole = parts_of(pack(tmp_path / "one", source, segments="pair"), tmp_path / "one")
  (folder,) = (tmp_path / "two").iterdir()
  assert "corpus.json" not in whole.keys() & {path.name for path in folder.iterdir()}
  kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.arrow")}
  assert "part-000002.arrow" in kept and "part-000003.arrow" not in kept
  assert parts_of(pack(tmp_path / "two", source, segments="pair"), tmp_path / "two") == whole
  assert all((folder / name).stat().st_mtime_ns == made for name, made in kept.items() if name.startswith("part"))
  workers = [int(pid) for pid in process.stdout.split()]
  assert len(workers) == 2
  for _ in range(100):
    if not any(map(is_running, workers)):
      break
    time.sleep(0.1)
  else:
    raise AssertionError("the workers outlive the process that started them")


def die(block, rules):
  os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_one_sentence(tmp_path, monkeypatch):
  source = write(tmp_path / "a.txt", make_documents())
  monkeypatch.setattr(parts, "pack_block", die)
  with pytest.raises(WorkerKilled, match=r"a process that tokenized was killed, .* the same command goes on"):
    pack_corpus(tmp_path / "out", [source], make_tokenizer(), Packing(max_length=16), workers=2)


def is_running(pid):
  try:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
  except FileNotFoundError:
    return False


def test_a_full_disk_leaves_no_half_part(tmp_path, monkeypatch):
  source, out = write(tmp_path / "a.txt", make_documents()), tmp_path / "out"
  new_stream, written = parts.pa.ipc.new_stream, []

  def full(file, schema):
    if len(written) == 2:
      file.write(b"half")
      raise OSError(28, "No space left on device")
    written.append(file)
    return new_stream(file, schema)

  monkeypatch.setattr(parts.pa.ipc, "new_stream", full)
  with pytest.raises(OSError, match="No space left"):
    pack(out, source, held_out=0)
  monkeypatch.undo()
  (folder,) = out.iterdir()
  assert [path.name for path in sorted(folder.glob("*.arrow"))] == ["part-000000.arrow", "part-000001.arrow"]
  assert not list(folder.glob("*.new"))


def test_a_line_of_ten_megabytes(tmp_path, monkeypatch):
  monkeypatch.undo()
  (tmp_path / "a.txt").write_text(("x" * 49 + " ") * 200_000)
  packed = pack(tmp_path / "out", Source(str(tmp_path / "a.txt")), max_length=512, held_out=0)
  assert packed.counts["tokens"] == 200_000 and packed.counts["documents"] == 2
  assert packed.counts["empty_documents"] == packed.counts["undecodable_documents"] == 0


@pytest.mark.parametrize("segments", ["single", "pair"])
@pytest.mark.parametrize("word", ["fox dog ", "狐", "x"])
def test_a_line_longer_than_all_bounds(tmp_path, monkeypatch, segments, word):
  for module, name in ((corpus, "LONGEST"), (documents, "LONGEST"), (packing, "_TOKENIZED_AT_ONCE")):
    monkeypatch.setattr(module, name, 1000 if name == "LONGEST" else 200)
  (tmp_path / "a.txt").write_text(word * (10_000 // len(word.encode())))
  counts = pack(tmp_path / "out", Source(str(tmp_path / "a.txt")), segments=segments, held_out=0).counts
  assert counts["documents"] > 9 and counts["undecodable_documents"] == counts["empty_documents"] == 0
  if segments == "single":
    # A word without an end is cut, and each piece of it is unknown.
    expected = {"fox dog ": (2500, 2500), "狐": (3333, 3333), "x": (50, 70)}[word]
    assert expected[0] <= counts["tokens"] <= expected[1]


def test_what_is_skipped_is_counted(tmp_path):
  (tmp_path / "a.txt").write_bytes(b"a fox\n\ncaf\xe9\n\n\x00\n\n\xff\xff\n\na dog\n\xff")
  (tmp_path / "b.jsonl").write_text('{"text": " "}\n{"text": null}\n{"text": "a cat"}\n{"text": "\\ud800"}')
  sources = [Source(str(tmp_path / name)) for name in ("a.txt", "b.jsonl")]
  packed = pack(tmp_path / "out", *sources)
  counts = packed.counts
  assert (counts["documents"], counts["empty_documents"]) == (3, 3)
  assert (counts["undecodable_documents"], counts["undecodable_lines"]) == (1, 3)
  assert packed.notes == (
    f"3 lines left out that are not UTF-8 text, the first is {tmp_path / 'a.txt'}, line 3",
    f"1 document left out that is not UTF-8 text, the first is {tmp_path / 'b.jsonl'}, line 4",
  )
  (tmp_path / "c.txt").write_bytes(b"\xff\n\n\xff\n\n\x00")
  with pytest.raises(InputError, match=r"c.txt: no text to train on; there are 1 empty documents, 2 undecodable lines"):
    pack(tmp_path / "out", Source(str(tmp_path / "c.txt")))
  (tmp_path / "d.txt").write_bytes(b"")
  with pytest.raises(InputError, match=r"d.txt: no text to train on$"):
    pack(tmp_path / "out", Source(str(tmp_path / "d.txt")))


def test_one_bad_byte_costs_one_line_in_a_thousand(tmp_path, monkeypatch):
  monkeypatch.undo()
  good = [b"the quick fox sees a dog\n"] * 1000
  (tmp_path / "good.txt").write_bytes(b"".join(good))
  (tmp_path / "bad.txt").write_bytes(b"".join([*good[:500], b"a caf\xe9\n", *good[500:]]))
  whole, less = (pack(tmp_path / "out", Source(str(tmp_path / name))) for name in ("good.txt", "bad.txt"))
  assert of_rows(less.training) == of_rows(whole.training)
  assert less.counts == whole.counts | {"undecodable_lines": 1}
  assert less.notes[0].endswith("bad.txt, line 501") and "1,000 lines; blank lines between" in whole.notes[0]


def test_sources_that_give_a_file_twice_are_told(tmp_path):
  write(tmp_path / "a.txt", make_documents())
  (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
  packed = pack(tmp_path / "out", *(Source(str(tmp_path / name)) for name in ("a.txt", "link.txt")))
  assert packed.notes == (
    f"{tmp_path / 'link.txt'}: given by several sources, so its documents are packed several times",
  )


def test_a_data_set_of_the_hub(tmp_path, monkeypatch):
  rows = datasets.Dataset.from_dict({"text": make_documents()})
  monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: rows)
  packed = pack(tmp_path / "out", Source("wikimedia/wikipedia"))
  same = pack(tmp_path / "out", write(tmp_path / "a.txt", rows["text"]))
  assert of_rows(packed.training) == of_rows(same.training) and packed.fingerprint != same.fingerprint


@pytest.mark.usefixtures("unchecked")
def test_what_will_not_do_is_said(tmp_path):
  source = write(tmp_path / "a.txt", make_documents(2))
  for sources, options, message in (
    ([], {}, "no source of text"),
    ([source._replace(weight=0)], {}, "a.txt: a weight of 0; it must be above 0"),
    ([source._replace(weight=float("nan"))], {}, "a weight of nan"),
    ([source], {"held_out": 0.6}, "0.6 of the documents to hold out: it must be a share from 0 to 0.5"),
    ([source], {"max_length": 4}, "sequences of 4 tokens"),
    ([source], {"segments": "pairs"}, "segments 'pairs': it must be single or pair"),
    ([source], {"seed": -1}, "seed -1: it must be at least 0"),
    ([Source(str(tmp_path / "b.txt"))], {}, "b.txt: no such file"),
  ):
    with pytest.raises(InputError, match=message):
      pack(tmp_path / "out", *sources, **options)
  with pytest.raises(InputError, match="workers 0: at least 1"):
    pack_corpus(tmp_path / "out", [source], make_tokenizer(), Packing(max_length=16), workers=0)
  assert not (tmp_path / "out").exists()


def test_the_counts_are_beside_the_parts(tmp_path):
  packed = pack(tmp_path / "out", write(tmp_path / "a.txt", make_documents()))
  described = json.loads((tmp_path / "out" / packed.fingerprint / "corpus.json").read_text())
  assert described["counts"] == packed.counts and described["sources"] == [str(tmp_path / "a.txt")]

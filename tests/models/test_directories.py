"""Directories and files that are written whole or not at all."""

import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import transformers
from safetensors.numpy import load_file
from small_tokenizer import word_tokenizer

from tinybert_jax.errors import InputError
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.directories import make_directory, replace_directory, replace_file, replace_files, replace_link
from tinybert_jax.models.encoder import Encoder, initialize
from tinybert_jax.models.pretrained import load_pretrained, save_pretrained

CONFIG = EncoderConfig(vocab_size=7, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=4)
PARAMS = initialize(Encoder(CONFIG), jax.random.key(0))
OTHERS = initialize(Encoder(CONFIG), jax.random.key(1))


def content(directory):
  return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def holds(directory, params):
  jax.tree.map(np.testing.assert_array_equal, load_pretrained(directory).params, params)
  return True


@pytest.fixture(params=[0o022, 0o027, 0o002, 0o077])
def umask(request):
  before = os.umask(request.param)
  yield request.param
  os.umask(before)


def test_modes_come_from_the_umask(tmp_path, umask):
  for number in range(2):  # the second time files are replaced
    save_pretrained(tmp_path / "model", CONFIG, PARAMS, tokenizer=word_tokenizer())
    with replace_directory(tmp_path / "stage") as new:
      save_pretrained(new, CONFIG, PARAMS, tokenizer=word_tokenizer(), description=str(number))
  for folder in (tmp_path / "model", tmp_path / "stage"):
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(modes.values()) == {0o666 & ~umask}, modes


def test_saving_keeps_the_users_files_and_removes_the_model_before(tmp_path):
  users = {"README.md": "my notes", "thesis.txt": "x", "data/labels.csv": "1", "model.onnx": "export", ".git/HEAD": "r"}
  stale = [
    "model-00001-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "tf_model.h5",
    "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json", "flax_model.msgpack", "vocab.txt",
    "added_tokens.json",
  ]  # fmt: skip
  for name, text in (users | dict.fromkeys(stale, "old")).items():
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
  save_pretrained(tmp_path, CONFIG, PARAMS, tokenizer=word_tokenizer())
  after = content(tmp_path)
  assert {name: after.pop(name).decode() for name in users} == users
  assert set(after) == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
  assert holds(tmp_path, PARAMS)


def test_a_tokenizer_stays_where_no_new_one_is_given(tmp_path):
  save_pretrained(tmp_path, CONFIG, PARAMS, tokenizer=word_tokenizer())
  before = content(tmp_path)["tokenizer.json"]
  save_pretrained(tmp_path, CONFIG, OTHERS)
  assert content(tmp_path)["tokenizer.json"] == before and holds(tmp_path, OTHERS)


def test_an_own_card_is_rewritten_and_a_changed_one_stays(tmp_path):
  save_pretrained(tmp_path, CONFIG, PARAMS, description="First.")
  save_pretrained(tmp_path, CONFIG, PARAMS, description="Second.")
  card = tmp_path / "README.md"
  assert "Second." in card.read_text() and "First." not in card.read_text()
  changed = "\n".join(line for line in card.read_text().split("\n") if not line.startswith("<!--"))
  card.write_text(changed)
  save_pretrained(tmp_path, CONFIG, PARAMS, description="Third.")
  assert card.read_text() == changed


def test_a_linked_directory_is_written_through(tmp_path):
  (tmp_path / "out").mkdir()
  (tmp_path / "disk").mkdir()
  (tmp_path / "disk" / "mine.txt").write_text("x")
  link = tmp_path / "out" / "model"
  link.symlink_to("../disk")
  save_pretrained(link, CONFIG, PARAMS)
  assert link.is_symlink() and os.listdir(tmp_path / "out") == ["model"]
  assert {"mine.txt", "model.safetensors"} <= set(os.listdir(tmp_path / "disk")) and holds(link, PARAMS)
  with replace_directory(link) as new:
    save_pretrained(new, CONFIG, OTHERS)
  assert link.is_symlink() and holds(tmp_path / "disk", OTHERS)
  assert set(os.listdir(tmp_path)) == {"out", "disk"} and os.listdir(tmp_path / "out") == ["model"]
  (tmp_path / "out" / "new").symlink_to("../disk-2")  # a link to what is not there yet
  save_pretrained(tmp_path / "out" / "new", CONFIG, PARAMS)
  assert holds(tmp_path / "disk-2", PARAMS)


def test_files_and_new_directories_are_written_through_links(tmp_path):
  (tmp_path / "out").symlink_to("disk")  # which is not there yet
  make_directory(tmp_path / "out" / "a")
  (tmp_path / "out" / "table.csv").symlink_to("a/table.csv")
  for text in ("first", "second"):
    with replace_file(tmp_path / "out" / "table.csv") as new:
      new.write_text(text)
  with pytest.raises(KeyboardInterrupt), replace_file(tmp_path / "out" / "table.csv") as new:
    new.write_text("half")
    raise KeyboardInterrupt
  assert (tmp_path / "out").is_symlink() and (tmp_path / "out" / "table.csv").is_symlink()
  assert content(tmp_path / "disk") == {"a/table.csv": b"second", "table.csv": b"second"}


def test_a_directory_that_cannot_be_moved_gets_other_content(tmp_path, monkeypatch):
  """As the root of a disk; one that is not there yet is made."""
  monkeypatch.setattr(os.path, "ismount", lambda path: True)
  for text in ("first", "second"):
    with replace_directory(tmp_path / "disk") as new:
      (new / text).mkdir()
      (new / text / "a").write_text(text)
      (new / "b").write_text(text)
  assert content(tmp_path) == {"disk/second/a": b"second", "disk/b": b"second"}
  assert os.listdir(tmp_path) == ["disk"] and sorted(os.listdir(tmp_path / "disk")) == ["b", "second"]


def test_linked_files_are_written_through_but_not_into_the_hubs_cache(tmp_path):
  for folder in ("disk", "blobs", "model"):
    (tmp_path / folder).mkdir()
  (tmp_path / "disk" / "weights").write_text("old")
  (tmp_path / "blobs" / "abc").write_text("{}")
  (tmp_path / "model" / "model.safetensors").symlink_to("../disk/weights")
  (tmp_path / "model" / "config.json").symlink_to("../blobs/abc")
  save_pretrained(tmp_path / "model", CONFIG, PARAMS)
  assert (tmp_path / "model" / "model.safetensors").is_symlink() and holds(tmp_path / "model", PARAMS)
  assert os.listdir(tmp_path / "disk") == ["weights"] and len(load_file(tmp_path / "disk" / "weights")) > 1
  assert content(tmp_path / "blobs") == {"abc": b"{}"}


def test_what_stands_in_the_way_is_one_sentence(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(InputError, match="file: a file stands there"):
    save_pretrained(tmp_path / "file", CONFIG, PARAMS)
  with pytest.raises(InputError, match="file: a file stands there"), replace_directory(tmp_path / "file"):
    pass
  (tmp_path / "model" / "model.safetensors").mkdir(parents=True)
  with pytest.raises(InputError, match=r"model\.safetensors: a directory stands where a file is to be written"):
    save_pretrained(tmp_path / "model", CONFIG, PARAMS)
  assert os.listdir(tmp_path / "model") == ["model.safetensors"] and (tmp_path / "file").read_text() == "x"


def test_an_error_leaves_nothing_behind(tmp_path):
  (tmp_path / "old").mkdir()
  (tmp_path / "old" / "a").write_text("old")
  for name in ("old", "new"):
    with pytest.raises(KeyboardInterrupt), replace_files(tmp_path / name, ["*"]) as new:
      (new / "a").write_text("new")
      raise KeyboardInterrupt
  assert content(tmp_path) == {"old/a": b"old"} and os.listdir(tmp_path) == ["old"]


def test_a_killed_save_loses_nothing_and_the_next_one_clears_up(tmp_path):
  save_pretrained(tmp_path / "model", CONFIG, PARAMS)
  before = content(tmp_path / "model")
  program = (
    "import os, sys\nfrom tinybert_jax.models.directories import replace_files\n"
    "with replace_files(sys.argv[1], ['*.safetensors']) as new:\n"
    "  (new / 'model.safetensors').write_text('half')\n  os.kill(os.getpid(), 9)\n"
  )
  killed = subprocess.run([sys.executable, "-c", program, tmp_path / "model"], check=False)
  assert killed.returncode == -signal.SIGKILL
  after = content(tmp_path / "model")
  assert {name: after[name] for name in before} == before
  save_pretrained(tmp_path / "model", CONFIG, OTHERS)
  assert set(os.listdir(tmp_path / "model")) == set(before) and holds(tmp_path / "model", OTHERS)


def test_truncation_and_segments_hold_in_transformers(tmp_path):
  """A tokenizer without a longest input, of a class that leaves segments out, is saved with both."""
  tokenizer = word_tokenizer()
  tokenizer.model_input_names = ["input_ids", "attention_mask"]
  config = EncoderConfig(**{**CONFIG.__dict__, "max_position_embeddings": 6})
  params = initialize(Encoder(config), jax.random.key(0))
  save_pretrained(tmp_path, config, params, tokenizer=tokenizer)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
  assert len(theirs("hello " * 9, truncation=True)["input_ids"]) == 6
  assert theirs("hello", "world")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_links_lead_elsewhere_when_told_so_and_take_no_directorys_place(tmp_path):
  link, target = tmp_path / "runs" / "stage", tmp_path / "shared" / "a" / "stage"
  replace_link(link, target)  # before the target is there
  assert not link.exists() and link.resolve() == target
  target.mkdir(parents=True)
  before = link.lstat().st_mtime_ns
  replace_link(link, target)
  assert link.is_dir() and link.lstat().st_mtime_ns == before
  replace_link(link, tmp_path / "shared" / "b")
  assert link.resolve() == tmp_path / "shared" / "b" and target.is_dir()
  (tmp_path / "moved").mkdir()
  (tmp_path / "runs").rename(tmp_path / "elsewhere")  # links are relative
  assert (tmp_path / "elsewhere" / "stage").resolve() == tmp_path / "shared" / "b"
  with pytest.raises(InputError, match="moved: it is to be a link to"):
    replace_link(tmp_path / "moved", target)

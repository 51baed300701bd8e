"""Readers of text against plain ones that are written out here, on texts of all that has gone wrong before."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_files import PACKED

from tinybert_jax.corpus import documents
from tinybert_jax.corpus.documents import Remark, find_texts, read_documents
from tinybert_jax.corpus.lines import read_lines
from tinybert_jax.data import decoding, text_lines
from tinybert_jax.data.tables import read_table
from tinybert_jax.errors import InputError

PIECES = [
  *(
    "a",
    "word ",
    " ",
    "\t",
    "\n",
    "\n",
    "\r",
    "\r\n",
    "\r\r\n",
    "\n\n",
    "é",
    "中文",
    "😀",
    "\u2028",
    "\u0085",
    "\u00a0",
  ),
  *("\u3000", "\ufeff", "\u200b", "\x0b", "\x0c", "\x1c", '"', "{}", "\x01", "\ue000", "x" * 40),
]
UNDECODABLE = [b"\xff", b"\xe9", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"\x80"]
decodable = st.lists(st.sampled_from(PIECES)).map("".join)
raw = st.lists(st.sampled_from([*(piece.encode() for piece in PIECES), *UNDECODABLE])).map(b"".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("text")


@contextlib.contextmanager
def chunks_of(size):
  """Has files read in chunks of so many bytes, so that every border is met."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(text_lines, "_CHUNK", size)
    patch.setattr(decoding, "_CHUNK", max(size, 4))
    yield


def plain_lines(content):
  """Returns the lines of bytes, read a byte at a time, without their ends; None for those that are not UTF-8."""
  lines, line, at = [], b"", 0
  content = content.removeprefix(b"\xef\xbb\xbf")
  while at < len(content):
    end = next((end for end in (b"\r\r\n", b"\r\n", b"\n", b"\r") if content.startswith(end, at)), b"")
    if end:
      lines.append(line)
      line = b""
    else:
      line += content[at : at + 1]
    at += len(end) or 1
  if line:
    lines.append(line)
  decoded = []
  for line in lines:
    try:
      decoded.append(line.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError:
      decoded.append(None)
  return decoded


def shows(line):
  return any(not (letter.isspace() or letter in "\ufeff\u200b\u200c\u200d\u2060") for letter in line)


@given(content=raw, chunk=st.integers(1, 9))
def test_lines(folder, content, chunk):
  (folder / "a.txt").write_bytes(content)
  with chunks_of(chunk):
    lines = list(text_lines.text_lines(folder / "a.txt"))
  assert [line.text for line in lines] == plain_lines(content)
  assert [line.number for line in lines] == list(range(1, len(lines) + 1))
  assert all(line.end == "\n" for line in lines[:-1])


@given(text=decodable, longest=st.integers(4, 30), chunk=st.integers(1, 9))
def test_pieces_of_long_lines_are_the_lines(folder, text, longest, chunk):
  (folder / "a.txt").write_text(text, encoding="utf-8", newline="")
  with chunks_of(chunk):
    pieces = list(text_lines.text_lines(folder / "a.txt", longest=longest))
  lines = plain_lines(text.encode())
  joined = [""] * len(lines)
  for piece in pieces:
    joined[piece.number - 1] += piece.text
    assert piece.size <= longest
  assert joined == lines


@given(text=decodable, encoding=st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]), chunk=st.integers(1, 9))
def test_encodings_with_a_mark(folder, text, encoding, chunk):
  (folder / "a.txt").write_bytes(text.encode(encoding))
  with chunks_of(chunk):
    lines = [line.text for line in text_lines.text_lines(folder / "a.txt")]
  assert lines == plain_lines("\ufeff".encode() + text.encode())


@given(content=raw, packing=st.sampled_from(list(PACKED)))
def test_readers_of_lines(folder, content, packing):
  path = folder / f"a.txt{packing}"
  path.write_bytes(PACKED[packing](content))
  want = [line for line in plain_lines(content) if line is not None and shows(line)]
  lost = plain_lines(content).count(None)
  notes = []
  if want:
    assert read_lines(path, notes) == want
    assert read_table(path).rows["text"][:] == want
  else:
    with pytest.raises(InputError):
      assert read_lines(path, notes) == [] and not lost
      raise InputError
    with pytest.raises(InputError):
      read_table(path)
  assert bool(notes) == bool(want and lost)


@given(content=raw, chunk=st.integers(1, 9))
def test_documents(folder, content, chunk):
  path = folder / "a.txt"
  path.write_bytes(content)
  want, document, lost = [], [], 0
  for line in plain_lines(content):
    if line is None:
      lost += 1
    elif shows(line):
      document.append(line)
    elif document:
      want.append(document)
      document = []
  want += [document] if document else []
  with chunks_of(chunk):
    found = list(read_documents(find_texts(str(path)), "text", lambda read: None))
  texts = [each for each in found if not isinstance(each, Remark)]
  assert [text.removesuffix("\n").split("\n") for text in texts] == want
  assert len(found) - len(texts) == lost


@given(text=decodable, longest=st.integers(4, 50))
def test_documents_that_are_cut_lose_no_letter(folder, text, longest):
  (folder / "a.txt").write_text(text, encoding="utf-8", newline="")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(documents, "LONGEST", longest)
    found = list(read_documents(find_texts(str(folder / "a.txt")), "text", lambda read: None))
  letters = re.sub(r"[\s\ufeff\u200b]", "", text)
  assert re.sub(r"[\s\ufeff\u200b]", "", "".join(found)) == letters
  assert all(len(document.encode()) <= 2 * longest for document in found)


@given(
  content=st.binary(max_size=60), packing=st.sampled_from(list(PACKED)), cut=st.integers(0, 80), flip=st.integers(0, 80)
)
def test_damaged_files_raise_nothing_else(folder, content, packing, cut, flip):
  packed = bytearray(PACKED[packing](content))
  if flip < len(packed):
    packed[flip] ^= 0x55
  for name in ("a.txt", "a.jsonl"):
    path = folder / f"{name}{packing}"
    path.write_bytes(packed[: len(packed) - cut] if cut < len(packed) else packed)
    for read in (read_lines, read_table, lambda path: list(read_documents(find_texts(str(path)), "text", int))):
      with contextlib.suppress(InputError):
        read(path)

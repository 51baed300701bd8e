import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinybert_jax.augmentation.word_vectors import WordVectors, load_word_vectors, nearest_words, of_words
from tinybert_jax.errors import InputError

GLOVE = "the 1 0 0\nfox 0 2 0\n. . 3 0 4\nThe 9 9 9\n\u2028 1 1 1\nnothing 0 0 0\ndog 0 1 1\n"


def test_the_formats(tmp_path):
  (tmp_path / "glove.txt").write_text(GLOVE, encoding="utf-8")
  vectors = load_word_vectors(tmp_path / "glove.txt")
  # No word of two parts, none that is a line's end to some; no zeros, no second "the".
  assert vectors.words == ("the", "fox", "dog")
  np.testing.assert_allclose(np.linalg.norm(vectors.vectors, axis=1), 1, rtol=1e-6)
  np.testing.assert_allclose(vectors.vectors[2], [0, 0.5**0.5, 0.5**0.5], rtol=1e-6)
  assert load_word_vectors(tmp_path / "glove.txt", 2).words == ("the", "fox")

  (tmp_path / "word2vec.txt").write_text("7 3\n" + GLOVE, encoding="utf-8")
  again = load_word_vectors(tmp_path / "word2vec.txt")
  assert again.words == vectors.words and (again.vectors == vectors.vectors).all()

  (tmp_path / "kumo").mkdir()
  np.save(tmp_path / "kumo" / "x_emb.npy", np.array([[1, 0, 0], [0, 2, 0]], np.float32))
  pq.write_table(pa.table({"index": ["the", "fox"]}), tmp_path / "kumo" / "x_index.parquet")
  assert load_word_vectors(tmp_path / "kumo").words == ("the", "fox")
  assert load_word_vectors(tmp_path / "kumo", 1).words == ("the",)


def test_a_compressed_file_with_a_byte_order_mark(tmp_path):
  content = gzip.compress("\ufeffthe 1 0\nfox 0 2\n".encode())
  (tmp_path / "glove.txt.gz").write_bytes(content)
  assert load_word_vectors(tmp_path / "glove.txt.gz").words == ("the", "fox")
  (tmp_path / "glove.txt.gz").write_bytes(content[:-9])
  with pytest.raises(InputError, match=r"glove.txt.gz: damaged, incomplete"):
    load_word_vectors(tmp_path / "glove.txt.gz")
  with pytest.raises(InputError, match="number 0: at least one word"):
    load_word_vectors(tmp_path / "glove.txt.gz", 0)


@pytest.mark.parametrize(
  "content",
  [
    b"the 1 0\rfox 0 2\r",
    "the 1 0\r\n\u3000\r\nfox 0 2\r\n\n".encode(),
    "the 1 0\nfox 0 2\n".encode("utf-16"),
    "2 2\nthe 1 0\nfox 0 2".encode("utf-8-sig"),
  ],
)
def test_any_line_ends_and_byte_order_marks(tmp_path, content):
  (tmp_path / "glove.txt").write_bytes(content)
  notes = []
  assert load_word_vectors(tmp_path / "glove.txt", notes=notes).words == ("the", "fox") and not notes


def test_what_is_left_out_is_told(tmp_path):
  path = tmp_path / "glove.txt"
  path.write_bytes(b"5 2\nthe 1 0\n. . 1 1\ncaf\xe9 1 2\nfox 0 2\n")
  notes = []
  assert of_words(load_word_vectors(path, notes=notes)).words == ("the", "fox")
  assert notes == [
    f"{path}: line 1 tells of 5 words, and 4 are there",
    f"1 line left out that is not UTF-8 text, the first is {path}, line 4",
    f"{path}: words left out that are none, or hold a space: 1",
  ]


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ("the 1 2\nfox 1 x\n", "line 2: a word and 2 numbers are needed"),
    ("the 1 2 3\nfox 1 2\n", "line 2: a word and 3 numbers are needed"),
    ("\n", "no word vectors there"),
    ("the\n", "line 1: a word and"),
    ("the 1.5 2.5\nfox 1.5 2.5 3.5\n", "line 2: a word and 2 numbers are needed"),
    ("", "no word vectors there"),
    ("the 0 0\nfox 0 0\n", "no word vectors there"),
    ("the 1 2\nfox 1 nan\n", "the vector of 'fox' has numbers that are not finite"),
    ("the 1 2\nfox 1e30 1\n", "the vector of 'fox' is too long for 32-bit numbers"),
    ("the 1 2\nfox 1 1e50\n", "the vector of 'fox' has numbers that are not finite"),
    ("2 3\nthe 1 2 3 4\nfox 1 2 3 4\n", "no word vectors there"),
    (None, "no such file or directory of word vectors"),
  ],
)
def test_malformed_files(tmp_path, text, problem):
  if text is not None:
    (tmp_path / "glove.txt").write_text(text)
  with pytest.raises(InputError, match=problem):
    load_word_vectors(tmp_path / "glove.txt")


def test_malformed_directories(tmp_path):
  with pytest.raises(InputError, match=r"one \*_emb.npy and one \*_index.parquet are needed"):
    load_word_vectors(tmp_path)
  np.save(tmp_path / "x_emb.npy", np.ones((3, 2)))
  pq.write_table(pa.table({"index": ["the", "fox"]}), tmp_path / "x_index.parquet")
  with pytest.raises(InputError, match=r"2 words, and an array of vectors of the shape \(3, 2\)"):
    load_word_vectors(tmp_path)
  pq.write_table(pa.table({"index": [0, 1, 2]}), tmp_path / "x_index.parquet")
  with pytest.raises(InputError, match=r"the column index of x_index.parquet holds other things than words \(int64\)"):
    load_word_vectors(tmp_path)
  pq.write_table(pa.table({"index": ["a", "b", "c"]}), tmp_path / "x_index.parquet")
  np.save(tmp_path / "x_emb.npy", np.array([["x"]] * 3))
  with pytest.raises(InputError, match=r"x_emb.npy holds no numbers with a fraction"):
    load_word_vectors(tmp_path)
  (tmp_path / "x_emb.npy").write_bytes(b"not an array")
  with pytest.raises(InputError, match="word vectors that cannot be read"):
    load_word_vectors(tmp_path)


def test_nearest_words_are_those_of_the_highest_cosine():
  rng = np.random.default_rng(0)
  values = rng.normal(size=(700, 6)).astype(np.float32)
  values[5] = values[9] = values[3]  # equal cosines: the more frequent word comes first
  words = tuple(f"w{i}" for i in range(700))
  vectors = WordVectors(words, values / np.linalg.norm(values, axis=1, keepdims=True))
  asked = [*words[:300], "unknown", "w3"]
  found = nearest_words(vectors, asked, 4)
  assert set(found) == set(words[:300])
  cosines = vectors.vectors.astype(np.float64) @ vectors.vectors.astype(np.float64).T
  for i in range(300):
    order = [j for j in np.lexsort((np.arange(700), -cosines[i])) if j != i]
    assert found[words[i]] == tuple(words[j] for j in order[:4])
  assert found["w3"][:2] == ("w5", "w9")
  assert nearest_words(vectors, ["w8"], 4) == {"w8": found["w8"]}
  assert nearest_words(vectors, [], 4) == {}
  assert len(nearest_words(vectors, ["w8"], 10_000)["w8"]) == 699

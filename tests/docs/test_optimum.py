"""What the page says of Hugging Face's libraries: they open our directories, in an environment of their own."""

import csv
import dataclasses
import os
import subprocess
import tempfile
from pathlib import Path

import jax
import numpy as np
import pip_environment
import pyarrow.csv
import pytest
import scipy.special
import small_mlm
from markdown_pages import ROOT, blocks

from tinybert_jax import export_model, predict_table
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.parameters import parameter_shapes
from tinybert_jax.models.pretrained import save_pretrained
from tinybert_jax.models.sentence_directories import save_sentence_encoder
from tinybert_jax.models.sentence_encoder import SentenceEncoder
from tinybert_jax.models.sentence_head import SentenceHead

pytestmark = pytest.mark.drill

PACKAGES = (
  *pip_environment.pinned("torch", "numpy", "onnx", "onnxruntime"),
  *("sentence-transformers==5.7.0", "optimum-onnx[onnxruntime]==0.1.0", "optimum==2.1.0", "transformers==4.57.6"),
)
LABELS = ("good", "bad", "odd")
# After the blocks, whose names these are: embeddings and logits by both files.
PROGRAM = """
import numpy as np
from transformers import AutoTokenizer

texts = open("texts.txt").read().splitlines()
whole = SentenceTransformer("my-sentence-encoder", backend="onnx")
np.savez("embeddings.npz", int8=model.encode(texts), float32=whole.encode(texts))
whole = ORTModelForSequenceClassification.from_pretrained("my-bert")
batch = AutoTokenizer.from_pretrained("my-bert")(texts, padding=True, truncation=True, return_tensors="pt")
np.savez("logits.npz", int8=classifier(**batch).logits.numpy(), float32=whole(**batch).logits.numpy())
"""


@pytest.fixture(scope="module")
def python():
  """The Python of that environment, which is removed at the end: it is a gigabyte."""
  with tempfile.TemporaryDirectory() as folder:
    yield pip_environment.make(Path(folder) / "environment", *PACKAGES)


def draw(model):
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), parameter_shapes(model))


def test_sentence_transformers_and_optimum_open_the_directories(tmp_path, python):
  encoder, classifier = tmp_path / "my-sentence-encoder", tmp_path / "my-bert"
  sentences = dataclasses.replace(small_mlm.CONFIG, sentence=SentenceHead())
  save_sentence_encoder(encoder, sentences, draw(SentenceEncoder(sentences)), tokenizer=small_mlm.make_tokenizer())
  classes = dataclasses.replace(small_mlm.CONFIG, labels=LABELS)
  save_pretrained(classifier, classes, draw(SequenceClassifier(classes)), tokenizer=small_mlm.make_tokenizer())
  texts, table = small_mlm.write_sentences(24, longest=40), tmp_path / "texts.csv"
  (tmp_path / "texts.txt").write_text("\n".join(texts))
  with table.open("w", newline="") as file:
    csv.writer(file).writerows([["text"], *([text] for text in texts)])
  for directory in (encoder, classifier):
    export_model(directory, int8=True, calibrate=table, max_loss=100)
  shown = [block.text for block in blocks(ROOT / "docs" / "deploy.md") if block.language == "py"]
  assert len(shown) == 2
  (tmp_path / "program.py").write_text("\n".join([*shown, PROGRAM]))
  done = subprocess.run(
    [python, "-I", "program.py"], cwd=tmp_path, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True,
    text=True, timeout=600, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr

  predict_table(encoder, table, tmp_path / "ours.npy", dtype="float32")
  ours, theirs = np.load(tmp_path / "ours.npy"), np.load(tmp_path / "embeddings.npz")
  np.testing.assert_allclose(theirs["float32"], ours, atol=1e-5)
  assert (theirs["int8"] * ours).sum(1).min() > 0.99 and not np.allclose(theirs["int8"], ours, atol=1e-5)

  predict_table(classifier, table, tmp_path / "ours.csv", dtype="float32")
  rows = pyarrow.csv.read_csv(tmp_path / "ours.csv").to_pylist()
  ours = [[row[f"probability_{name}"] for name in LABELS] for row in rows]
  for name, logits in np.load(tmp_path / "logits.npz").items():
    most = {"float32": 1e-5, "int8": 0.1}[name]
    np.testing.assert_allclose(scipy.special.softmax(logits, axis=-1), ours, atol=most)

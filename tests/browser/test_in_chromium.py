"""The exported page in Chromium: its answers are those of `predict`, and it is at hand for everyone."""

import contextlib
import csv
import functools
import http.server
import json
import shutil
import string
import subprocess
import threading
from pathlib import Path

import jax
import numpy as np
import pyarrow.csv
import pytest
import scipy.special
import transformers
from node_packages import CHROMIUM, install
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tinybert_jax import export_page, predict_table
from tinybert_jax.export.session import Session
from tinybert_jax.models.config import EncoderConfig
from tinybert_jax.models.encoder import SequenceClassifier
from tinybert_jax.models.parameters import parameter_shapes
from tinybert_jax.models.pretrained import save_pretrained

pytestmark = [
  pytest.mark.drill,
  pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]

PLAYWRIGHT = "playwright-core@1.65.1"
WORDS = [
  *("oil", "wheat", "bank", "the", "of", "rose", "fell", "café", "trade", "straße", "小麦", "🌾"),
  *("don't", "3.5%", "U.S.", "—", "e-mail", "überflüssig"),
]
LETTERS = sorted(set(string.ascii_lowercase + string.digits + string.punctuation + "—é麦ßü小"))
CONFIG = EncoderConfig(
  vocab_size=7 + 2 * len(LETTERS) + len(WORDS), hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
  intermediate_size=48, max_position_embeddings=32,
)  # fmt: skip
_ROWS, _SURE = 150, 50
# Probabilities that are less apart are not compared: integers may take them past each other, most so with pairs here.
_APART = {"classes": 0.1, "pairs": 0.25, "several": 0.1}
LABELS = ("grain", "money-fx", "crude", "an <b>odd</b> & “long” label", *(f"class {n}" for n in range(6)))
CASES = {
  "classes": ({"labels": LABELS}, False),
  "pairs": ({"labels": LABELS[:3]}, True),
  "several": ({"labels": LABELS[:4], "problem_type": "multi_label_classification"}, False),
  "number": ({"labels": ("stars",)}, True),
}


def piece_tokenizer():
  words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS[:8]]
  rust = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
  rust.normalizer, rust.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
  rust.post_processor = processors.TemplateProcessing(
    single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
  )
  return transformers.BertTokenizer(tokenizer_object=rust)


def write_model(folder, **changes):
  """Writes a classifier whose random answers differ from text to text."""
  config = EncoderConfig(**{**{f: getattr(CONFIG, f) for f in CONFIG.__dataclass_fields__}, **changes})
  rng = np.random.default_rng(0)

  def leaf(path, shape):
    if path[-1].key == "scale":
      return np.ones(shape.shape, np.float32)
    return rng.normal(0, 0.8 if path[0].key == "classifier" else 0.4, shape.shape).astype(np.float32)

  params = jax.tree.map_with_path(leaf, parameter_shapes(SequenceClassifier(config)))
  save_pretrained(folder, config, params, tokenizer=piece_tokenizer())
  return folder


def write_rows(path, has_pairs):
  """Writes rows of short and long texts, odd spaces and signs among them, and returns them."""
  rng = np.random.default_rng(1)

  def text():
    return str(rng.choice([" ", "  ", "\n"])).join(rng.choice(WORDS, rng.integers(1, 24)))

  rows = [[text() for _ in range(1 + has_pairs)] for _ in range(_ROWS)]
  with path.open("w", newline="") as file:
    csv.writer(file).writerows([["text", "pair"][: 1 + has_pairs], *rows])
  return rows


@contextlib.contextmanager
def served(folder, asked):
  """Serves a folder on the loopback address, whose address it gives; `asked` gets the paths that are asked for."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
      asked.append(self.path)

  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
  threading.Thread(target=server.serve_forever, daemon=True).start()
  try:
    yield f"http://127.0.0.1:{server.server_port}/"
  finally:
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
  """Returns a function that visits a page and returns what was seen, with the paths that were asked for."""
  folder = tmp_path_factory.mktemp("visit")
  (folder / "package.json").write_text('{"private": true}')
  install(folder, PLAYWRIGHT)
  shutil.copy(Path(__file__).with_name("visit.mjs"), folder)

  def visit(site, bare, **job):
    asked = []
    with served(site, asked) as url, served(bare, []) as bare_url:
      job |= {"chromium": CHROMIUM, "url": url, "bare": bare_url, "shots": None}
      (folder / "job.json").write_text(json.dumps(job))
      done = subprocess.run(
        ["node", "visit.mjs", "job.json"], cwd=folder, capture_output=True, text=True, timeout=240, check=False
      )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), asked

  return visit


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
  """Returns what `npm install` makes of the page's package.json."""
  folder = tmp_path_factory.mktemp("packages")
  import tinybert_jax.pipeline.web_page as page

  shutil.copy(Path(page.__file__).with_name("package.json"), folder)
  install(folder)
  return folder / "node_modules"


def assert_close(found, same):
  """Checks the page's numbers against onnxruntime's; where an integer is rounded the other way, a few differ more."""
  apart = np.abs(np.asarray(found) - same)
  assert np.mean(apart <= 0.02) > 0.97 and apart.max() <= 0.1


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_predict(tmp_path, visit, packages, case):
  changes, has_pairs = CASES[case]
  model, site = write_model(tmp_path / "model", **changes), tmp_path / "site"
  rows = write_rows(tmp_path / "rows.csv", has_pairs)
  export_page(model, site, calibrate=tmp_path / "rows.csv", max_loss=5)
  bare = shutil.copytree(site, tmp_path / "bare")
  (site / "node_modules").symlink_to(packages)
  predict_table(model, tmp_path / "rows.csv", tmp_path / "out.csv", dtype="float32")
  expected = pyarrow.csv.read_csv(
    tmp_path / "out.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
  ).to_pylist()

  long = (" ".join(rows[1][0].split()) + " ") * (1_000_000 // len(rows[1][0]) + 1)
  seen, asked = visit(site, bare, texts=rows, long=long[:1_000_000])
  assert seen["problems"] == [] and "npm install" in seen["bare"]
  assert all(path.startswith(("/model/", "/node_modules/")) or path.count("/") == 1 for path in asked)
  assert all(one["time"].endswith(" ms") for one in seen["answers"])
  same = integers(site, rows, case)
  if case == "number":
    assert_close([float(one["words"].replace(",", "")) for one in seen["answers"]], same[:, 0])
  else:
    found = [[float(one["shares"][name].rstrip("%")) / 100 for name in changes["labels"]] for one in seen["answers"]]
    assert_close(found, same)
    sure = [check(case, row, one) for row, one in zip(expected, seen["answers"], strict=True)]
    assert sum(sure) >= _SURE and len({one["words"] for one in seen["answers"]}) > 1

  paste = seen["paste"]
  assert paste["freeze"] < 1000 and paste["milliseconds"] < 10_000 and paste["length"] == 20_000
  assert seen["narrow"]["width"] == 360
  assert seen["narrow"]["words"] == seen["keys"]["words"] == seen["answers"][0]["words"]
  fields = ["First text", "Second text"] if has_pairs else ["Text"]
  assert seen["keys"]["order"] == [*fields, "Clear"] and seen["keys"]["cleared"] == ["", "text"]
  assert seen["keys"]["told"].startswith(seen["keys"]["words"])


def integers(site, rows, case):
  """Returns the probabilities, or numbers, of onnxruntime on the same file, from the tokens of transformers."""
  tokenizer = transformers.AutoTokenizer.from_pretrained(site / "model")
  session = Session((site / "model" / "onnx" / "model_quantized.onnx").read_bytes())
  cut = {"truncation": True, "max_length": CONFIG.max_position_embeddings, "return_tensors": "np"}
  logits = np.concatenate([session(tokenizer(*[[text] for text in row], **cut))[0] for row in rows])
  if case == "number":
    return logits
  return scipy.special.expit(logits) if case == "several" else scipy.special.softmax(logits, axis=-1)


def check(case, row, seen):
  """Checks an answer of the page by that of `predict`.

  Returns whether the answer is far enough from another one to be compared, as integers take it a little apart.
  """
  shares = {name.removeprefix("probability_"): share for name, share in row.items() if "probability_" in name}
  if case == "several":
    is_sure = all(abs(share - 0.5) > _APART[case] for share in shares.values())
    words = row["prediction"].replace("|", ", ") or "None of the labels"
    assert not is_sure or sorted(seen["words"].split(", ")) == sorted(words.split(", "))
    return is_sure
  second, first = sorted(shares.values())[-2:]
  assert first - second < _APART[case] or seen["words"] == row["prediction"]
  return first - second >= _APART[case]

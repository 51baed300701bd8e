"""The table of a run's dev rows is read again with the same labels."""

import datasets
import pytest

from tinybert_jax.pipeline import dev_file, own_spans, own_tables, own_tokens
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.tasks.classification import Classification, MultiLabel
from tinybert_jax.tasks.regression import Regression
from tinybert_jax.tasks.spans import Spans
from tinybert_jax.tasks.tokens import Tokens

TEXTS = ["hello world", "a « quoted » text, with a comma", "third"]
WORDS = [["hello", "world"], ["a", "b", "c"], ["third"]]
ANSWERS = [{"text": ["third"], "start": [0]}, {"text": ["text", "a"], "start": [13, 0]}, {"text": [], "start": []}]
CASES = {
  "classes": (own_tables, Classification("", ("yes", "no")), {"text": TEXTS, "label": [1, 0, 1]}),
  "pairs": (own_tables, Classification("", ("1", "0")), {"text": TEXTS, "pair": TEXTS[::-1], "label": [1, 0, 1]}),
  "several": (own_tables, MultiLabel("", ("a", "b", "c")), {"text": TEXTS, "label": [[1, 0, 1], [0, 1, 0], [0, 0, 1]]}),
  "number": (own_tables, Regression("", ("score",)), {"text": TEXTS, "label": [0.5, 2.25, -1.0]}),
  "answers": (own_spans, Spans(""), {"text": TEXTS, "pair": TEXTS[::-1], "label": ANSWERS}),
  "tags": (own_tokens, Tokens("", ("O", "B-x", "I-x")), {"words": WORDS, "label": [[1, 2], [0, 1, 0], [0]]}),
}


@pytest.mark.parametrize("kind", CASES)
def test_what_is_written_is_read_again(tmp_path, kind):
  reader, task, columns = CASES[kind]
  rows = datasets.Dataset.from_dict(columns)
  dev_file.write(tmp_path, task, rows)
  sources = Sources(unlabelled=(str(tmp_path / dev_file.NAME),))
  found = reader.read_measured(sources.unlabelled, sources, None, task, []).rows
  for name, values in columns.items():
    assert found[name][:] == values
  (tmp_path / "student").mkdir()
  assert dev_file.beside(tmp_path / "student") == tmp_path / dev_file.NAME and dev_file.beside("bert-base") is None


def test_a_table_without_labels_and_a_large_one(tmp_path):
  dev_file.write(tmp_path, CASES["classes"][1], datasets.Dataset.from_dict({"text": [str(n) for n in range(5000)]}))
  lines = (tmp_path / dev_file.NAME).read_text().splitlines()
  assert len(lines) == 2000 and lines[0] == '{"text": "0"}' and lines[-1] == '{"text": "4999"}'

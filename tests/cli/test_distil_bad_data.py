"""`tinybert-jax distil` on data and models that it cannot use: one sentence, and nothing is written."""

import json
import os
import shutil

import pytest
from small_distil import SHAPE, greetings, refused, texts, write, write_teacher
from small_glue import TEACHER, write_encoder

from tinybert_jax import distil_task
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import own_data
from tinybert_jax.pipeline.own_tables import Known, Sources


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  root = tmp_path_factory.mktemp("models")
  write_encoder(root / "encoder", TEACHER)
  write_teacher(root / "teacher")
  return root


@pytest.fixture
def sentence(models, tmp_path, capsys, monkeypatch):
  """A function from the rows of a training table to the sentence that refuses it."""
  monkeypatch.chdir(tmp_path)

  def of(content, *more, name="train.csv", pretrained=True):
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(data)
    learner = ["--pretrained", models / "encoder"] if pretrained else []
    said = refused(capsys, *learner, "--train", name, "--out", "out", *more)
    assert not os.path.exists("out") and (tmp_path / name).read_bytes() == data
    return said

  return of


GOOD = "review,topic\n" + "".join(f"{text},{label}\n" for text, label in greetings(12))


@pytest.mark.parametrize(
  ("content", "problem"),
  [
    ("", "train.csv: empty; at least one row is needed"),
    ("review,topic\n", "train.csv: a header (review, topic) and no rows"),
    ("review,review\na b,c\n", "train.csv: two columns are called 'review'"),
    ("review,topic\n" + 6 * "hello world,x\n", "train.csv: all labels are 'x'; at least two classes are needed"),
    ("review,topic\n" + 6 * "hello world,\n", "train.csv: no row has a label"),
    ("review,topic\n" + 3 * "1.5,a\n2.5,b\n", "train.csv: the column review holds numbers, where texts are needed"),
    ("review,topic\n\0hello world,a\nhello,b\n", "train.csv, line 2: a NUL byte"),
    ("review,topic\nhello world,0.5\nhello hello,inf\nhello,1.5\nhello,3\n", "labels are numbers, but for 'inf'"),
    ("review,topic\nhello world,a\nworld hello,b\n", "only 2 rows to train on and to choose by; at least 4"),
  ],
)
def test_tables_that_cannot_be_learnt_from(sentence, content, problem):
  assert problem in sentence(content)


def test_lists_where_texts_belong(sentence):
  rows = "".join(json.dumps({"text": ["hello"], "label": label}) + "\n" for label in "abab")
  assert "train.jsonl, row 1: the column text holds lists" in sentence(rows, name="train.jsonl")


@pytest.mark.parametrize(
  ("more", "problem"),
  [
    (["--minutes", 0], "--minutes 0.0: it must be above 0"),
    (["--out", ""], "--out is empty; give a name"),
    (["--train", "other.csv"], "--train is given twice, and only once would count"),
    (["--seed", 1, "--seed=-2"], "--seed -2: it must be at least 0"),
    (["--kind", "regression"], "train.csv, row 1: the label is"),
    (["--student-width", 7], "--student-width 7: it must be a multiple of the teacher's 2 attention heads"),
    (["--student-layers", 1, "--smaller", 2], "--student-layers and --student-width are a shape"),
    (["--teacher-labels", "a", "b"], "--teacher-labels names the classes of --teacher, which is not given"),
    (["--dev-share", 1], "--dev-share 1.0: it must be above 0 and below 1"),
    (["--test", "nowhere.csv"], "nowhere.csv: no such file or directory"),
  ],
)
def test_options_that_do_not_go_together(sentence, more, problem):
  assert problem in sentence(GOOD, *more)


def test_folders_that_cannot_be_written(models, tmp_path, capsys, monkeypatch):
  train = write(tmp_path / "train.csv", greetings(12))
  before = (tmp_path / "train.csv").read_bytes()
  always = ["--pretrained", models / "encoder", "--train", train]
  assert "--out is empty or the current folder" in refused(capsys, *always, "--out", ".")
  assert f"{train} is a file, and a folder is needed" in refused(capsys, *always, "--out", train)
  assert f"{train} is a file" in refused(capsys, *always, "--out", f"{train}/run")
  monkeypatch.setattr(os, "access", lambda path, mode: False)
  assert f"{tmp_path} cannot be written to" in refused(capsys, *always, "--out", tmp_path / "out")
  assert (tmp_path / "train.csv").read_bytes() == before


def test_teachers_that_cannot_teach(sentence, models, tmp_path):
  def of(directory, *more):
    return sentence(GOOD, "--teacher", directory, *more, pretrained=False)

  assert "no classifier in its weights, so it is not a finished" in of(models / "encoder")
  for name in ("bare", "tagger", "twice", "single"):
    shutil.copytree(models / "teacher", tmp_path / name)
  for file in ("tokenizer.json", "vocab.txt"):
    (tmp_path / "bare" / file).unlink(missing_ok=True)
  assert "no tokenizer.json and no vocab.txt" in of("bare")
  changes = {
    "tagger": {"architectures": ["BertForTokenClassification"]},
    "twice": {"id2label": {"0": "greets", "1": "greets"}},
    "single": {"problem_type": "regression"},
  }
  for name, change in changes.items():
    path = tmp_path / name / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
  assert "a BertForTokenClassification, which labels each token" in of("tagger")
  assert "calls two classes 'greets'; name all in the order of its logits by --teacher-labels" in of("twice")
  assert "a regression of 2 numbers a text" in of("single")
  assert "--kind regression: --teacher" in of(models / "teacher", "--kind", "regression")
  write_teacher(tmp_path / "other", ("x", "y"))
  assert "labels 'greets', 'not' are not among the known classes, which are 'x', 'y'" in of("other")
  assert "its classes are x, y, and the others have greets, not" in of(models / "teacher", "other")
  assert "its classifier has 2 classes, not 1 as named" in of("other", "--teacher-labels", "greets")


def test_tables_that_do_not_go_together(sentence, models, tmp_path):
  write(tmp_path / "pairs.csv", [(text, text, "not") for text in texts(8)], ("premise", "hypothesis", "label"))
  write(tmp_path / "unheard.csv", [(text, "unheard") for text in texts(8)])
  assert "pairs.csv: pairs of texts, and the other tables have single texts" in sentence(
    GOOD, "--unlabelled", "pairs.csv"
  )
  assert "labels 'unheard' are not among the known classes" in sentence(GOOD, "--test", "unheard.csv")
  assert "labels 'unheard' are not among" in sentence(
    GOOD, "--dev", "unheard.csv", "--teacher", models / "teacher", pretrained=False
  )


def test_the_names_of_columns_may_differ_between_tables(tmp_path):
  train = write(tmp_path / "train.csv", greetings(12))
  more = write(tmp_path / "more.csv", [(number, text) for number, text in enumerate(texts(9, 1))], ("id", "body"))
  data = own_data.load(Sources(train=(train,), unlabelled=(more,)), name="t", known=Known(None, None), seed=0)
  assert len(data.transfer) == len(data.labelled) + 9


@pytest.mark.parametrize(
  ("cells", "problem"),
  [
    ([0.5, "nan"], "row 2: 'nan' in the column not, and a finite number is needed"),
    ([0.5, "high"], "row 2: 'high' in the column not"),
    ([0.2, 0.2], "row 2: the target columns sum to 0.4, and probabilities sum to 1"),
    ([1.2, -0.2], "row 2: -0.2 in the column not, and a probability is from 0 to 1"),
    ([60, 40], "row 2: the target columns sum to 100"),
  ],
)
def test_targets_that_are_no_probabilities(models, tmp_path, cells, problem):
  rows = [(text, 0.75, 0.25) for text in texts(6)]
  rows[1] = (rows[1][0], *cells)
  table = write(tmp_path / "given.csv", rows, ("review", "greets", "not"))
  with pytest.raises(InputError, match=problem):
    distil_task(
      tmp_path / "out", unlabelled=table, target_columns=("greets", "not"), pretrained=models / "encoder", **SHAPE
    )


def test_scores_are_taken_as_logits_and_noted(tmp_path):
  rows = [(text, 2.5, -1.5) for text in texts(6)]
  table = write(tmp_path / "given.csv", rows, ("review", "greets", "not"))
  sources = Sources(unlabelled=(table,), target_columns=("not", "greets"))
  data = own_data.load(sources, name="t", known=Known(None, None), seed=0)
  assert data.targets[0].tolist() == [-1.5, 2.5] and data.task.labels == ("not", "greets")
  assert any("taken as scores (logits)" in note for note in data.notes)


def test_labels_stay_as_they_are(tmp_path):
  labels = ["good", " good", "nan", "", "bad", "Bad", "good", "bad", "bad", "good", "bad", "good"]
  train = write(tmp_path / "train.csv", list(zip(texts(12), labels, strict=True)))
  data = own_data.load(Sources(train=(train,), dev_share=0.2), name="t", known=Known(None, None), seed=0)
  assert data.task.labels == (" good", "Bad", "bad", "good")
  notes = " ".join(data.notes)
  assert "kept apart" in notes and "1 of 'nan'" in notes and "2 rows without a label, the first is row 3" in notes


def test_texts_in_two_tables_are_counted(tmp_path):
  train = write(tmp_path / "train.csv", greetings(40))
  data = own_data.load(Sources(train=(train,), test=(train,)), name="t", known=Known(None, None), seed=0)
  known = set(data.transfer["text"][:])
  twice = sum(text in known for text in data.test["text"][:])
  assert any(f"test: {twice} of 40 texts stand in the training data as well" in note for note in data.notes)


def test_mixed_line_ends_and_a_byte_order_mark_are_read(tmp_path):
  content = b"\xef\xbb\xbfreview,topic\r\nhello world,a\nworld hello,b\rhello hello,a\r\nworld world,b\n"
  (tmp_path / "train.csv").write_bytes(content)
  sources = Sources(train=(str(tmp_path / "train.csv"),))
  data = own_data.load(sources, name="t", known=Known(None, None), seed=0)
  assert sorted([*data.labelled["text"][:], *data.dev["text"][:]]) == [
    "hello hello", "hello world", "world hello", "world world"
  ]  # fmt: skip

"""Labels that are numbers of classes named in a file, in the layout of GoEmotions."""

import pytest

from tinybert_jax.choices import Reading
from tinybert_jax.errors import InputError
from tinybert_jax.pipeline import own_tables
from tinybert_jax.pipeline.distil_settings import Sources
from tinybert_jax.pipeline.own_tables import Known
from tinybert_jax.tasks.classification import MultiLabel

NAMES = ("joy", "anger", "fear")


def sources(tmp_path, lines, names=NAMES, **options):
  (tmp_path / "labels.txt").write_text("\n".join(names) + "\n")
  path = tmp_path / "train.tsv"
  path.write_text(
    "".join(f"{text} is a comment\t{numbers}\tid{place}\n" for place, (text, numbers) in enumerate(lines))
  )
  given = {"text": "0", "label": ("1",), "reading": Reading(header=False), "label_names": tmp_path / "labels.txt"}
  return Sources(**{"train": (str(path),), **given, **options})


@pytest.mark.parametrize("kind", [None, "multi_label"])
def test_numbers_joined_by_commas_are_several_classes_in_the_order_of_the_file(tmp_path, kind):
  made = own_tables.read_train(
    sources(tmp_path, [("a", "1"), ("b", "0,2"), ("c", ""), ("d", "0")]), Known(kind, None), []
  )
  assert made.kind == "multi_label" and made.names == NAMES
  assert made.rows.rows["label"][:] == [[0, 1, 0], [1, 0, 1], [1, 0, 0]] and len(made.without.rows) == 1
  measured = sources(tmp_path, [("a", "2")])
  rows = own_tables.read_measured(measured.train, measured, made.columns, MultiLabel("t", NAMES), [])
  assert rows.rows["label"][:] == [[0, 0, 1]]


def test_one_number_a_row_is_one_class(tmp_path):
  made = own_tables.read_train(sources(tmp_path, [("a", "1"), ("b", "0"), ("c", "1")]), Known(None, None), [])
  assert made.kind == "classification" and made.names == NAMES and made.rows.rows["label"][:] == [1, 0, 1]
  teachers = Known("multi_label", ("fear", "joy", "anger"))  # whose order counts
  made = own_tables.read_train(sources(tmp_path, [("a", "1"), ("b", "0,1")]), teachers, [])
  assert made.names == teachers.names and made.rows.rows["label"][:] == [[0, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize(
  ("lines", "names", "problem"),
  [
    ([("a", "1"), ("b", "0,3")], NAMES, "row 2: the label '3', and the number of a class is needed, 0 to 2"),
    ([("a", "joy")], NAMES, "row 1: the label 'joy', and the number"),
    ([("a", "1")], ("joy", "joy"), "the name 'joy' stands there twice"),
    ([("a", "1")], ("joy",), "1 names; at least two classes"),
  ],
)
def test_what_is_no_number_of_a_class_is_told_with_its_row(tmp_path, lines, names, problem):
  with pytest.raises(InputError, match=problem):
    own_tables.read_train(sources(tmp_path, lines, names), Known("multi_label", None), [])
  with pytest.raises(InputError, match="several labels, and --kind classification takes one"):
    own_tables.read_train(sources(tmp_path, [("a", "1"), ("b", "0,1")]), Known("classification", None), [])

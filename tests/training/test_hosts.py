import jax
import pytest

from tinybert_jax.errors import InputError
from tinybert_jax.training import hosts


def raises(error):
  def find():
    raise error

  return find


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("no driver")])
def test_a_kind_of_device_that_is_not_there_is_one_sentence(monkeypatch, error):
  monkeypatch.setenv("JAX_PLATFORMS", "cuda")
  monkeypatch.setenv("XLA_FLAGS", "")
  monkeypatch.setattr(jax, "default_backend", raises(error))
  with pytest.raises(InputError, match=r"no device of the kind cuda \(JAX_PLATFORMS\): (the device|no driver)"):
    hosts.join(hosts.Hosts())


def test_flags_for_which_xla_would_end_the_process_are_one_sentence(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--nonsense")
  with pytest.raises(InputError, match=r"XLA_FLAGS=--nonsense: XLA does not take it \(Unknown flag"):
    hosts.join(hosts.Hosts())

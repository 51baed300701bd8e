"""What the tests of the drill share: their inputs, runs that nothing interrupts, and what is counted."""

import pytest
import small_inputs
from drill_programs import Undisturbed
from tally import Tally


@pytest.fixture
def tally(request):
  return Tally(request.node.user_properties)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
  """The folder of all inputs."""
  root = tmp_path_factory.mktemp("inputs")
  small_inputs.write_all(root)
  return root


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, inputs):
  return Undisturbed(tmp_path_factory.mktemp("runs"), inputs)

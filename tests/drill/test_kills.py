"""Each program killed by SIGKILL at random moments: the same command ends with the same bits."""

import signal

import pytest
from drill_programs import PROGRAMS
from drill_size import KILLS, shares
from interrupted import interrupt_and_go_on

pytestmark = pytest.mark.drill


@pytest.mark.parametrize(("program", "number"), shares(KILLS, PROGRAMS), ids=str)
def test_kills_change_nothing(program, number, undisturbed, tally):
  interrupt_and_go_on(program, number, signal.SIGKILL, "kill", undisturbed, tally)

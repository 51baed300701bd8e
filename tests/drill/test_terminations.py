"""Each program stopped by SIGTERM at random moments: at most one sentence, and the same command gives the same bits."""

import signal

import pytest
from drill_programs import PROGRAMS
from drill_size import TERMINATIONS, shares
from interrupted import interrupt_and_go_on

pytestmark = pytest.mark.drill


@pytest.mark.parametrize(("program", "number"), shares(TERMINATIONS, PROGRAMS), ids=str)
def test_terminations_change_nothing(program, number, undisturbed, tally):
  interrupt_and_go_on(program, number, signal.SIGTERM, "termination", undisturbed, tally)

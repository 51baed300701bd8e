"""What the drill tries and what survives, counted by its tests and told in one line in the end."""

import os
import time

# What is tried, as one and as several.
_NAMES = {
  "kill": "kills",
  "termination": "terminations",
  "full disk": "full disks",
  "change of processes": "changes of processes",
  "bad input": "bad inputs",
  "comparison of devices": "comparisons of devices",
}
_begun = time.monotonic()


class Tally:
  """The counts of one test, which its report takes along, also from another process."""

  def __init__(self, properties):
    self._properties = properties

  def tried(self, name):
    """Counts one try, before its outcome is known."""
    self._properties.append(("tried", name))

  def survived(self, name, number=1):
    """Counts tries that have ended well."""
    self._properties.extend([("survived", name)] * number)


def told(reports):
  """Returns the line for the reports of a session; None where nothing was tried."""
  found = [one for report in reports if getattr(report, "when", "") == "call" for one in report.user_properties]
  tried, survived = ([name for what, name in found if what == wanted] for wanted in ("tried", "survived"))
  if not tried:
    return None
  counts = {name: tried.count(name) for name in _NAMES if name in tried}
  each = ", ".join(f"{number} {name if number == 1 else _NAMES[name]}" for name, number in counts.items())
  minutes, lost = (time.monotonic() - _begun) / 60, len(tried) - len(survived)
  return (
    f"drill: {each}: {len(tried)} tried, {len(survived)} survived, {lost} lost, in {minutes:.0f} minutes "
    f"(DRILL_SEED={os.environ['DRILL_SEED']})"
  )

"""How much the drill tries; `make drill DRILL_SEED=7 DRILL_KILLS=5` changes it."""

import os

SEED = int(os.environ["DRILL_SEED"])
KILLS = int(os.environ.get("DRILL_KILLS", "50"))
TERMINATIONS = int(os.environ.get("DRILL_TERMINATIONS", "20"))
FULL_DISKS = int(os.environ.get("DRILL_FULL_DISKS", "10"))
CHANGES = int(os.environ.get("DRILL_CHANGES", "3"))


def shares(number, things):
  """Returns each of the things with its share of `number` tries, without those that have none."""
  each, more = divmod(number, len(things))
  return [(thing, each + (place < more)) for place, thing in enumerate(things) if each or place < more]

"""Each program on a disk that gets full at a random moment: one sentence, and the same bits once there is room."""

import random
import subprocess

import pytest
from drill_programs import PROGRAMS, finish
from drill_size import FULL_DISKS, SEED, shares
from same_results import assert_nothing_left, assert_same_results

pytestmark = pytest.mark.drill
_ROOM = 2**28  # bytes, more than any run needs


class Disk:
  """A small file system in memory, which only root may mount."""

  def __init__(self, folder):
    self._folder = folder
    folder.mkdir()

  def has(self, size):
    """Gives it so many bytes, as it is first mounted or later."""
    again = "remount," if self._folder.is_mount() else ""
    asked = ["mount", "-t", "tmpfs", "-o", f"{again}size={size}", "tmpfs", str(self._folder)]
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode:
      pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")

  def unmount(self):
    if self._folder.is_mount():
      subprocess.run(["umount", str(self._folder)], check=True)


@pytest.mark.parametrize(("program", "number"), shares(FULL_DISKS, PROGRAMS), ids=str)
def test_full_disks_lose_nothing(program, number, undisturbed, tally):
  drawn, (reference, _) = random.Random(f"{SEED} full {program.name}"), undisturbed.of(program)
  needed = sum(path.stat().st_size for path in (reference / "out").rglob("*") if path.is_file())
  done = 0
  while done < number:
    folder = undisturbed.fresh(program)
    disk = Disk(folder / "out")
    try:
      disk.has(max(8192, int(drawn.random() * needed)))
      (folder / "out" / "kept.txt").write_text("kept")
      process = program.start(folder)
      _, error = process.communicate()
      if process.returncode == 0:
        needed *= 0.8  # it suffices
        continue
      tally.tried("full disk")
      done += 1
      last = error.splitlines()[-1]
      assert process.returncode == 2 and "Traceback" not in error, error
      assert "No space left on device" in last and "free some space" in last, error
      assert (folder / "out" / "kept.txt").read_text() == "kept"
      disk.has(_ROOM)
      finish(program.start(folder))
      (folder / "out" / "kept.txt").unlink()
      assert_same_results(folder, reference)
      assert_nothing_left(folder)
      tally.survived("full disk")
    finally:
      disk.unmount()

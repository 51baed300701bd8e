"""What a process that another one started has to do for it."""

import multiprocessing
import os
import signal
import threading


def follow_parent() -> None:
  """Leaves Ctrl-C to the parent, which stops this process, and ends with it: a kill would leave this one waiting."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)

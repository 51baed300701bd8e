"""What a process that another one started has to do for it."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
  """Has this process end with the one that started it, which a kill would else leave waiting for ever."""
  threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
  if (parent := multiprocessing.parent_process()) is not None:
    parent.join()
  os._exit(1)

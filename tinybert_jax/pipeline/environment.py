"""When and where a run was made."""

import datetime
import os
import platform

from tinybert_jax.models.model_card import installed_versions
from tinybert_jax.training import hosts


def environment() -> dict[str, str]:
  """Returns date, versions and machine."""
  return {
    "date": datetime.date.today().isoformat(),
    **installed_versions(),
    "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    "devices": hosts.describe(),
  }

"""The devices and processes of a run: the backend that is asked for, and hosts that find each other."""

import functools
import hashlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from tinybert_jax.choices import Hosts
from tinybert_jax.errors import InputError
from tinybert_jax.models.directories import make_directory
from tinybert_jax.training import precision

_WORTH_KEEPING_SECONDS = 0.3  # of compiling
_SILENT_SECONDS = 30  # after which a process that gives no sign of life counts as dead, and the others end


def join(hosts: Hosts) -> None:
  """Makes this process one of the run's, on the backend asked for; to be called before JAX computes anything.

  Raises:
    InputError: the backend is not there, the options contradict each other, or the coordinator does not answer.
  """
  asked = [name for name in ("tpu", "gpu", "cpu") if getattr(hosts, name)]
  if len(asked) > 1:
    raise InputError(f"{' and '.join(f'--{name}' for name in asked)}: one of them at most")
  _check_flags(os.environ.get("XLA_FLAGS", ""))
  if hosts.compile_cache:
    keep_programs()
  if hosts.cpu:
    jax.config.update("jax_platforms", "cpu")
  _find_others(hosts)
  try:
    found = jax.default_backend()
  except (
    RuntimeError,
    AssertionError,
  ) as error:  # the latter without a word, where JAX_PLATFORMS names no device there
    platforms = os.environ.get("JAX_PLATFORMS")
    reason = " ".join(str(error).split()) or "the device, or its part of JAX, is not there"
    where = f" of the kind {platforms} (JAX_PLATFORMS)" if platforms else ""
    raise InputError(f"JAX finds no device{where}: {reason}") from error
  if asked and found != asked[0]:
    install = {"tpu": "jax[tpu]", "gpu": "jax[cuda13] or jax[rocm]"}[asked[0]]
    raise InputError(
      f"--{asked[0]}: there is none that JAX can use; it found {describe()} (is {install} installed, and the device "
      "free?)"
    )


def keep_programs() -> None:
  """Has JAX keep compiled programs in the user's cache folder, unless it is told of another by its own settings.

  Those of CPUs with other instruction sets, which may share the folder, are kept apart.
  """
  if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
    return
  root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
  folder = root / "tinybert_jax" / hashlib.sha256(" ".join(sorted(precision.cpu_flags())).encode()).hexdigest()[:8]
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:  # as where there is no home; the programs are compiled each time
    return
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING_SECONDS)


@functools.cache
def _check_flags(flags: str) -> None:
  """Raises InputError where XLA does not take the flags in XLA_FLAGS, for which it would end the process."""
  if not flags:
    return
  probe = subprocess.run(
    [sys.executable, "-c", "from jaxlib import xla_client; xla_client.make_cpu_client()"],
    capture_output=True,
    text=True,
  )
  if probe.returncode:
    lines = [line.partition("] ")[2] for line in probe.stderr.splitlines() if re.match("[EF][0-9]{4}", line)]
    raise InputError(f"XLA_FLAGS={flags}: XLA does not take it ({lines[0] if lines else 'it gives no reason'})")


def describe() -> str:
  """Returns the run's devices in words: how many of what kind, and in how many processes."""
  kinds = sorted({device.device_kind for device in jax.devices()})
  processes = f", {jax.process_count()} processes" if jax.process_count() > 1 else ""
  number = jax.device_count()
  return f"{number} {jax.default_backend()} device{'s' if number > 1 else ''} ({', '.join(kinds)}{processes})"


def wait_for_all() -> None:
  """Returns when every process has come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices("all")


def from_first(make: Callable[[], str]) -> str:
  """Returns on every process the hexadecimal fingerprint that `make` gives on the first, where alone it is called."""
  if jax.process_count() == 1:
    return make()
  mine = make() if jax.process_index() == 0 else "0" * 32
  return bytes(np.asarray(multihost_utils.broadcast_one_to_all(np.frombuffer(bytes.fromhex(mine), np.uint8)))).hex()


def first_says(is_true: Callable[[], bool]) -> bool:
  """Returns on every process what `is_true` gives on the first, where alone it is called."""
  if jax.process_count() == 1:
    return is_true()
  mine = is_true() if jax.process_index() == 0 else False
  return bool(multihost_utils.broadcast_one_to_all(np.asarray(mine)))


def on_first(do: Callable[[], object]) -> None:
  """Calls `do` on the first process; the others return when it has ended."""
  if jax.process_index() == 0:
    do()
  wait_for_all()


def check_shared(*folders: Path) -> None:
  """Raises InputError on every process where one of several does not see what the first writes to a folder."""
  if jax.process_count() == 1:
    return
  first = jax.process_index() == 0
  token = f".shared-{from_first(lambda: secrets.token_hex(16))}"
  for folder in folders if first else ():
    make_directory(folder)
    (folder / token).touch()
  wait_for_all()
  sees_P = multihost_utils.process_allgather(np.array([(folder / token).exists() for folder in folders]))
  for folder in folders if first else ():
    (folder / token).unlink()
  for folder, seen in zip(folders, np.atleast_2d(sees_P).T, strict=True):
    if not seen.all():
      raise InputError(
        f"{folder}: process {np.argmin(seen)} does not see what process 0 writes there; all must share it"
      )


def say(*words: object) -> None:
  """Prints on the first process alone."""
  if jax.process_index() == 0:
    print(*words, flush=True)


def _find_others(hosts: Hosts) -> None:
  coordinator, processes, number = given = (hosts.coordinator, hosts.num_processes, hosts.process_id)
  if given != (None, None, None):
    if coordinator is None or processes is None or number is None:
      raise InputError("--coordinator, --num-processes and --process-id go together")
    if not 0 <= number < processes:
      raise InputError(f"--process-id {number}: with --num-processes {processes} it must be 0 to {processes - 1}")
  if jax.distributed.is_initialized() or (given == (None, None, None) and _launched_alone()):
    return
  try:
    jax.distributed.initialize(
      *given, heartbeat_timeout_seconds=_SILENT_SECONDS, shutdown_timeout_seconds=2 * _SILENT_SECONDS
    )
  except ValueError as error:
    if given != (None, None, None):
      raise InputError(f"--coordinator {hosts.coordinator}: {error}") from error
    # Else there is no launcher that JAX knows, and this process is the run.
  except RuntimeError as error:
    reason = " ".join(str(error).split())
    if "must be called before" not in reason:  # as in a notebook, where JAX has begun already
      raise InputError(f"the processes of this run did not find each other ({reason})") from error


def _launched_alone() -> bool:
  """Whether SLURM or MPI started this process alone: JAX would give it one of the host's GPUs, and it may have all."""
  return any(os.environ.get(name) == "1" for name in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"))

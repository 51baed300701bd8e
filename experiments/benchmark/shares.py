"""Where a step's time goes: a profile's operations, by the part of the step and by the kind of work.

At each moment the time is that of the operations under way, in equal shares where there are several, and of the
innermost where they are nested. So all shares add up to the time that passed.
"""

import collections
import heapq
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

INPUT = "input"
NOTHING = "no operation runs (dispatch, gaps)"
UNKNOWN = "not attributed"
PRODUCTS, WITH_SOFTMAX = "matrix products", "matrix products, softmax in them"
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%([\w.\-]+) = .*? ([\w\-]+)\(")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.\-]+) \(")
_CALLS = re.compile(r"(?:calls|to_apply)=%([\w.\-]+)")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_CONTROL = {"while", "call", "conditional", "tuple", "get-tuple-element", "parameter", "constant", "bitcast"}
_MOVES = {"copy", "transpose", "bitcast", "reshape", "convert", "broadcast", "slice", "concatenate", "pad", "parameter"}


class Operation(NamedTuple):
  """An instruction of a compiled program: the part of the step that it is of, and the kind of work."""

  part: str
  kind: str


class Event(NamedTuple):
  start: float
  end: float
  name: str


def record(step: Callable[[], object], make_input: Callable[[], object], steps: int) -> Any:
  """Returns the profile of some steps, each of which gets its input and is waited for."""
  with tempfile.TemporaryDirectory() as folder:
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # it would slow small steps down
    with jax.profiler.trace(folder, profiler_options=options):
      for _ in range(steps):
        with jax.profiler.TraceAnnotation(INPUT):
          jax.block_until_ready(make_input())
        jax.block_until_ready(step())
    (path,) = Path(folder).rglob("*.xplane.pb")
    return jax.profiler.ProfileData.from_file(str(path))


def print_shares(profile: Any, program: str, steps: int, product_flops: float, peak: float) -> dict[str, float]:
  """Prints where the time of the steps went, and returns the share of each part.

  Args:
    profile: of `record`.
    program: the step's compiled text.
    steps: that were recorded.
    product_flops: the operations of a step's matrix products.
    peak: operations a second that the device multiplies at most.
  """
  operations = read_operations(program)
  seconds, total = attribute(events_by_thread(profile, {*operations, INPUT}))
  by_part, by_kind = collections.Counter(), collections.Counter()
  for name, value in seconds.items():
    known = {None: Operation(NOTHING, NOTHING), INPUT: Operation(INPUT, INPUT)}
    part, kind = known.get(name) or operations.get(name) or Operation(UNKNOWN, UNKNOWN)
    by_part[part] += value
    by_kind[kind] += value
  print(f"A profile of {steps} steps, each waited for: {1e3 * total / steps:.1f} ms a step, of which")
  for title, shares in (("part", by_part), ("kind", by_kind)):
    print(f"  by {title}: " + "; ".join(f"{name} {value / total:.1%}" for name, value in shares.most_common()))
    print(f"    together {sum(shares.values()) / total:.1%}")
  in_products = by_kind[PRODUCTS] + by_kind[WITH_SOFTMAX]
  if in_products:
    rate = product_flops * steps / in_products
    print(f"  matrix products run at {rate / 1e9:.4g} GFLOP/s, {rate / peak:.0%} of the roofline")
  return {name: value / total for name, value in by_part.items()}


def read_operations(program: str) -> dict[str, Operation]:
  """Returns the operations of a compiled program's text by their names.

  A fusion is of the part that its last operation is of. The models are told by their names, `teacher` and `student`.
  """
  opcodes: dict[str, set[str]] = {}
  found: dict[str, tuple[str, str | None, str]] = {}
  inside: set[str] = set()
  for line in program.splitlines():
    if computation := _COMPUTATION.match(line):
      inside = opcodes.setdefault(computation[1], set())
    elif instruction := _INSTRUCTION.match(line):
      inside.add(instruction[2])
      called, named = _CALLS.search(line), _OP_NAME.search(line)
      found[instruction[1]] = instruction[2], called and called[1], named[1] if named else ""
  return {
    name: Operation(_part(op_name), _kind(opcodes.get(called or "", set()) | {opcode}, op_name))
    for name, (opcode, called, op_name) in found.items()
    if opcode not in _CONTROL
  }


def _part(op_name: str) -> str:
  if not op_name:
    return UNKNOWN
  if "teacher" in op_name:
    return "teacher"
  if "transpose(" in op_name:
    return "backward"
  if "student" in op_name:
    return "student, forward"
  return "losses, forward" if "jvp(" in op_name else "optimizer"


def _kind(opcodes: Collection[str], op_name: str) -> str:
  if "dot" in opcodes or op_name.endswith("dot_general") or "matmul" in op_name:
    return WITH_SOFTMAX if "exponential" in opcodes else PRODUCTS
  if {"xor", "shift-right-logical"} <= set(opcodes):
    return "random bits"
  if "/attention/" in op_name and {"exponential", "reduce", "divide"} & set(opcodes):
    return "softmax and mask"
  if {"reduce", "reduce-window"} & set(opcodes):
    return "reductions (LayerNorm, losses, norms)"
  if {"gather", "scatter", "dynamic-update-slice", "sort"} & set(opcodes):
    return "rows of embeddings"
  if {"copy", "transpose"} & set(opcodes) and set(opcodes) <= _MOVES | {"fusion"}:
    return "transposes and copies"
  return "element-wise"


def events_by_thread(profile: Any, names: Collection[str]) -> Iterator[list[Event]]:
  """Yields the events of those names, in seconds: of the devices where the profile has any, else of each thread."""
  planes = list(profile.planes)
  on_device = [plane for plane in planes if plane.name.startswith("/device:") and any(True for _ in plane.lines)]
  for plane in planes:
    for line in plane.lines:
      events = []
      for event in line.events:
        name = event.name.removeprefix("end: ")
        if plane in on_device:
          name = str(dict(event.stats).get("hlo_op", name))
        if name in names and (not on_device or plane in on_device or name == INPUT):
          events.append(Event(event.start_ns / 1e9, event.end_ns / 1e9, name))
      if events:
        yield events


def attribute(threads: Iterable[Iterable[Event]]) -> tuple[Mapping[str | None, float], float]:
  """Returns the seconds of each name, None where there is no event, and the seconds from the first event to the last.

  Input counts only where nothing else runs.
  """
  changes = sorted(heapq.merge(*(_innermost(events) for events in threads)))
  seconds: collections.Counter[str | None] = collections.Counter()
  under_way: collections.Counter[str] = collections.Counter()
  for (time, change, name), (until, _, _) in zip(changes, [*changes[1:], changes[-1]], strict=True):
    under_way[name] += change
    names = +under_way
    if len(names) > 1:
      names.pop(INPUT, None)
    for each, number in names.items():
      seconds[each] += (until - time) * number / names.total()
    if not names:
      seconds[None] += until - time
  return seconds, changes[-1][0] - changes[0][0]


def _innermost(events: Iterable[Event]) -> list[tuple[float, int, str]]:
  """Returns when each name begins (1) and ends (-1) to be the innermost of a thread's events."""
  changes, open_events = [], []

  def close(until: float) -> None:
    while open_events and open_events[-1].end <= until:
      last = open_events.pop()
      changes.append((last.end, -1, last.name))
      if open_events:
        changes.append((last.end, 1, open_events[-1].name))

  for event in sorted(events, key=lambda event: (event.start, -event.end)):
    close(event.start)
    if open_events:
      changes.append((event.start, -1, open_events[-1].name))
      event = event._replace(end=min(event.end, open_events[-1].end))
    changes.append((event.start, 1, event.name))
    open_events.append(event)
  close(float("inf"))
  return sorted(changes)

"""The shares of a step's time, on profiles and programs written by hand."""

from types import SimpleNamespace as Made

import pytest

from experiments.benchmark import shares

PROGRAM = """
HloModule jit_update

%fused.1 (a: f32[8,8], b: f32[8,8]) -> f32[8,8] {
  ROOT %dot.7 = f32[8,8]{1,0} dot(%a, %b)
}

%fused.2 (a: f32[8]) -> f32[8] {
  %exp.1 = f32[8]{0} exponential(%a)
  ROOT %reduce.3 = f32[] reduce(%exp.1, %zero)
}

ENTRY %main.9 (p: f32[8,8]) -> f32[8,8] {
  %p = f32[8,8]{1,0} parameter(0)
  %product.1 = f32[8,8]{1,0} fusion(%p, %p), kind=kCustom, calls=%fused.1, metadata={op_name="jit(update)/jvp(teacher)/layers_0/dot_general"}
  %softmax.1 = f32[8]{0} fusion(%p), kind=kLoop, calls=%fused.2, metadata={op_name="jit(update)/jvp(student)/layers_0/attention/div"}
  %copy.4 = f32[8,8]{0,1} copy(%product.1), metadata={op_name="jit(update)/transpose(jvp(student))/layers_0/transpose"}
  %sub.1 = f32[8]{0} subtract(%softmax.1, %p), metadata={op_name="jit(update)/jvp()/sub"}
  %mul.1 = f32[8]{0} multiply(%sub.1, %p), metadata={op_name="jit(update)/optimizer/mul"}
  %nameless = f32[8]{0} add(%mul.1, %p)
  ROOT %while.1 = (f32[8]{0}) while(%nameless), condition=%c, body=%b
}
"""  # noqa: E501


def profile(*threads):
  """A profile of one plane, each of whose threads has events of a name and its first and last nanosecond."""
  lines = [
    Made(events=[Made(name=name, start_ns=start, end_ns=end, stats=[]) for name, start, end in events])
    for events in threads
  ]
  return Made(planes=[Made(name="/host:CPU", lines=lines)])


def test_operations_are_of_their_parts_and_kinds():
  found = {name: tuple(operation) for name, operation in shares.read_operations(PROGRAM).items()}
  assert {name: found[name] for name in found if name not in ("dot.7", "exp.1", "reduce.3")} == {
    "product.1": ("teacher", "matrix products"),
    "softmax.1": ("student, forward", "softmax and mask"),
    "copy.4": ("backward", "transposes and copies"),
    "sub.1": ("losses, forward", "element-wise"),
    "mul.1": ("optimizer", "element-wise"),
    "nameless": ("not attributed", "element-wise"),
  }


@pytest.mark.parametrize(
  ("threads", "expected"),
  [
    # One after the other, a gap between them.
    (([("a", 0, 4), ("b", 6, 10)],), {"a": 4, None: 2, "b": 4}),
    # Two at once share; what is no operation counts for nothing.
    (([("a", 0, 8), ("unknown", 0, 90)], [("b", 4, 12)]), {"a": 6, "b": 6}),
    # Of nested ones the innermost, and the outer one again behind it.
    (([("a", 0, 10), ("b", 2, 5), ("b", 5, 6)],), {"a": 6, "b": 4}),
    # Input counts where nothing runs. What a thread ends later is the operation's.
    (([("input", 0, 6), ("end: b", 8, 9)], [("a", 4, 8)]), {"input": 4, "a": 4, "b": 1}),
  ],
)
def test_each_moment_is_shared_by_what_runs(threads, expected):
  events = shares.events_by_thread(profile(*threads), {"a", "b", "input"})
  seconds, total = shares.attribute(events)
  assert {name: round(1e9 * value, 6) for name, value in seconds.items() if value} == expected
  assert total == pytest.approx(sum(expected.values()) / 1e9)


def test_the_shares_add_up(capsys):
  events = [("input", 0, 10), ("product.1", 20, 60), ("mul.1", 60, 100)]
  of_parts = shares.print_shares(profile(events), PROGRAM, steps=2, product_flops=20, peak=4e9)
  assert of_parts == pytest.approx(
    {"input": 0.1, "no operation runs (dispatch, gaps)": 0.1, "teacher": 0.4, "optimizer": 0.4}
  )
  printed = capsys.readouterr().out
  assert printed.count("together 100.0%") == 2
  assert "matrix products run at 1 GFLOP/s, 25% of the roofline" in printed

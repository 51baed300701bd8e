"""How the help of a command shows its options: sentences that flow, and defaults that mean something."""

import operator
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

_METAVARS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}
_TELLS_NOTHING = ("None", "", "False")
_LINE_BREAK = re.compile(r"(?<!\n) *\n(?! *\n) *")


def registry() -> ConstructorRegistry:
  """Returns what `tyro.cli` needs to show options in this manner."""
  registry = ConstructorRegistry()
  is_inner = False

  def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
    nonlocal is_inner
    if is_inner or not (hasattr(info.type, "__dataclass_fields__") or hasattr(info.type, "_fields")):
      return None
    is_inner = True
    try:
      spec = ConstructorRegistry.get_struct_spec(info)
    finally:
      is_inner = False
    if not isinstance(spec, StructConstructorSpec):
      return None
    return StructConstructorSpec(spec.instantiate, tuple(_shown(field) for field in spec.fields))

  registry.struct_rule(rule)
  return registry


def _shown(field: StructFieldSpec) -> StructFieldSpec:
  """Returns the field with a text of one line, its kind of value without None, and no default that tells nothing."""
  if hasattr(field.default, "__dataclass_fields__") or hasattr(field.default, "_fields"):
    return field
  look = tyro.conf.arg(
    metavar=_metavar(field.type),
    help_behavior_hint=lambda default: "" if default in _TELLS_NOTHING else f"(default: {default})",
  )
  text = field.helptext() if callable(field.helptext) else field.helptext
  kind: Any = operator.getitem(Annotated, (field.type, look))  # written so for mypy, as it is no annotation
  return StructFieldSpec(field.name, kind, field.default, text and _LINE_BREAK.sub(" ", text))


def _metavar(kind: Any) -> str | None:
  """Returns what stands for the value of an option that may be None: the value's kind alone."""
  inner = kind.__origin__ if typing.get_origin(kind) is Annotated else kind
  if typing.get_origin(inner) not in (types.UnionType, typing.Union):
    return None
  kinds = [one for one in typing.get_args(inner) if one is not type(None)]
  if len(kinds) == 1 and typing.get_origin(kinds[0]) is typing.Literal:
    return "{" + ",".join(typing.get_args(kinds[0])) + "}"
  return _METAVARS.get(kinds[0]) if len(kinds) == 1 else None
